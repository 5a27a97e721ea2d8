"""Memory with an address: what C libraries read, and what sockets receive into.

All of it is files, so that other processes can be shown it without a copy.
Python's `mmap` hides the address of read-only mappings; GL needs it. A file
that others have too can be cut off by them at any time: see `busfault`.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
import weakref
from typing import Self

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
_MAP_FIXED = 0x10  # of asm-generic/mman-common.h; Python does not name it
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_ZEROS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED

_M_MMAP_THRESHOLD = -3  # glibc's malloc.h
_LARGE = 1 << 20

_mapped: dict[int, weakref.ref[Memory]] = {}
_sharing = threading.Lock()


class Memory:
    """A mapping. Who made it, and each who was given a share, calls `close` once.

    `address` is where it starts, `size` its length in bytes, `view` its
    bytes; they begin at `offset` in the file `fd`, which is open as long.
    `blanked` mappings no longer show the file where `blank` has cut them.
    """

    blanked = False

    def __init__(self, size: int, fd: int = -1, offset: int = 0) -> None:
        """Map `size` bytes of `fd` to read, or of a new file to write without one.

        `fd` belongs to the mapping from here on. `offset` need not be a
        multiple of the page size. Raises OSError where the kernel will not
        map it; `fd` is closed then.
        """
        skip = offset % mmap.PAGESIZE
        protection = mmap.PROT_READ if fd >= 0 else _READ_WRITE
        self._base: int | None = None
        self._shares = 1
        self._length = size + skip
        self.fd = fd if fd >= 0 else os.memfd_create("glview", os.MFD_CLOEXEC)
        try:
            if fd < 0:
                os.ftruncate(self.fd, size)
            where = self.fd, offset - skip
            self._base = _map(None, self._length, protection, mmap.MAP_SHARED, *where)
        except OSError:
            os.close(self.fd)
            raise
        self.size, self.offset = size, offset
        self.address = self._base + skip
        self.view = memoryview((ctypes.c_char * size).from_address(self.address)).cast("B")
        _mapped[self._base] = weakref.ref(self)

    def holds(self, address: int) -> bool:
        """Whether the byte at `address` is in one of the mapping's pages."""
        return self._base is not None and 0 <= address - self._base < self._length

    @property
    def shrunk(self) -> bool:
        """Whether the file has become too short for the mapping."""
        try:  # to read the last byte is a third of the work of asking for the size
            return not os.pread(self.fd, 1, self.offset + self.size - 1)
        except OSError:
            return os.fstat(self.fd).st_size < self.offset + self.size

    def blank(self, address: int) -> None:
        """Read zeros from now on in the page at `address` and wherever the file has ended.

        Raises OSError where the kernel will not have it so.
        """
        assert self._base is not None
        self.blanked = True
        there = os.fstat(self.fd).st_size - self.offset + (self.address - self._base)
        ends = self._base + max(there + -there % mmap.PAGESIZE, 0)
        start = min(ends, address - address % mmap.PAGESIZE)
        _map(start, self._base + self._length - start, _READ_WRITE, _ZEROS, -1, 0)

    def share(self) -> Self:
        """One more who will close it, on whatever thread."""
        with _sharing:
            self._shares += 1
        return self

    def close(self) -> None:
        """Unmap, unless others have shares. The caller reads the memory no more."""
        with _sharing:
            self._shares -= 1
            last = self._shares == 0
        if last:
            self._unmap()

    def _unmap(self) -> None:
        if self._base is not None:
            _mapped.pop(self._base, None)
            _libc.munmap(self._base, self._length)
            os.close(self.fd)
            self._base = None

    def __del__(self) -> None:
        self._unmap()


def return_large_blocks() -> None:
    """Have malloc return large blocks to the system as soon as they are freed.

    Else glibc takes them from its heap, once a few of them have come and gone, and
    that grows with every other size of the guest's picture: software OpenGL keeps
    its textures there. Does nothing where the C library is another.
    """
    with contextlib.suppress(AttributeError):
        _libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def mapping(address: int) -> Memory | None:
    """The mapping that holds the byte at `address`, if it is one of ours."""
    for known in list(_mapped.values()):
        memory = known()
        if memory is not None and memory.holds(address):
            return memory
    return None


def _map(at: int | None, length: int, protection: int, flags: int, fd: int, offset: int) -> int:
    base: int | None = _libc.mmap(at, length, protection, flags, fd, offset)
    if base == _MAP_FAILED or base is None:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return base
