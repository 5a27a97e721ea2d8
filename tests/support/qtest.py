"""The guest's side of QEMU, from outside, by QEMU's qtest protocol.

Memory can be written beside a running TCG guest as well, and what is written
is marked as dirty just as by the guest's own writes: a frame buffer drawn in
this way needs no driver and no program in the guest. Where the
guest does nothing at all, whole devices can be driven (tests/support/vgpu).
"""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.qmp import Qmp
from tests.support.screen import Picture, bgrx
from tests.support.wait import PATIENCE, until

PCI_CLASS_DISPLAY = 3


class Qtest:
    """One connection to a `-qtest unix:PATH,server=on` socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10 * PATIENCE)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def write(self, address: int, data: bytes) -> None:
        """Write to guest physical memory."""
        self._command(f"write {address:#x} {len(data):#x} 0x{data.hex()}")

    def read(self, address: int, size: int) -> bytes:
        """Read guest physical memory."""
        return bytes.fromhex(self._command(f"read {address:#x} {size:#x}")[2:])

    def readb(self, address: int) -> int:
        """Read 8 bits at a guest physical address, of memory or of a device."""
        return self._number(f"readb {address:#x}")

    def readw(self, address: int) -> int:
        """Read 16 bits."""
        return self._number(f"readw {address:#x}")

    def readl(self, address: int) -> int:
        """Read 32 bits."""
        return self._number(f"readl {address:#x}")

    def writeb(self, address: int, value: int) -> None:
        """Write 8 bits to a guest physical address, of memory or of a device."""
        self._command(f"writeb {address:#x} {value:#x}")

    def writew(self, address: int, value: int) -> None:
        """Write 16 bits."""
        self._command(f"writew {address:#x} {value:#x}")

    def writel(self, address: int, value: int) -> None:
        """Write 32 bits."""
        self._command(f"writel {address:#x} {value:#x}")

    def inl(self, port: int) -> int:
        """Read 32 bits of an I/O port."""
        return self._number(f"inl {port:#x}")

    def outl(self, port: int, value: int) -> None:
        """Write 32 bits to an I/O port."""
        self._command(f"outl {port:#x} {value:#x}")

    def outw(self, port: int, value: int) -> None:
        """Write 16 bits to an I/O port."""
        self._command(f"outw {port:#x} {value:#x}")

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def _number(self, line: str) -> int:
        return int(self._command(line), 16)

    def _command(self, line: str) -> str:
        self._socket.sendall(line.encode() + b"\n")
        answer = self._file.readline().decode().split()
        if not answer or answer[0] != "OK":
            raise AssertionError(f"qtest: {line[:60]}: {' '.join(answer)}")
        return answer[-1]


class Framebuffer:
    """A linear frame buffer of 32-bit pixels x8r8g8b8 in the guest."""

    def __init__(self, qtest: Qtest, address: int, width: int, height: int) -> None:
        self._qtest = qtest
        self._address = address
        self.width = width
        self.height = height

    def draw(self, x: int, y: int, picture: Picture) -> None:
        """Write `picture` with its top-left corner at (x, y), row by row."""
        for row, pixels in enumerate(bgrx(picture)):
            start = self._address + 4 * ((y + row) * self.width + x)
            self._qtest.write(start, pixels.tobytes())


class Vbe:
    """The mode registers of a std VGA, set behind the guest's back.

    QEMU looks at them every 30 ms. (QEMU docs/specs/standard-vga)
    """

    def __init__(self, qtest: Qtest) -> None:
        self._qtest = qtest

    def set_mode(self, width: int, height: int, bits: int) -> None:
        """Show a cleared linear frame buffer: the width is a multiple of 8, `bits` 8 or 32."""
        for index, value in ((_ENABLE, 0), (_XRES, width), (_YRES, height), (_BPP, bits)):
            self._set(index, value)
        self._set(_ENABLE, _ENABLED | _LINEAR)

    def set_width(self, width: int) -> None:
        """The same mode with another width: a new surface, drawn in full."""
        self._set(_XRES, width)

    def show_from(self, row: int) -> None:
        """Begin the picture at that row of the frame buffer: a page flip, drawn in full."""
        self._set(_Y_OFFSET, row)

    def _set(self, index: int, value: int) -> None:
        self._qtest.outw(_INDEX, index)
        self._qtest.outw(_DATA, value)


_INDEX, _DATA = 0x1CE, 0x1CF
_XRES, _YRES, _BPP, _ENABLE, _Y_OFFSET = 1, 2, 3, 4, 9
_ENABLED, _LINEAR = 0x01, 0x40


def bar(qmp: Qmp) -> int | None:
    """Where the PCI display device has its video memory: its largest memory BAR.

    None if no PCI device shows anything.
    """
    regions = [
        region
        for bus in qmp("query-pci")
        for device in bus["devices"]
        if device["class_info"]["class"] >> 8 == PCI_CLASS_DISPLAY
        for region in device["regions"]
        if region["type"] == "memory"
    ]
    largest = max(regions, key=lambda region: int(region["size"]), default=None)
    return None if largest is None else int(largest["address"])


def search(qmp: Qmp, shown: Picture, folder: Path, memory: int) -> int:
    """Where in guest RAM (of `memory` bytes) the picture `shown` lies: a ramfb has no BAR."""
    dump = folder / "ram"
    qmp("pmemsave", val=0, size=memory, filename=str(dump))
    until(lambda: dump.stat().st_size == memory, "the memory dump")
    ram = dump.read_bytes()
    dump.unlink()
    found = ram.find(bgrx(shown).tobytes())
    if found < 0:
        raise AssertionError("the frame buffer is not in the guest's RAM")
    return found
