"""The OpenGL calls of the frame loop, by address.

One table of C signatures, resolved through eglGetProcAddress once a context
is current. The same functions exist in OpenGL ES 3.0 and OpenGL 3.3 core.
Raw addresses cost half of what PyOpenGL's wrappers do, never convert an
array behind our back, and let the start-up go without loading PyOpenGL.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Literal

from glview.errors import NoGraphicsError

Api = Literal["es", "core"]
"""OpenGL ES 3.0 or OpenGL 3.3 core."""

TEXTURE_2D = 0x0DE1
TEXTURE_EXTERNAL_OES = 0x8D65
TEXTURE_MAG_FILTER = 0x2800
TEXTURE_MIN_FILTER = 0x2801
TEXTURE_WRAP_S = 0x2802
TEXTURE_WRAP_T = 0x2803
TEXTURE_SWIZZLE_R = 0x8E42
TEXTURE_SWIZZLE_G = 0x8E43
TEXTURE_SWIZZLE_B = 0x8E44
TEXTURE_SWIZZLE_A = 0x8E45
NEAREST = 0x2600
LINEAR = 0x2601
CLAMP_TO_EDGE = 0x812F
ONE = 1
RED, GREEN, BLUE, ALPHA = 0x1903, 0x1904, 0x1905, 0x1906
RGBA, BGRA = 0x1908, 0x80E1
RGBA8, BGRA8 = 0x8058, 0x93A1
UNSIGNED_BYTE = 0x1401
UNPACK_ROW_LENGTH = 0x0CF2
UNPACK_ALIGNMENT = 0x0CF5
PACK_ROW_LENGTH = 0x0D02
PACK_REVERSE_ROW_ORDER = 0x93A4  # of GL_ANGLE_pack_reverse_row_order
PACK_INVERT = 0x8758  # of GL_MESA_pack_invert
MAX_TEXTURE_SIZE = 0x0D33
READ_FRAMEBUFFER, DRAW_FRAMEBUFFER = 0x8CA8, 0x8CA9
COLOR_ATTACHMENT0 = 0x8CE0
FRAMEBUFFER_COMPLETE = 0x8CD5
COLOR_BUFFER_BIT = 0x4000
TRIANGLE_STRIP = 0x0005
BLEND, SCISSOR_TEST, DITHER = 0x0BE2, 0x0C11, 0x0BD0
ONE_MINUS_SRC_ALPHA = 0x0303
NUM_EXTENSIONS = 0x821D
EXTENSIONS, VERSION, RENDERER = 0x1F03, 0x1F02, 0x1F01
NO_ERROR = 0

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")  # in the names of renderers

_I, _U, _F, _P = ctypes.c_int, ctypes.c_uint, ctypes.c_float, ctypes.c_void_p
_B, _S = ctypes.c_ubyte, ctypes.c_char_p
_UP = ctypes.POINTER(ctypes.c_uint)
_IP = ctypes.POINTER(ctypes.c_int)

_CALLS: dict[str, tuple[Any, ...]] = {  # name: (result, arguments...)
    "BindFramebuffer": (None, _U, _U),
    "BindTexture": (None, _U, _U),
    "BindVertexArray": (None, _U),
    "BlendFunc": (None, _U, _U),
    "BlitFramebuffer": (None, _I, _I, _I, _I, _I, _I, _I, _I, _U, _U),
    "CheckFramebufferStatus": (_U, _U),
    "Clear": (None, _U),
    "ClearColor": (None, _F, _F, _F, _F),
    "DeleteFramebuffers": (None, _I, _UP),
    "DeleteTextures": (None, _I, _UP),
    "Disable": (None, _U),
    "DrawArrays": (None, _U, _I, _I),
    "Enable": (None, _U),
    "Finish": (None,),
    "Flush": (None,),
    "FramebufferTexture2D": (None, _U, _U, _U, _U, _I),
    "GenFramebuffers": (None, _I, _UP),
    "GenTextures": (None, _I, _UP),
    "GenVertexArrays": (None, _I, _UP),
    "GetError": (_U,),
    "GetIntegerv": (None, _U, _IP),
    "GetString": (_S, _U),
    "GetStringi": (_S, _U, _U),
    "GetUniformLocation": (_I, _U, _S),
    "PixelStorei": (None, _U, _I),
    "ReadPixels": (None, _I, _I, _I, _I, _U, _U, _P),
    "Scissor": (None, _I, _I, _I, _I),
    "TexImage2D": (None, _U, _I, _I, _I, _I, _I, _U, _U, _P),
    "TexParameteri": (None, _U, _U, _I),
    "TexStorage2D": (None, _U, _I, _U, _I, _I),
    "TexSubImage2D": (None, _U, _I, _I, _I, _I, _I, _U, _U, _P),
    "Uniform1f": (None, _I, _F),
    "Uniform1i": (None, _I, _I),
    "Uniform4f": (None, _I, _F, _F, _F, _F),
    "UseProgram": (None, _U),
    "Viewport": (None, _I, _I, _I, _I),
}
_OPTIONAL: dict[str, tuple[Any, ...]] = {
    "EGLImageTargetTexture2DOES": (None, _U, _P),
    "TexStorage2D": (None, _U, _I, _U, _I, _I),  # an extension in OpenGL 3.3
}


class GL:
    """The calls of the current context, without their `gl` prefix.

    Attributes: `es` (OpenGL ES, not desktop OpenGL), `version` and
    `renderer` (as the driver words them), `extensions`, `max_size`, and `software`
    if the CPU draws.
    """

    def __init__(self, find: Callable[[str], int], *, es: bool) -> None:
        """Resolve every call with `find(name) -> address`; NoGraphicsError if one is missing."""
        self.es = es
        for name, signature in (_CALLS | _OPTIONAL).items():
            address = find("gl" + name)
            if address:
                setattr(self, name, ctypes.CFUNCTYPE(*signature)(address))
            elif name not in _OPTIONAL:
                raise NoGraphicsError(f"the OpenGL driver lacks gl{name}")
        self.version = self.text(VERSION)
        self.renderer = self.text(RENDERER)
        self.software = any(word in self.renderer.lower() for word in _SOFTWARE)
        self.max_size = self.integer(MAX_TEXTURE_SIZE)
        self.extensions = frozenset(
            self.GetStringi(EXTENSIONS, i).decode(errors="replace")
            for i in range(self.integer(NUM_EXTENSIONS))
        )

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the calls of the table
        raise AttributeError(f"OpenGL has no gl{name} here")

    def text(self, name: int) -> str:
        """A string of the driver's."""
        raw: bytes | None = self.GetString(name)
        return raw.decode(errors="replace") if raw else ""

    def integer(self, name: int) -> int:
        """An integer of the context's state."""
        value = ctypes.c_int(0)
        self.GetIntegerv(name, ctypes.byref(value))
        return value.value

    def generate(self, kind: str) -> int:
        """A new object: `kind` is Textures, Framebuffers or VertexArrays."""
        name = ctypes.c_uint(0)
        getattr(self, "Gen" + kind)(1, ctypes.byref(name))
        return name.value

    def delete(self, kind: str, name: int) -> None:
        """Delete one object made by `generate`."""
        getattr(self, "Delete" + kind)(1, ctypes.byref(ctypes.c_uint(name)))

    def errors(self) -> list[int]:
        """The error flags that are set, clearing them (a lost context never runs dry)."""
        found: list[int] = []
        while len(found) < 16 and (code := self.GetError()) != NO_ERROR:
            found.append(code)
        return found
