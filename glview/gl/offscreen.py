"""An OpenGL context without a window: nothing of it is ever sent to the window system.

It is Mesa's software renderer: what it draws, the CPU wants.
What is drawn goes into a pbuffer, not a texture, because Mesa turns only such
framebuffers upside down in memory: so a picture is copied there row by row as
it is, by memcpy, and read again in the order of the screen's rows.
(EGL_EXT_platform_device; EGL_MESA_device_software; EGL 1.5, 3.5.2 pbuffers)
"""

from __future__ import annotations

import ctypes
from typing import Any

from glview.errors import NoGraphicsError
from glview.gl import api
from glview.gl.api import GL, Api
from glview.gl.egl import EGL, EXTENSIONS, HEIGHT, NONE, WIDTH, library
from glview.scanout.geometry import Rect

_PLATFORM_DEVICE = 0x313F
_MOST_DEVICES = 64
_P, _U = ctypes.c_void_p, ctypes.c_uint
_MAJOR, _MINOR = 0x3098, 0x30FB
_SURFACE_TYPE, _PBUFFER = 0x3033, 1
_RENDERABLE = 0x3040
_ALPHA, _BLUE, _GREEN, _RED = 0x3021, 0x3022, 0x3023, 0x3024
_DEPTH, _STENCIL = 0x3025, 0x3026
_PROFILE, _CORE = 0x30FD, 1
_KINDS: dict[Api, tuple[int, int, tuple[int, ...]]] = {  # EGL's name and bit, the context wanted
    "es": (0x30A0, 0x40, (_MAJOR, 3, _MINOR, 0)),
    "core": (0x30A2, 0x08, (_MAJOR, 3, _MINOR, 3, _PROFILE, _CORE)),
}
_TOP_FIRST = {
    "GL_ANGLE_pack_reverse_row_order": api.PACK_REVERSE_ROW_ORDER,
    "GL_MESA_pack_invert": api.PACK_INVERT,
}


class Offscreen:
    """A current context, `gl`, on the EGL display `egl`, and a framebuffer to draw into."""

    def __init__(self, wanted: Api | None) -> None:
        """`wanted` is the kind of context, None for either. Raises NoGraphicsError."""
        self._lib = library()
        self._display = self._open_display()
        self._context: int | None = None
        self._config: int | None = None
        self._surface: int | None = None
        self._size = (0, 0)
        try:
            kind = self._make_context((wanted,) if wanted else ("es", "core"))
            self.egl = EGL(self._display)
            self.gl = GL(self.egl.find, es=kind == "es")
            self._top_first = self._choose_top_first()
        except BaseException:
            self.close()
            raise

    def _open_display(self) -> int:
        display = self._call("eglGetPlatformDisplayEXT", _P, _U, _P, _P)(
            _PLATFORM_DEVICE, self._software_device(), None
        )
        if not display or not self._lib.eglInitialize(display, None, None):
            raise NoGraphicsError("EGL has no software renderer", "install libgl1-mesa-dri")
        return int(display)

    def _software_device(self) -> int:
        """Not the surfaceless platform: that takes any DRM device first, even one without a GPU."""
        known = (self._lib.eglQueryString(None, EXTENSIONS) or b"").split()
        if b"EGL_EXT_platform_device" in known and b"EGL_EXT_device_enumeration" in known:
            describe = self._call("eglQueryDeviceStringEXT", ctypes.c_char_p, _P, ctypes.c_int)
            devices, count = (_P * _MOST_DEVICES)(), ctypes.c_int()
            ask = self._call("eglQueryDevicesEXT", _U, ctypes.c_int, _P, _P)
            ask(_MOST_DEVICES, devices, ctypes.byref(count))
            for device in devices[: count.value]:
                if device and b"EGL_MESA_device_software" in (describe(device, EXTENSIONS) or b""):
                    return int(device)
        raise NoGraphicsError("EGL has no software renderer", "install libegl-mesa0")

    def _call(self, name: str, *signature: Any) -> Any:  # noqa: ANN401 - a C function
        address = self._lib.eglGetProcAddress(name.encode())
        if not address:
            raise NoGraphicsError(f"EGL lacks {name}")
        return ctypes.CFUNCTYPE(*signature)(address)

    def _make_context(self, kinds: tuple[Api, ...]) -> Api:
        for kind in kinds:
            name, bit, words = _KINDS[kind]
            self._config = self._choose_config(bit)
            if self._config and self._lib.eglBindAPI(name):
                self._context = self._lib.eglCreateContext(
                    self._display, self._config, None, _list(*words)
                )
            if self._context:
                self.resize(1, 1)
                return kind
        raise NoGraphicsError(
            "no OpenGL ES 3.0 or OpenGL 3.3 context without a window",
            "install libgles2 and libgl1-mesa-dri",
        )

    def _choose_config(self, renderable: int) -> int | None:
        """Pixels of B, G, R, A bytes, without anything else."""
        wanted = _list(
            *(_SURFACE_TYPE, _PBUFFER, _RENDERABLE, renderable, _DEPTH, 0, _STENCIL, 0),
            *(_RED, 8, _GREEN, 8, _BLUE, 8, _ALPHA, 8),
        )
        config, found = ctypes.c_void_p(), ctypes.c_int()
        self._lib.eglChooseConfig(
            self._display, wanted, ctypes.byref(config), 1, ctypes.byref(found)
        )
        return config.value if found.value else None

    def _choose_top_first(self) -> int:
        """What has pixels read from the top row down, as the screen has them."""
        for extension, name in _TOP_FIRST.items():
            if extension in self.gl.extensions:
                return name
        raise NoGraphicsError("this OpenGL driver reads pixels from the bottom up only")

    def resize(self, width: int, height: int) -> None:
        """Have a framebuffer of that size. Raises NoGraphicsError."""
        if (width, height) == self._size:
            return
        size = _list(WIDTH, width, HEIGHT, height)
        surface = self._lib.eglCreatePbufferSurface(self._display, self._config, size)
        made = surface and self._lib.eglMakeCurrent(self._display, surface, surface, self._context)
        if self._surface:
            self._lib.eglDestroySurface(self._display, self._surface)
        self._surface, self._size = surface, (width, height)
        if not made:
            raise NoGraphicsError(f"OpenGL draws no frame of {width}x{height} pixels")

    def read(self, rect: Rect, address: int, stride: int) -> None:
        """Copy `rect` of what was drawn, origin top left, as B, G, R, X bytes to `address`.

        `stride` are the bytes from row to row there, a multiple of 4. Waits for the GPU.
        """
        gl = self.gl
        bottom = self._size[1] - rect.y - rect.height
        size = rect.width, rect.height
        gl.PixelStorei(api.PACK_ROW_LENGTH, stride // 4)
        gl.PixelStorei(self._top_first, 1)
        gl.ReadPixels(rect.x, bottom, *size, api.BGRA, api.UNSIGNED_BYTE, address)
        gl.PixelStorei(self._top_first, 0)  # others read too
        gl.PixelStorei(api.PACK_ROW_LENGTH, 0)

    def close(self) -> None:
        """Delete everything. A second call does nothing."""
        if self._context:
            self._lib.eglMakeCurrent(self._display, None, None, None)
            self._lib.eglDestroyContext(self._display, self._context)
        if self._surface:
            self._lib.eglDestroySurface(self._display, self._surface)
        if self._display:
            self._lib.eglTerminate(self._display)
        self._context, self._surface, self._display = None, None, 0


def _list(*attributes: int) -> ctypes.Array[ctypes.c_int]:
    """Attributes as EGL takes them."""
    return (ctypes.c_int * (len(attributes) + 1))(*attributes, NONE)
