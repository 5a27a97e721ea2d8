"""Memory with known pixels, as a dma-buf where the kernel makes them.

Made by /dev/udmabuf out of a memfd, or by a DMA-BUF heap; both are dma-bufs,
as those of a guest are. A plain memfd is none, but software Mesa takes it for one.
(linux/udmabuf.h, linux/dma-heap.h, linux/dma-buf.h)
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

UDMABUF = Path("/dev/udmabuf")
HEAPS = Path("/dev/dma_heap")

_UDMABUF_CREATE = 0x40187542  # struct of memfd, flags (u32), offset, size (u64)
_HEAP_ALLOC = 0xC0184800  # struct of length (u64), fd, fd flags (u32), heap flags (u64)
_SYNC = 0x40086200  # of a u64
_SYNC_WRITE, _SYNC_END = 2, 4


class Buffer:
    """Memory of `size` bytes behind the descriptor `fd`; has one owner, who closes it."""

    def __init__(self, fd: int, size: int, *, dmabuf: bool) -> None:
        self.fd = fd
        self._size = size
        self._dmabuf = dmabuf

    def write(self, pixels: bytes) -> None:
        """Write from the start, so that devices see it. Raises OSError."""
        with mmap.mmap(self.fd, self._size) as memory:
            self._sync(_SYNC_WRITE)
            memory[: len(pixels)] = pixels
            self._sync(_SYNC_WRITE | _SYNC_END)

    def _sync(self, flags: int) -> None:
        if self._dmabuf:
            fcntl.ioctl(self.fd, _SYNC, struct.pack("=Q", flags))

    def close(self) -> None:
        """Close the descriptor; what was imported of it lives on."""
        os.close(self.fd)


def memfd(size: int) -> Buffer:
    """Ordinary shared memory."""
    fd = os.memfd_create("glview-doctor", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return Buffer(fd, size, dmabuf=False)


def udmabuf(size: int) -> Buffer:
    """A dma-buf of ordinary memory; `size` is a multiple of the page size. Raises OSError."""
    memory = os.memfd_create("glview-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        device = os.open(UDMABUF, os.O_RDWR | os.O_CLOEXEC)
        try:
            request = bytearray(struct.pack("=IIQQ", memory, 1, 0, size))  # 1 is close-on-exec
            return Buffer(fcntl.ioctl(device, _UDMABUF_CREATE, request), size, dmabuf=True)
        finally:
            os.close(device)
    finally:
        os.close(memory)


def dma_heap(size: int) -> Buffer:
    """A dma-buf of the kernel's system heap, or the first that there is. Raises OSError."""
    heaps = sorted(HEAPS.iterdir(), key=lambda heap: (heap.name != "system", heap.name))
    device = os.open(heaps[0], os.O_RDWR | os.O_CLOEXEC)
    try:
        request = bytearray(struct.pack("=QIIQ", size, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        fcntl.ioctl(device, _HEAP_ALLOC, request)
        return Buffer(struct.unpack("=QIIQ", request)[1], size, dmabuf=True)
    finally:
        os.close(device)


KINDS: dict[str, Callable[[int], Buffer]] = {
    "udmabuf": udmabuf,
    "dma-heap": dma_heap,
    "memfd": memfd,
}
"""By name; what comes first is most like a guest's buffer."""


def available() -> list[str]:
    """The kinds that this machine has."""
    heaps = HEAPS.is_dir() and any(HEAPS.iterdir())
    there = {"udmabuf": UDMABUF.exists(), "dma-heap": heaps, "memfd": True}
    return [kind for kind in KINDS if there[kind]]
