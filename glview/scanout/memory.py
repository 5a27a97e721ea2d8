"""Memory with an address: what C libraries read, and what sockets receive into.

All of it is files, so that other processes can be shown it without a copy.
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
    bytes; they begin at `offset` in the file `fd`, which is open as long.
    """

    def __init__(self, size: int, fd: int = -1, offset: int = 0) -> None:
        """Map `size` bytes of `fd` to read, or of a new file to write without one.

        `fd` belongs to the mapping from here on. `offset` need not be a
        multiple of the page size. Raises OSError where the kernel will not
        map it; `fd` is closed then.
        """
        skip = offset % mmap.PAGESIZE
        protection = mmap.PROT_READ if fd >= 0 else mmap.PROT_READ | mmap.PROT_WRITE
        self._base: int | None = None
        self._length = size + skip
        self.fd = fd if fd >= 0 else os.memfd_create("glview", os.MFD_CLOEXEC)
        try:
            if fd < 0:
                os.ftruncate(self.fd, size)
            self._base = _map(self._length, protection, self.fd, offset - skip)
        except OSError:
            os.close(self.fd)
            raise
        self.size, self.offset = size, offset
        self.address = self._base + skip
        self.view = memoryview((ctypes.c_char * size).from_address(self.address)).cast("B")

    def close(self) -> None:
        """Unmap. Nothing may read the memory any more."""
        if self._base is not None:
            _libc.munmap(self._base, self._length)
            os.close(self.fd)
            self._base = None

    def __del__(self) -> None:
        self.close()


def _map(length: int, protection: int, fd: int, offset: int) -> int:
    base: int | None = _libc.mmap(None, length, protection, mmap.MAP_SHARED, fd, offset)
    if base == _MAP_FAILED or base is None:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return base
