"""Buffers to try imports with: dma-bufs where the machine makes them.

A GPU's own (GBM), one made by /dev/udmabuf out of a memfd, or one of a DMA-BUF
heap. A plain memfd is no dma-buf, but software Mesa takes it for one.
(linux/udmabuf.h, linux/dma-heap.h, linux/dma-buf.h)
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Protocol

from glview.gl.gbm import GpuBuffer

WIDTH = HEIGHT = 64  # a row of 256 bytes, which every GPU can read; whole pages in all
STRIDE = WIDTH * 4
SIZE = STRIDE * HEIGHT

UDMABUF = Path("/dev/udmabuf")
HEAPS = Path("/dev/dma_heap")

_UDMABUF_CREATE = 0x40187542  # struct of memfd, flags (u32), offset, size (u64)
_HEAP_ALLOC = 0xC0184800  # struct of length (u64), fd, fd flags (u32), heap flags (u64)
_SYNC = 0x40086200  # of a u64
_SYNC_WRITE, _SYNC_END = 2, 4


class Buffer(Protocol):
    """Rows of `stride` bytes behind the descriptor `fd`; has one owner, who closes it."""

    fd: int
    stride: int

    def write(self, pixels: bytes) -> None:
        """Write all rows, so that devices see it. Raises OSError."""

    def close(self) -> None:
        """Close the descriptor; what was imported of it lives on."""


class MemoryBuffer:
    """See `Buffer`: memory that can be mapped, rows without padding."""

    def __init__(self, fd: int, *, dmabuf: bool) -> None:
        self.fd = fd
        self.stride = STRIDE
        self._dmabuf = dmabuf

    def write(self, pixels: bytes) -> None:
        with mmap.mmap(self.fd, SIZE) as memory:
            self._sync(_SYNC_WRITE)
            memory[: len(pixels)] = pixels
            self._sync(_SYNC_WRITE | _SYNC_END)

    def _sync(self, flags: int) -> None:
        if self._dmabuf:
            fcntl.ioctl(self.fd, _SYNC, struct.pack("=Q", flags))

    def close(self) -> None:
        os.close(self.fd)


def memfd() -> MemoryBuffer:
    """Ordinary shared memory."""
    return MemoryBuffer(_sealed(), dmabuf=False)


def _sealed() -> int:
    """A memory file that cannot shrink: no driver is given others."""
    fd = os.memfd_create("glview-selftest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return fd


def udmabuf() -> MemoryBuffer:
    """A dma-buf of ordinary memory. Raises OSError."""
    memory = _sealed()
    try:
        device = os.open(UDMABUF, os.O_RDWR | os.O_CLOEXEC)
        try:
            request = bytearray(struct.pack("=IIQQ", memory, 1, 0, SIZE))  # 1 is close-on-exec
            return MemoryBuffer(fcntl.ioctl(device, _UDMABUF_CREATE, request), dmabuf=True)
        finally:
            os.close(device)
    finally:
        os.close(memory)


def dma_heap() -> MemoryBuffer:
    """A dma-buf of the kernel's system heap, or the first that there is. Raises OSError."""
    heaps = sorted(HEAPS.iterdir(), key=lambda heap: (heap.name != "system", heap.name))
    device = os.open(heaps[0], os.O_RDWR | os.O_CLOEXEC)
    try:
        request = bytearray(struct.pack("=QIIQ", SIZE, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        fcntl.ioctl(device, _HEAP_ALLOC, request)
        return MemoryBuffer(struct.unpack("=QIIQ", request)[1], dmabuf=True)
    finally:
        os.close(device)


def make(kind: str, node: str) -> Buffer:
    """A buffer of a kind that is `available`; `node` is for "gbm". Raises OSError."""
    if kind == "gbm":
        return GpuBuffer(node, WIDTH, HEIGHT)
    return {"udmabuf": udmabuf, "dma-heap": dma_heap, "memfd": memfd}[kind]()


def available(node: str) -> list[str]:
    """The kinds that this machine has, what is most like a guest's buffer first.

    `node` is that of the GPU that draws, empty where that is the CPU.
    """
    heaps = HEAPS.is_dir() and any(HEAPS.iterdir())
    there = {"gbm": node, "udmabuf": UDMABUF.exists(), "dma-heap": heaps, "memfd": True}
    return [kind for kind, found in there.items() if found]
