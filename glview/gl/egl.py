"""EGL: what GLFW does not do - importing dma-bufs, fences, who the driver is.

PyOpenGL has neither EGL_EXT_image_dma_buf_import_modifiers nor
glEGLImageTargetTexture2DOES for desktop OpenGL, so the calls are made by
address. (EGL 1.5; EGL_EXT_image_dma_buf_import; EGL_KHR_fence_sync)
"""

from __future__ import annotations

import ctypes
from typing import Any

from glview.errors import NoGraphicsError
from glview.scanout.formats import MOD_INVALID

EXTENSIONS, VENDOR, VERSION = 0x3055, 0x3053, 0x3054
DEVICE = 0x322C
DRM_DEVICE_FILE, DRM_RENDER_NODE_FILE = 0x3233, 0x3377
NONE = 0x3038
LINUX_DMA_BUF = 0x3270
LINUX_DRM_FOURCC = 0x3271
WIDTH, HEIGHT = 0x3057, 0x3056
IMAGE_PRESERVED = 0x30D2
BUFFER_AGE = 0x313D
SYNC_FENCE = 0x30F9
SYNC_NATIVE_FENCE = 0x3144
CONDITION_SATISFIED = 0x30F6
SYNC_FLUSH = 1

# fd, offset, pitch, modifier low and high, for each plane
PLANE_ATTRIBUTES = (
    (0x3272, 0x3273, 0x3274, 0x3443, 0x3444),
    (0x3275, 0x3276, 0x3277, 0x3445, 0x3446),
    (0x3278, 0x3279, 0x327A, 0x3447, 0x3448),
    (0x3440, 0x3441, 0x3442, 0x3449, 0x344A),
)

# What the numbers of a YUV picture mean: BT.601, black at 16 and white at 235. Nobody says
# so of a scanout, and this is what Mesa assumes, and with it QEMU's own windows show.
_YUV_HINTS = (0x327B, 0x327F, 0x327C, 0x3283)

_ERRORS = {
    0x3000: "EGL_SUCCESS",
    0x3001: "EGL_NOT_INITIALIZED",
    0x3002: "EGL_BAD_ACCESS",
    0x3003: "EGL_BAD_ALLOC",
    0x3004: "EGL_BAD_ATTRIBUTE",
    0x3009: "EGL_BAD_MATCH",
    0x300C: "EGL_BAD_PARAMETER",
    0x300E: "EGL_CONTEXT_LOST",
}

_P, _I, _U = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
_IP = ctypes.POINTER(ctypes.c_int)
_CORE_CALLS: dict[str, tuple[Any, ...]] = {
    "eglBindAPI": (_U, _U),
    "eglChooseConfig": (_U, _P, _IP, ctypes.POINTER(_P), _I, _IP),
    "eglCreateContext": (_P, _P, _P, _P, _IP),
    "eglCreatePbufferSurface": (_P, _P, _P, _IP),
    "eglDestroyContext": (_U, _P, _P),
    "eglDestroySurface": (_U, _P, _P),
    "eglGetError": (_I,),
    "eglGetProcAddress": (_P, ctypes.c_char_p),
    "eglInitialize": (_U, _P, _IP, _IP),
    "eglMakeCurrent": (_U, _P, _P, _P, _P),
    "eglQueryString": (ctypes.c_char_p, _P, _I),
    "eglQuerySurface": (_U, _P, _P, _I, _IP),
    "eglSwapBuffers": (_U, _P, _P),
    "eglTerminate": (_U, _P),
}
_EXTENSION_CALLS: dict[str, tuple[Any, ...]] = {
    "eglSwapBuffersWithDamageKHR": (_U, _P, _P, _IP, _I),
    "eglSwapBuffersWithDamageEXT": (_U, _P, _P, _IP, _I),
    "eglCreateImageKHR": (_P, _P, _P, _U, _P, _IP),
    "eglDestroyImageKHR": (_U, _P, _P),
    "eglCreateSyncKHR": (_P, _P, _U, _IP),
    "eglDestroySyncKHR": (_U, _P, _P),
    "eglDupNativeFenceFDANDROID": (_I, _P, _P),
    "eglClientWaitSyncKHR": (_I, _P, _P, _I, ctypes.c_uint64),
    "eglQueryDmaBufFormatsEXT": (_U, _P, _I, _IP, _IP),
    "eglQueryDmaBufModifiersEXT": (
        *(_U, _P, _I, _I),
        *(ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(_U), _IP),
    ),
    "eglQueryDisplayAttribEXT": (_U, _P, _I, ctypes.POINTER(_P)),
    "eglQueryDeviceStringEXT": (ctypes.c_char_p, _P, _I),
    "eglGetDisplayDriverName": (ctypes.c_char_p, _P),
}


def library() -> ctypes.CDLL:
    """libEGL, its calls typed where they take or return pointers. Raises NoGraphicsError."""
    try:
        lib = ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        raise NoGraphicsError(f"libEGL cannot be loaded: {error}", "install libegl1") from None
    for name, (result, *arguments) in _CORE_CALLS.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class EGL:
    """An EGL display, one with a current context."""

    def __init__(self, display: int) -> None:
        """`display` is the EGLDisplay as a number. Raises NoGraphicsError without libEGL."""
        self._lib = library()
        self.display = display
        self.extensions = frozenset(self._query(EXTENSIONS).split())
        self.vendor = self._query(VENDOR)
        self.version = self._query(VERSION)
        self._calls: dict[str, Any] = {}
        for name, signature in _EXTENSION_CALLS.items():
            address = self.find(name)
            if address:
                self._calls[name] = ctypes.CFUNCTYPE(*signature)(address)

    def find(self, name: str) -> int:
        """The address of an EGL or GL function, 0 where there is none."""
        return int(self._lib.eglGetProcAddress(name.encode()) or 0)

    def _query(self, what: int) -> str:
        raw: bytes | None = self._lib.eglQueryString(self.display, what)
        return raw.decode(errors="replace") if raw else ""

    def driver_name(self) -> str:
        """The driver's own name, e.g. ``radeonsi``; empty where it does not tell."""
        if "EGL_MESA_query_driver" not in self.extensions:
            return ""
        raw: bytes | None = self._calls["eglGetDisplayDriverName"](self.display)
        return (raw or b"").decode(errors="replace")

    def drm_node(self) -> str:
        """The device file of the GPU that draws, its render node if there is one.

        Empty for a software renderer, and where EGL does not tell.
        (EGL_EXT_device_query, EGL_EXT_device_drm, EGL_EXT_device_drm_render_node)
        """
        client: bytes | None = self._lib.eglQueryString(None, EXTENSIONS)
        known = set((client or b"").decode(errors="replace").split())
        if not known & {"EGL_EXT_device_query", "EGL_EXT_device_base"}:
            return ""
        device = ctypes.c_void_p()
        ask = self._calls["eglQueryDisplayAttribEXT"]
        if not ask(self.display, DEVICE, ctypes.byref(device)) or not device:
            return ""
        tell = self._calls["eglQueryDeviceStringEXT"]
        has = (tell(device, EXTENSIONS) or b"").decode(errors="replace").split()
        if "EGL_EXT_device_drm_render_node" in has and (node := tell(device, DRM_RENDER_NODE_FILE)):
            return str(node.decode(errors="replace"))
        node = tell(device, DRM_DEVICE_FILE) if "EGL_EXT_device_drm" in has else None
        return (node or b"").decode(errors="replace")

    @property
    def imports_dmabufs(self) -> bool:
        """Whether the driver takes dma-bufs at all."""
        return "EGL_EXT_image_dma_buf_import" in self.extensions

    @property
    def knows_modifiers(self) -> bool:
        """Whether the driver can be told a modifier."""
        return "EGL_EXT_image_dma_buf_import_modifiers" in self.extensions

    def dmabuf_formats(self) -> frozenset[int]:
        """The fourccs that the driver imports; empty where it does not tell."""
        query = self._calls.get("eglQueryDmaBufFormatsEXT")
        count = ctypes.c_int(0)
        if not self.knows_modifiers or query is None:
            return frozenset()
        if not query(self.display, 0, None, ctypes.byref(count)):
            return frozenset()
        formats = (ctypes.c_int * max(count.value, 1))()
        query(self.display, count.value, formats, ctypes.byref(count))
        return frozenset(code & 0xFFFF_FFFF for code in formats[: count.value])

    def dmabuf_modifiers(self, fourcc: int) -> dict[int, bool]:
        """Modifiers that the driver imports for a format -> whether as external texture only."""
        query = self._calls.get("eglQueryDmaBufModifiersEXT")
        count = ctypes.c_int(0)
        if not self.knows_modifiers or query is None:
            return {}
        code = ctypes.c_int(fourcc).value
        if not query(self.display, code, 0, None, None, ctypes.byref(count)):
            return {}
        size = max(count.value, 1)
        modifiers, external = (ctypes.c_uint64 * size)(), (ctypes.c_uint * size)()
        query(self.display, code, size, modifiers, external, ctypes.byref(count))
        return {modifiers[i]: bool(external[i]) for i in range(count.value)}

    def create_image(
        self,
        size: tuple[int, int],
        fourcc: int,
        planes: list[tuple[int, int, int]],
        modifier: int,
        *,
        yuv: bool,
    ) -> int:
        """Import a dma-buf of `size` pixels; planes are (fd, offset, stride in bytes).

        `yuv` says that the format is one of luma and chroma.

        Returns the EGLImage, which keeps the memory alive by itself. Raises
        NoGraphicsError with the name of the driver's error. The caller has checked the
        fds: drivers do not, and crash when they draw.
        """
        attributes = [WIDTH, size[0], HEIGHT, size[1], LINUX_DRM_FOURCC, fourcc]
        for names, (fd, offset, stride) in zip(PLANE_ATTRIBUTES, planes, strict=False):
            attributes += [names[0], fd, names[1], offset, names[2], stride]
            if modifier != MOD_INVALID and self.knows_modifiers:
                attributes += [names[3], modifier & 0xFFFF_FFFF, names[4], modifier >> 32]
        attributes += [*(_YUV_HINTS if yuv else ()), IMAGE_PRESERVED, 1, NONE]
        signed = [ctypes.c_int(value).value for value in attributes]
        array = (ctypes.c_int * len(signed))(*signed)
        image = self._calls["eglCreateImageKHR"](self.display, None, LINUX_DMA_BUF, None, array)
        if not image:
            raise NoGraphicsError(self.error())
        return int(image)

    def destroy_image(self, image: int) -> None:
        """Destroy an EGLImage; textures made of it live on."""
        self._calls["eglDestroyImageKHR"](self.display, image)

    def buffer_age(self, surface: int) -> int:
        """How many frames ago a surface's next buffer was drawn into; 0 where nobody knows.

        (EGL_EXT_buffer_age)
        """
        age = ctypes.c_int(0)
        if "EGL_EXT_buffer_age" in self.extensions:
            self._lib.eglQuerySurface(self.display, surface, BUFFER_AGE, ctypes.byref(age))
        return age.value

    def swap(self, surface: int, changed: tuple[int, int, int, int]) -> None:
        """Show a surface, of which only `changed` is new: x, y from the bottom, width, height.

        (EGL_KHR_swap_buffers_with_damage, or the EXT of the same)
        """
        for kind in ("KHR", "EXT"):
            if f"EGL_{kind}_swap_buffers_with_damage" in self.extensions:
                swap = self._calls[f"eglSwapBuffersWithDamage{kind}"]
                swap(self.display, surface, (ctypes.c_int * 4)(*changed), 1)
                return
        self._lib.eglSwapBuffers(self.display, surface)

    def create_sync(self) -> int:
        """A fence after all GL commands so far, to be asked; 0 where the driver has none."""
        if "EGL_KHR_fence_sync" not in self.extensions:
            return 0
        return int(self._calls["eglCreateSyncKHR"](self.display, SYNC_FENCE, None) or 0)

    def create_native_sync(self) -> int:
        """The same with a descriptor, after a flush; 0 where the driver has none."""
        if "EGL_ANDROID_native_fence_sync" not in self.extensions:
            return 0
        return int(self._calls["eglCreateSyncKHR"](self.display, SYNC_NATIVE_FENCE, None) or 0)

    def dup_native_fd(self, sync: int) -> int:
        """A descriptor, the caller's to close, of a flushed native fence; -1 if there is none."""
        return int(self._calls["eglDupNativeFenceFDANDROID"](self.display, sync))

    def sync_passed(self, sync: int, wait: int = 0) -> bool:
        """Whether the GPU gets past the fence within `wait` nanoseconds. Flushes."""
        result = self._calls["eglClientWaitSyncKHR"](self.display, sync, SYNC_FLUSH, wait)
        return bool(result == CONDITION_SATISFIED)

    def destroy_sync(self, sync: int) -> None:
        self._calls["eglDestroySyncKHR"](self.display, sync)

    def error(self) -> str:
        """The name of EGL's last error."""
        code = int(self._lib.eglGetError())
        return _ERRORS.get(code, hex(code))
