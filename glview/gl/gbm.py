"""A buffer of a GPU's own, made on its render node as a guest's is. (gbm.h)"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from glview.scanout.formats import fourcc_code

_RENDERING, _LINEAR = 1 << 2, 1 << 4
_WRITE = 1 << 1

_P, _U, _I = ctypes.c_void_p, ctypes.c_uint, ctypes.c_int
_CALLS: dict[str, tuple[Any, ...]] = {
    "gbm_create_device": (_P, _I),
    "gbm_device_destroy": (None, _P),
    "gbm_bo_create": (_P, _P, _U, _U, _U, _U),
    "gbm_bo_destroy": (None, _P),
    "gbm_bo_get_fd": (_I, _P),
    "gbm_bo_get_stride": (_U, _P),
    "gbm_bo_map": (_P, _P, _U, _U, _U, _U, _U, ctypes.POINTER(_U), ctypes.POINTER(_P)),
    "gbm_bo_unmap": (None, _P, _P),
}


class GpuBuffer:
    """A linear buffer of 32-bit pixels behind the dma-buf `fd`; has one owner, who closes it.

    `stride` is in bytes.
    """

    def __init__(self, node: str, width: int, height: int) -> None:
        """Made on the render node `node`. Raises OSError where that fails."""
        self._size = width, height
        self._lib = _load()
        self._node = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        self._device = self._lib.gbm_create_device(self._node)
        self._bo: int | None = None
        self.fd = -1
        try:
            if not self._device:
                raise OSError(f"no GBM device on {node}")
            kind = fourcc_code("XR24"), _RENDERING | _LINEAR
            self._bo = self._lib.gbm_bo_create(self._device, width, height, *kind)
            if not self._bo:
                raise OSError(f"no linear buffer on {node}")
            self.fd = self._lib.gbm_bo_get_fd(self._bo)
            if self.fd < 0:
                raise OSError(f"no dma-buf of a buffer on {node}")
        except OSError:
            self.close()
            raise
        self.stride = int(self._lib.gbm_bo_get_stride(self._bo))

    def write(self, pixels: bytes) -> None:
        """Write all rows, without padding. Raises OSError."""
        stride, data = _U(0), _P()
        width, height = self._size
        address = self._lib.gbm_bo_map(
            *(self._bo, 0, 0, width, height, _WRITE), ctypes.byref(stride), ctypes.byref(data)
        )
        if not address:
            raise OSError("the GPU's buffer cannot be mapped")
        row = width * 4
        for y in range(height):
            ctypes.memmove(address + y * stride.value, pixels[y * row : (y + 1) * row], row)
        self._lib.gbm_bo_unmap(self._bo, data)

    def close(self) -> None:
        """Let go of it all; what was imported of it lives on."""
        if self.fd >= 0:
            os.close(self.fd)
        if self._bo:
            self._lib.gbm_bo_destroy(self._bo)
        if self._device:
            self._lib.gbm_device_destroy(self._device)
        os.close(self._node)


def _load() -> ctypes.CDLL:
    """libgbm with typed calls. Raises OSError."""
    library = ctypes.CDLL("libgbm.so.1")
    for name, (result, *arguments) in _CALLS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
