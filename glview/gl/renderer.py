"""Draws the guest's picture, the pointer sprite and text into the current framebuffer."""

from __future__ import annotations

from dataclasses import dataclass

from glview.gl import api
from glview.gl.api import GL
from glview.gl.dmabuf import DmabufTexture, Importer
from glview.gl.egl import EGL
from glview.gl.program import Program
from glview.gl.texture import (
    Texture,
    UploadTexture,
    channels_for,
    image_texture,
    upload_picture,
)
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, PixelSource, Source


@dataclass(slots=True, frozen=True)
class Image:
    """Premultiplied pixels of our own. `channels` as in `image_texture`; compared by identity."""

    width: int
    height: int
    pixels: bytes
    channels: str


@dataclass(slots=True)
class Scene:
    """What one frame shows; all rectangles in framebuffer pixels, origin top left.

    `place` is where the guest's picture goes, None for a black window.
    `light` < 1 dims it. Images come with the rectangle they cover.
    """

    width: int
    height: int
    place: Rect | None
    light: float = 1.0
    sprite: tuple[Image, Rect] | None = None
    text: tuple[Image, Rect] | None = None


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
        self.importer = Importer(gl, egl, window_alpha=window_alpha)
        self._picture: Texture | None = None
        self._imported: DmabufSource | None = None
        self._images: dict[str, tuple[Image, UploadTexture]] = {}
        self._programs: dict[tuple[str, bool], Program] = {}
        self._bytes_uploaded = 0
        gl.BindVertexArray(gl.generate("VertexArrays"))
        gl.PixelStorei(api.UNPACK_ALIGNMENT, 4)
        gl.Disable(api.DITHER)
        gl.BlendFunc(api.ONE, api.ONE_MINUS_SRC_ALPHA)

    @property
    def bytes_uploaded(self) -> int:
        """Bytes of guest pictures copied into textures so far; 0 where all were imported."""
        picture = self._picture
        now = picture.bytes_uploaded if isinstance(picture, UploadTexture) else 0
        return self._bytes_uploaded + now

    @property
    def imported(self) -> bool:
        """Whether the picture is the guest's own buffer, which drawing reads."""
        return isinstance(self._picture, DmabufTexture)

    # -- the picture -------------------------------------------------------

    def accept(self, source: Source, damage: Rect) -> None:
        """Make `source`, of which `damage` changed, the picture.

        A dma-buf is imported when it is seen first (NoGraphicsError if that
        fails) and needs nothing more for later damage; other pixels are
        copied, `damage` only where the texture has the rest already.
        """
        if isinstance(source, DmabufSource):
            if source is not self._imported:
                self._imported = None
                self._replace(self.importer.texture(source))
                self._imported = source
            return
        self._imported = None
        fresh = self._prepare_upload(source)
        whole = Rect(0, 0, source.width, source.height)
        rect = whole if fresh else damage.clip(source.width, source.height)
        if rect is not None:
            assert isinstance(self._picture, UploadTexture)
            upload_picture(self._picture, source, rect)

    def _prepare_upload(self, source: PixelSource) -> bool:
        channels = channels_for(source.format, source.stride)
        old = self._picture
        if (
            isinstance(old, UploadTexture)
            and (old.width, old.height) == (source.width, source.height)
            and old.channels == channels
        ):
            return False
        self._replace(UploadTexture(self.gl, source.width, source.height, channels))
        return True

    def _replace(self, texture: Texture | None) -> None:
        self._bytes_uploaded = self.bytes_uploaded
        if self._picture is not None:
            self._picture.close()
        self._picture = texture

    # -- a frame -----------------------------------------------------------

    def draw(self, scene: Scene) -> None:
        """Draw the whole framebuffer, which must be bound already."""
        gl = self.gl
        picture, place = self._picture, scene.place
        gl.Viewport(0, 0, scene.width, scene.height)
        self._blacken(scene, place if picture is not None else None)
        if picture is not None and place is not None:
            same_size = (place.width, place.height) == picture.rect[2:]
            plain = self._may_blit and same_size and picture.raw and scene.light == 1.0
            if not (plain and self._blit(picture, place, scene.height)):
                self._draw_picture(picture, place, scene, exact=same_size)
        self._draw_image("sprite", scene.sprite, scene)
        self._draw_image("text", scene.text, scene)

    def _blacken(self, scene: Scene, place: Rect | None) -> None:
        """Make black what the picture leaves free.

        In strips, which is less to fill, and because a clear of the whole
        window never gets to the screen on Wayland with Mesa 22.3.
        """
        gl, width, height = self.gl, scene.width, scene.height
        x, y, w, h = place or Rect(0, height // 2, width, 0)
        bottom = height - y - h
        strips = ((0, height - y, width, y), (0, 0, width, bottom))
        sides = ((0, bottom, x, h), (x + w, bottom, width - x - w, h))
        gl.ClearColor(0.0, 0.0, 0.0, 1.0)
        for strip in (*strips, *sides):
            if strip[2] > 0 and strip[3] > 0:
                gl.Enable(api.SCISSOR_TEST)
                gl.Scissor(*strip)
                gl.Clear(api.COLOR_BUFFER_BIT)
                gl.Disable(api.SCISSOR_TEST)

    def _blit(self, picture: Texture, place: Rect, height: int) -> bool:
        """Copy 1:1; software Mesa makes a memcpy of the top-down case."""
        if not picture.bind_to_read():
            picture.raw = False
            return False
        x, y, w, h = picture.rect
        top, bottom = height - place.y, height - place.y - h
        first, last = (bottom, top) if picture.bottom_up else (top, bottom)
        self.gl.BlitFramebuffer(
            *(x, y, x + w, y + h),
            *(place.x, first, place.x + w, last),
            *(api.COLOR_BUFFER_BIT, api.NEAREST),
        )
        self.gl.BindFramebuffer(api.READ_FRAMEBUFFER, 0)
        return True

    def _draw_picture(self, picture: Texture, place: Rect, scene: Scene, *, exact: bool) -> None:
        gl = self.gl
        program = self._program("picture.frag", external=picture.target != api.TEXTURE_2D)
        gl.UseProgram(program.name)
        picture.bind()
        picture.filter(api.NEAREST if exact else api.LINEAR)
        (x, y, w, h), tw, th = picture.rect, picture.width, picture.height
        inner = ((x + 0.5) / tw, (y + 0.5) / th, (x + w - 0.5) / tw, (y + h - 0.5) / th)
        gl.Uniform4f(program.places["u_inner"], *inner)
        gl.Uniform1f(program.places["u_light"], scene.light)
        bottom, height = (y, h) if picture.bottom_up else (y + h, -h)
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
        self._replace(None)
        for _, texture in self._images.values():
            texture.close()
        self._images.clear()
