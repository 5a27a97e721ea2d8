"""A PCI device as firmware and a driver find and set it up, by port and memory accesses.

(PCI Local Bus 3.0: configuration mechanism 1, BARs, capability list)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.support.qtest import Qtest

WINDOW = 0xE000_0000
"""Where BARs are put: above RAM, below the chips of the board."""

_ADDRESS, _DATA = 0xCF8, 0xCFC
_COMMAND, _BARS, _CAPABILITIES = 0x04, 0x10, 0x34
_IO_MEMORY_MASTER = 0x7
_BAR_IO, _BAR_64 = 0x1, 0x4


class Capability(NamedTuple):
    """An entry of the capability list: its id, and where it is in configuration space."""

    id: int
    offset: int


class PciDevice:
    """The device in `slot` of bus 0, with its BARs set and bus mastering on.

    `bars` are the addresses of the memory BARs by their number.
    """

    def __init__(self, qtest: Qtest, slot: int) -> None:
        self._qtest = qtest
        self._slot = slot
        self.bars = dict(self._place_bars())
        self._write(_COMMAND, self.read(_COMMAND) | _IO_MEMORY_MASTER)

    @classmethod
    def find(cls, qtest: Qtest, vendor: int, device: int) -> PciDevice:
        """The first device with those numbers. Raises `LookupError`."""
        for slot in range(32):
            if _config(qtest, slot, 0) == device << 16 | vendor:
                return cls(qtest, slot)
        raise LookupError(f"no PCI device {vendor:04x}:{device:04x}")

    def read(self, offset: int) -> int:
        """The 32 bits at `offset`, a multiple of 4, of configuration space."""
        return _config(self._qtest, self._slot, offset)

    def read_byte(self, offset: int) -> int:
        """The byte at `offset` of configuration space."""
        return self.read(offset & ~3) >> 8 * (offset & 3) & 0xFF

    def capabilities(self) -> Iterator[Capability]:
        """The capability list, in its order."""
        offset = self.read_byte(_CAPABILITIES)
        while offset:
            yield Capability(self.read_byte(offset), offset)
            offset = self.read_byte(offset + 1)

    def _write(self, offset: int, value: int) -> None:
        self._qtest.outl(_ADDRESS, _address(self._slot, offset))
        self._qtest.outl(_DATA, value)

    def _place_bars(self) -> Iterator[tuple[int, int]]:
        """Give each memory BAR an address; say which got what."""
        free, number = WINDOW, 0
        while number < 6:
            kind, size = self._probe(number)
            if size and not kind & _BAR_IO:
                free = (free + size - 1) // size * size
                self._write(_BARS + 4 * number, free)
                yield number, free
                free += size
            wide = not kind & _BAR_IO and kind & _BAR_64
            if wide:
                self._write(_BARS + 4 * number + 4, 0)
            number += 2 if wide else 1

    def _probe(self, number: int) -> tuple[int, int]:
        """The flags of a BAR, and its size: the bits that it does not let us write."""
        offset = _BARS + 4 * number
        kind = self.read(offset) & 0xF
        self._write(offset, 0xFFFF_FFFF)
        mask = self.read(offset) & ~0xF
        return kind, -mask & 0xFFFF_FFFF


def _address(slot: int, offset: int) -> int:
    return 0x8000_0000 | slot << 11 | offset


def _config(qtest: Qtest, slot: int, offset: int) -> int:
    qtest.outl(_ADDRESS, _address(slot, offset))
    return qtest.inl(_DATA)
