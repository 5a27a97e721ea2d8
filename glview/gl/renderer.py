"""Draws the guest's picture, the pointer sprite and text into the current framebuffer."""

from __future__ import annotations

from glview.errors import NoGraphicsError
from glview.gl import api
from glview.gl.api import GL
from glview.gl.dmabuf import DmabufTexture, Importer
from glview.gl.egl import EGL
from glview.gl.imports import ImportCache
from glview.gl.program import Program
from glview.gl.scene import Image, Scene
from glview.gl.texture import (
    CopyTexture,
    Texture,
    UploadTexture,
    channels_for,
    image_texture,
    upload_picture,
)
from glview.scanout.formats import BY_FOURCC, PixelFormat
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, Source


class Renderer:
    """Owns every GL object; all methods need the context current."""

    def __init__(self, gl: GL, egl: EGL, *, window_alpha: bool) -> None:
        """`window_alpha`: the window's pixels have an alpha byte that nobody looks at.

        Then pictures at 1:1 are blitted, which software Mesa does by memcpy.
        Elsewhere a blit is no faster than drawing, and on Wayland with Mesa
        22.3 it never gets to the screen.
        """
        self.gl = gl
        self._may_blit = window_alpha
        self.imports = ImportCache(gl, Importer(gl, egl))
        self._picture: UploadTexture | CopyTexture | None = None
        self._buffer: tuple[DmabufSource, DmabufTexture] | None = None  # the newest
        self._images: dict[str, tuple[Image, UploadTexture]] = {}
        self._programs: dict[tuple[str, bool], Program] = {}
        gl.BindVertexArray(gl.generate("VertexArrays"))
        gl.PixelStorei(api.UNPACK_ALIGNMENT, 4)
        gl.Disable(api.DITHER)
        gl.BlendFunc(api.ONE, api.ONE_MINUS_SRC_ALPHA)

    # -- the picture -------------------------------------------------------

    def accept(self, source: Source, damage: Rect) -> None:
        """Make `source`, of which `damage` changed, the picture.

        It is read here and only here; frames are drawn from a texture of our
        own. A dma-buf is imported (NoGraphicsError if that fails) and copied
        by the GPU, which may take its time: put a fence after it. Pixels in
        memory are uploaded. `damage` only, where the texture has the rest.
        """
        if isinstance(source, DmabufSource):
            self._copy(source, damage)
            return
        self._forget_buffers()
        channels = channels_for(source.format, source.stride)
        fresh = self._prepare(UploadTexture, source.width, source.height, channels)
        whole = Rect(0, 0, source.width, source.height)
        rect = whole if fresh else damage.clip(source.width, source.height)
        if rect is not None:
            assert isinstance(self._picture, UploadTexture)
            upload_picture(self._picture, source, rect)

    def keep(self) -> None:
        """All buffers are gone; the picture stays."""
        self._forget_buffers()
        self.imports.end()

    def _prepare(
        self, kind: type[UploadTexture | CopyTexture], width: int, height: int, channels: str
    ) -> bool:
        """Have a texture of that kind for the picture; True where it is a new one."""
        old = self._picture
        wanted = width, height, channels
        if isinstance(old, kind) and (old.width, old.height, old.channels) == wanted:
            return False
        new = kind(self.gl, width, height, channels)
        if old is not None:
            old.close()
        self._picture = new
        return True

    def _copy(self, source: DmabufSource, damage: Rect) -> None:
        buffer = self._import(source)
        fmt = BY_FOURCC.get(source.fourcc)
        channels = fmt.channels if fmt is not None else ""  # so that a copy is a plain one
        fresh = self._prepare(CopyTexture, source.width, source.height, channels)
        assert self._picture is not None
        self._picture.bottom_up = buffer.bottom_up
        x, y, width, height = buffer.rect
        rect = damage.clip(width, height) if source.whole and not fresh else None
        part = rect or Rect(0, 0, width, height)
        buffer.renew()
        narrow = fmt is not None and bool(fmt.bits)
        if buffer.raw and not narrow:
            buffer.raw = self._blit_copy(buffer, part.moved(x, y), part)
        if narrow or not buffer.raw:
            self._draw_copy(buffer, fmt if narrow else None)

    def _import(self, source: DmabufSource) -> DmabufTexture:
        if self._buffer is None or self._buffer[0] is not source:
            self._buffer = None
            self._buffer = source, self.imports.texture(source)
        self.imports.tidy()
        return self._buffer[1]

    def _blit_copy(self, buffer: DmabufTexture, part: Rect, into: Rect) -> bool:
        gl = self.gl
        assert self._picture is not None
        done = self._picture.bind_to_draw() and buffer.bind_to_read()
        if done:
            corners = (*_corners(part), *_corners(into))
            gl.BlitFramebuffer(*corners, api.COLOR_BUFFER_BIT, api.NEAREST)
        gl.BindFramebuffer(api.DRAW_FRAMEBUFFER, 0)
        gl.BindFramebuffer(api.READ_FRAMEBUFFER, 0)
        return done

    def _draw_copy(self, buffer: DmabufTexture, narrow: PixelFormat | None) -> None:
        """Copy all of what cannot be blitted, row for row; `narrow` channels are widened."""
        assert self._picture is not None
        width, height = self._picture.width, self._picture.height
        place = Rect(0, 0, width, height)
        if not self._picture.bind_to_draw():
            raise NoGraphicsError("this OpenGL driver does not draw into textures")
        self.gl.Viewport(*place)
        scene = Scene(width, height, place)
        if narrow is not None:
            self._draw_widened(buffer, narrow, scene)
        else:
            self._draw_picture(buffer, place, scene, exact=True, bottom_up=True)
        self.gl.BindFramebuffer(api.DRAW_FRAMEBUFFER, 0)

    def _draw_widened(self, buffer: DmabufTexture, fmt: PixelFormat, scene: Scene) -> None:
        program = self._program("widen.frag", external=buffer.target != api.TEXTURE_2D)
        self.gl.UseProgram(program.name)
        buffer.bind()
        levels = [float((1 << bits) - 1) for _, bits in fmt.bits]
        self.gl.Uniform4f(program.places["u_levels"], *levels, 0.0)
        (x, y, w, h), tw, th = buffer.rect, buffer.width, buffer.height
        self._quad(program, Rect(0, 0, w, h), scene, (x / tw, y / th, w / tw, h / th))

    def _forget_buffers(self) -> None:
        self._buffer = None
        self.imports.forget()

    # -- a frame -----------------------------------------------------------

    def draw(self, scene: Scene, part: Rect | None = None) -> None:
        """Draw the part `part` of the framebuffer, all without one; it must be bound already."""
        gl = self.gl
        picture, place = self._picture, scene.place
        if part == (0, 0, scene.width, scene.height):
            part = None  # drivers make other shaders where there is a scissor
        gl.Viewport(0, 0, scene.width, scene.height)
        shown = picture is not None and place is not None
        self._blacken(scene, place if shown else None, part)
        if part is not None:
            gl.Enable(api.SCISSOR_TEST)
            gl.Scissor(*_from_bottom(part, scene))
        if picture is not None and place is not None:
            same_size = (place.width, place.height) == picture.rect[2:]
            plain = self._may_blit and same_size and picture.raw and scene.light == 1.0
            if not (plain and self._blit(picture, place, scene, part)):
                flip = picture.bottom_up
                self._draw_picture(picture, place, scene, exact=same_size, bottom_up=flip)
        self._draw_image("sprite", scene.sprite, scene)
        self._draw_image("text", scene.text, scene)
        self._draw_image("hud", scene.hud, scene)
        gl.Disable(api.SCISSOR_TEST)

    def _blacken(self, scene: Scene, place: Rect | None, part: Rect | None) -> None:
        """Make black what the picture leaves free.

        In strips, which is less to fill, and because a clear of the whole
        window never gets to the screen on Wayland with Mesa 22.3.
        """
        gl, width, height = self.gl, scene.width, scene.height
        x, y, w, h = place or Rect(0, height // 2, width, 0)
        right, below = x + w, y + h
        strips = (
            Rect(0, 0, width, y),
            Rect(0, below, width, height - below),
            Rect(0, y, x, h),
            Rect(right, y, width - right, h),
        )
        gl.ClearColor(0.0, 0.0, 0.0, 1.0)
        gl.Enable(api.SCISSOR_TEST)
        for strip in strips:
            rect = strip.common(part or Rect(0, 0, width, height))
            if rect is not None:
                gl.Scissor(*_from_bottom(rect, scene))
                gl.Clear(api.COLOR_BUFFER_BIT)
        gl.Disable(api.SCISSOR_TEST)

    def _blit(self, picture: Texture, place: Rect, scene: Scene, part: Rect | None) -> bool:
        """Copy 1:1; software Mesa makes a memcpy of the top-down case."""
        rect = place.common(part) if part is not None else place
        if rect is None:
            return True
        if not picture.bind_to_read():
            picture.raw = False
            return False
        left, top, across, down = rect.moved(picture.rect[0] - place.x, -place.y)
        upward = picture.bottom_up
        first = picture.rect[1] + (picture.rect[3] - top - down if upward else top)
        below, above = scene.height - rect.y - rect.height, scene.height - rect.y
        self.gl.BlitFramebuffer(
            *(left, first, left + across, first + down),
            *(rect.x, below if upward else above, rect.x + across, above if upward else below),
            *(api.COLOR_BUFFER_BIT, api.NEAREST),
        )
        self.gl.BindFramebuffer(api.READ_FRAMEBUFFER, 0)
        return True

    def _draw_picture(
        self, picture: Texture, place: Rect, scene: Scene, *, exact: bool, bottom_up: bool
    ) -> None:
        gl = self.gl
        program = self._program("picture.frag", external=picture.target != api.TEXTURE_2D)
        gl.UseProgram(program.name)
        picture.bind()
        picture.filter(api.NEAREST if exact else api.LINEAR)
        (x, y, w, h), tw, th = picture.rect, picture.width, picture.height
        inner = ((x + 0.5) / tw, (y + 0.5) / th, (x + w - 0.5) / tw, (y + h - 0.5) / th)
        gl.Uniform4f(program.places["u_inner"], *inner)
        gl.Uniform1f(program.places["u_light"], scene.light)
        bottom, height = (y, h) if bottom_up else (y + h, -h)
        self._quad(program, place, scene, (x / tw, bottom / th, w / tw, height / th))

    def _draw_image(self, slot: str, item: tuple[Image, Rect] | None, scene: Scene) -> None:
        known = self._images.get(slot)
        if known is not None and (item is None or known[0] is not item[0]):
            known[1].close()
            del self._images[slot]
        if item is None:
            return
        image, place = item
        if slot not in self._images:
            texture = image_texture(
                self.gl, image.width, image.height, image.pixels, image.channels
            )
            self._images[slot] = image, texture
        texture = self._images[slot][1]
        program = self._program("sprite.frag", external=False)
        gl = self.gl
        gl.UseProgram(program.name)
        texture.bind()
        exact = (place.width, place.height) == (image.width, image.height)
        texture.filter(api.NEAREST if exact else api.LINEAR)
        gl.Enable(api.BLEND)
        self._quad(program, place, scene, (0.0, 1.0, 1.0, -1.0))
        gl.Disable(api.BLEND)

    def _quad(self, program: Program, place: Rect, scene: Scene, source: tuple[float, ...]) -> None:
        gl, w, h = self.gl, scene.width, scene.height
        left, bottom = 2 * place.x / w - 1, 1 - 2 * (place.y + place.height) / h
        gl.Uniform4f(
            program.places["u_target"], left, bottom, 2 * place.width / w, 2 * place.height / h
        )
        gl.Uniform4f(program.places["u_source"], *source)
        gl.DrawArrays(api.TRIANGLE_STRIP, 0, 4)

    def _program(self, fragment: str, *, external: bool) -> Program:
        key = fragment, external
        if key not in self._programs:
            self._programs[key] = Program(self.gl, fragment, external=external)
        return self._programs[key]

    def close(self) -> None:
        """Delete the textures; programs and the rest go with the context."""
        self.keep()
        if self._picture is not None:
            self._picture.close()
            self._picture = None
        for _, texture in self._images.values():
            texture.close()
        self._images.clear()


def _corners(rect: Rect) -> tuple[int, int, int, int]:
    return rect.x, rect.y, rect.x + rect.width, rect.y + rect.height


def _from_bottom(rect: Rect, scene: Scene) -> tuple[int, int, int, int]:
    """As OpenGL counts the rows of a framebuffer."""
    return rect.x, scene.height - rect.y - rect.height, rect.width, rect.height
