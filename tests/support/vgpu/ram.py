"""The guest's RAM, shared with the test: what a driver lays out there, we lay out here."""

from __future__ import annotations

import fcntl
import mmap
import os
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

FIRST = 1 << 20
"""Below lie holes for the VGA window and ROMs."""
_PAGE = mmap.PAGESIZE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class Block:
    """Whole pages of guest RAM: guest physical `address`, and the `bytes` themselves."""

    def __init__(self, address: int, memory: Bytes) -> None:
        self.address = address
        self.bytes = memory

    def write(self, data: bytes, offset: int = 0) -> None:
        """Put `data` at `offset`."""
        self.bytes[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def read(self, size: int, offset: int = 0) -> bytes:
        """A copy of `size` bytes at `offset`."""
        return self.bytes[offset : offset + size].tobytes()


class GuestRam:
    """RAM of `size` bytes in a memory file that QEMU maps too; a context manager.

    The file is sealed against shrinking, as udmabuf demands of what it makes
    dma-bufs of. It must fit below the PCI hole: 2 GiB on q35, 3 GiB on pc.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        self._bytes: Bytes = np.frombuffer(mmap.mmap(self.fd, size), np.uint8)
        self._free = [(FIRST, size)]  # start and end of each hole, ascending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)

    def options(self) -> list[str]:
        """QEMU's option for it; `-machine` needs `memory-backend=ram` as well."""
        path = f"/proc/self/fd/{self.fd}"
        backend = f"memory-backend-file,id=ram,size={self.size},mem-path={path},share=on"
        return ["-object", backend]

    def allocate(self, size: int) -> Block:
        """Whole pages, zeroed, at least `size` bytes. Raises `MemoryError`."""
        pages = _whole(size)
        for number, (start, end) in enumerate(self._free):
            if end - start >= pages:
                self._free[number] = (start + pages, end)
                memory = self._bytes[start : start + pages]
                memory[:] = 0
                return Block(start, memory)
        raise MemoryError(f"no {pages} bytes of guest RAM in one piece")

    def release(self, block: Block) -> None:
        """Take a block back."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted([*self._free, (block.address, block.address + len(block.bytes))]):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        self._free = joined


def _whole(size: int) -> int:
    return (size + _PAGE - 1) // _PAGE * _PAGE
