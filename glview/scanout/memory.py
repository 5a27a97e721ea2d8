"""Memory with an address: what C libraries read, and what sockets receive into.

Python's `mmap` hides the address of read-only mappings; GL needs it.
"""

from __future__ import annotations

import ctypes
import mmap
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)

_MAP_FAILED = ctypes.c_void_p(-1).value


class Memory:
    """A mapping with one owner, who calls `close` once done; a second call does nothing.

    `address` is where it starts, `size` its length in bytes, `view` its
    bytes. Raises OSError where the kernel will not map it.
    """

    def __init__(self, size: int, fd: int = -1, offset: int = 0) -> None:
        """Map `size` bytes of `fd` read-only, or anonymous writable memory without one.

        `offset` need not be a multiple of the page size.
        """
        skip = offset % mmap.PAGESIZE
        self._length = size + skip
        protection = mmap.PROT_READ if fd >= 0 else mmap.PROT_READ | mmap.PROT_WRITE
        flags = mmap.MAP_SHARED if fd >= 0 else mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        base = _libc.mmap(None, self._length, protection, flags, fd, offset - skip)
        if base == _MAP_FAILED or base is None:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self._base: int | None = base
        self.address = base + skip
        self.size = size
        self.view = memoryview((ctypes.c_char * size).from_address(self.address)).cast("B")

    def close(self) -> None:
        """Unmap. Nothing may read the memory any more."""
        if self._base is not None:
            _libc.munmap(self._base, self._length)
            self._base = None

    def __del__(self) -> None:
        self.close()
