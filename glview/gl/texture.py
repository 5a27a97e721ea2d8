"""Textures: the guest's picture uploaded, and small images of our own.

Pixels are uploaded as the raw bytes they are, into storage of the same byte
order or, where there is none, with the channels renamed by a swizzle: both
are plain copies for the driver. Letting it convert costs five times as much.
"""

from __future__ import annotations

import ctypes

from glview.errors import NoGraphicsError
from glview.gl import api
from glview.gl.api import GL
from glview.scanout.formats import PixelFormat, to_bgrx
from glview.scanout.geometry import Rect
from glview.scanout.source import PixelSource

_CHANNELS = (api.RED, api.GREEN, api.BLUE, api.ALPHA)


class Texture:
    """A 2D texture with one owner, who calls `close` with the context current.

    `rect` is the part that is the picture, in texture rows; `bottom_up` says
    that the first of them is the bottom of the picture. `raw` textures hold
    the picture without a swizzle, so that they can be blitted.
    """

    target = api.TEXTURE_2D

    def __init__(self, gl: GL, width: int, height: int) -> None:
        self.gl = gl
        self.width, self.height = width, height
        self.rect = Rect(0, 0, width, height)
        self.bottom_up = False
        self.raw = False
        self.name = gl.generate("Textures")
        self._framebuffer: int | None = None
        self.bind()
        for side in (api.TEXTURE_WRAP_S, api.TEXTURE_WRAP_T):
            gl.TexParameteri(self.target, side, api.CLAMP_TO_EDGE)
        self._filter = 0
        self.filter(api.NEAREST)

    def bind(self) -> None:
        """Make it the texture of unit 0."""
        self.gl.BindTexture(self.target, self.name)

    def filter(self, mode: int) -> None:
        """NEAREST or LINEAR; the texture must be bound."""
        if mode != self._filter:
            self.gl.TexParameteri(self.target, api.TEXTURE_MIN_FILTER, mode)
            self.gl.TexParameteri(self.target, api.TEXTURE_MAG_FILTER, mode)
            self._filter = mode

    def bind_to_read(self) -> bool:
        """Make it the source of blits; False where the driver will not read it so."""
        return self._bind_framebuffer(api.READ_FRAMEBUFFER)

    def bind_to_draw(self) -> bool:
        """Make it what is drawn into; False where the driver will not."""
        return self._bind_framebuffer(api.DRAW_FRAMEBUFFER)

    def _bind_framebuffer(self, target: int) -> bool:
        if self._framebuffer is None:
            self._framebuffer = self._make_framebuffer()
        if self._framebuffer:
            self.gl.BindFramebuffer(target, self._framebuffer)
        return bool(self._framebuffer)

    def _make_framebuffer(self) -> int:
        gl = self.gl
        name = gl.generate("Framebuffers")
        gl.BindFramebuffer(api.READ_FRAMEBUFFER, name)
        gl.FramebufferTexture2D(
            api.READ_FRAMEBUFFER, api.COLOR_ATTACHMENT0, self.target, self.name, 0
        )
        status = gl.CheckFramebufferStatus(api.READ_FRAMEBUFFER)
        gl.BindFramebuffer(api.READ_FRAMEBUFFER, 0)
        errors = gl.errors()  # external textures leave one
        if status == api.FRAMEBUFFER_COMPLETE and not errors:
            return name
        gl.delete("Framebuffers", name)
        return 0

    def close(self) -> None:
        """Delete the GL objects."""
        if self._framebuffer:
            self.gl.delete("Framebuffers", self._framebuffer)
        self.gl.delete("Textures", self.name)


def refuse_larger(gl: GL, width: int, height: int) -> None:
    """Raises NoGraphicsError for a size that the driver has no texture of."""
    if max(width, height) > gl.max_size:
        raise NoGraphicsError(
            f"the guest's picture of {width}x{height} is larger than this OpenGL driver"
            f" can show ({gl.max_size} pixels)",
            "choose a smaller mode in the guest",
        )


class UploadTexture(Texture):
    """A texture that the guest's pixels are copied into."""

    def __init__(self, gl: GL, width: int, height: int, channels: str) -> None:
        """`channels` names the bytes of a pixel in memory order, e.g. ``bgrx``.

        Raises NoGraphicsError where the driver has no texture so large.
        """
        refuse_larger(gl, width, height)
        super().__init__(gl, width, height)
        self.channels = channels
        self._order = api.RGBA
        if not self._make_bgra_storage():
            gl.TexImage2D(
                *(self.target, 0, api.RGBA8, width, height, 0),
                *(api.RGBA, api.UNSIGNED_BYTE, None),
            )
            self._swizzle()

    def _make_bgra_storage(self) -> bool:
        """Storage that holds B, G, R, X bytes as they are; False where there is none."""
        gl = self.gl
        if self.channels != "bgrx":
            return False
        if gl.es and "GL_EXT_texture_format_BGRA8888" in gl.extensions:
            gl.TexImage2D(
                *(self.target, 0, api.BGRA, self.width, self.height, 0),
                *(api.BGRA, api.UNSIGNED_BYTE, None),
            )
        elif not gl.es and "GL_EXT_texture_storage" in gl.extensions:
            gl.TexStorage2D(self.target, 1, api.BGRA8, self.width, self.height)
        else:
            return False
        if gl.errors():
            return False
        self._order = api.BGRA
        self.raw = True
        return True

    def _swizzle(self) -> None:
        gl, channels = self.gl, self.channels
        self.raw = channels.startswith("rgb")
        names = (api.TEXTURE_SWIZZLE_R, api.TEXTURE_SWIZZLE_G, api.TEXTURE_SWIZZLE_B)
        for name, channel in zip(names, "rgb", strict=True):
            gl.TexParameteri(self.target, name, _CHANNELS[channels.index(channel)])
        opaque = "a" not in channels
        alpha = api.ONE if opaque else _CHANNELS[channels.index("a")]
        gl.TexParameteri(self.target, api.TEXTURE_SWIZZLE_A, alpha)

    def upload(self, rect: Rect, address: int, stride: int) -> None:
        """Copy the pixels at `address`, `stride` bytes a row (a multiple of 4), to `rect`."""
        gl = self.gl
        self.bind()
        gl.PixelStorei(api.UNPACK_ROW_LENGTH, stride // 4)
        gl.TexSubImage2D(
            *(self.target, 0, rect.x, rect.y, rect.width, rect.height),
            *(self._order, api.UNSIGNED_BYTE, address),
        )
        gl.PixelStorei(api.UNPACK_ROW_LENGTH, 0)


class CopyTexture(Texture):
    """A texture that the GPU copies the guest's pixels into. Nothing is ever uploaded to it."""

    def __init__(self, gl: GL, width: int, height: int, channels: str) -> None:
        """`channels` says which order of bytes is the best, ``bgrx`` or another."""
        super().__init__(gl, width, height)
        self.channels = channels
        self.raw = True
        if channels != "bgrx" or not self._store(api.BGRA8):
            self._store(api.RGBA8)

    def _store(self, kind: int) -> bool:
        self.gl.TexStorage2D(self.target, 1, kind, self.width, self.height)
        return not self.gl.errors()


def channels_for(fmt: PixelFormat, stride: int) -> str:
    """How a picture is stored as a texture: as it is, or converted to B, G, R, X."""
    return fmt.channels if fmt.swizzle and stride % 4 == 0 else "bgrx"


def upload_picture(texture: UploadTexture, source: PixelSource, rect: Rect) -> None:
    """Copy `rect` of the guest's picture into a texture made for `channels_for` it."""
    fmt, stride = source.format, source.stride
    start = rect.y * stride + rect.x * fmt.size
    with source.reading():
        if fmt.swizzle and stride % 4 == 0:
            texture.upload(rect, source.memory.address + start, stride)
            return
        pixels = to_bgrx(source.memory.view[start:], rect.width, rect.height, stride, fmt)
    texture.upload(rect, pixels.ctypes.data, rect.width * 4)


def image_texture(gl: GL, width: int, height: int, pixels: bytes, channels: str) -> UploadTexture:
    """A texture of our own: a pointer sprite (``bgra``) or text (``rgba``), premultiplied."""
    texture = UploadTexture(gl, width, height, channels)
    memory = ctypes.c_char_p(pixels)
    address = ctypes.cast(memory, ctypes.c_void_p).value
    assert address is not None
    texture.upload(Rect(0, 0, width, height), address, width * 4)
    return texture
