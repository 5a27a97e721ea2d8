"""Real QEMU, under TCG, with guests that need no operating system on disk."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.process import Child
from tests.support.qmp import Qmp
from tests.support.qtest import Framebuffer, Qtest, Vbe, bar, search
from tests.support.screen import Picture, read_ppm
from tests.support.wait import until

BINARY = "qemu-system-x86_64"
P2P = "dbus,p2p=yes"


def on_bus(address: str) -> str:
    """The value of `-display` for a VM on the bus at that D-Bus address."""
    return f"dbus,addr={address}"


class Qemu(Child):
    """A running VM: `-nodefaults`, TCG, one display device.

    `display` is the value of `-display`; `devices` are values of `-device`, in
    order, the display device first (`"ramfb"`, `"virtio-vga,xres=800"`);
    `options` are further words of the command line. `trace` names trace events
    by pattern (`"input_event_*"`). `under` is a program that runs QEMU, with
    its arguments; QEMU must have the process id that it began with.

    `qmp` is the test's own QMP connection; `qmp_path` is a second QMP socket,
    for the program under test. With `qtest=True` the guest's memory can be
    written from outside through `framebuffer()`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        devices: Sequence[str] = ("VGA",),
        display: str = P2P,
        options: Sequence[str] = (),
        trace: Sequence[str] = (),
        machine: str = "pc",
        memory: int = 64,
        paused: bool = False,
        qtest: bool = False,
        name: str = "",
        pass_fds: Sequence[int] = (),
        under: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.qmp_path = folder / "viewer.qmp"
        self._trace = folder / "trace.log"
        self._firmware = folder / "firmware.log"
        self._dumps = itertools.count()
        self._memory = memory
        control = folder / "control.qmp"
        argv = [
            *under,
            *(BINARY, "-nodefaults", "-no-user-config", "-accel", "tcg"),
            *("-machine", machine, "-m", str(memory), "-vga", "none"),
            *("-display", display, "-msg", "timestamp=off"),
            *("-chardev", f"file,id=firmware,path={self._firmware}"),
            *("-device", "isa-debugcon,iobase=0x402,chardev=firmware"),
            *("-qmp", f"unix:{control},server=on,wait=off"),
            *("-qmp", f"unix:{self.qmp_path},server=on,wait=off"),
            *(word for device in devices for word in ("-device", device)),
            *(word for event in trace for word in ("-trace", event)),
            *(("-D", str(self._trace)) if trace else ()),
            *(("-name", name) if name else ()),
            *(("-S",) if paused else ()),
            *(("-qtest", f"unix:{folder}/qtest,server=on,wait=off") if qtest else ()),
            *(("-qtest-log", "none") if qtest else ()),
            *options,
        ]
        # Left from an earlier run in the same folder: nobody listens on them.
        for path in (control, self.qmp_path):
            path.unlink(missing_ok=True)
        super().__init__(argv, folder / "qemu.log", pass_fds=pass_fds)
        self.qmp = self._connect(control)
        self._qtest = Qtest(folder / "qtest") if qtest else None

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, *error: object) -> None:
        self.qmp.close()
        if self._qtest:
            self._qtest.close()
        self.kill()

    def _connect(self, path: Path) -> Qmp:
        def attempt() -> Qmp | None:
            self.check_alive()
            try:
                return Qmp(path)
            except (FileNotFoundError, ConnectionError):
                return None

        try:
            return until(attempt, "QEMU's QMP socket", 20.0)
        except BaseException:
            self.kill()
            raise

    def hmp(self, line: str) -> str:
        """Run a command of the human monitor; return what it prints."""
        text: str = self.qmp("human-monitor-command", command_line=line)
        return text

    def stop(self) -> None:
        """Stop the guest's CPUs. The display goes on refreshing."""
        self.qmp("stop")

    def cont(self) -> None:
        """Let the guest run on."""
        self.qmp("cont")

    def reset(self) -> None:
        """Reset the machine, as its reset button would."""
        self.qmp("system_reset")

    def quit(self) -> int:
        """End QEMU in order; return its exit code."""
        self.qmp("quit")
        return self.wait()

    def screendump(self) -> Picture:
        """What the first console shows, in QEMU's own view, without a cursor."""
        path = self.folder / f"dump{next(self._dumps)}.ppm"
        self.qmp("screendump", filename=str(path))
        picture = read_ppm(path)
        path.unlink()
        return picture

    @property
    def qtest(self) -> Qtest:
        """The guest's side of the machine, of a VM with `qtest=True`."""
        assert self._qtest, "needs qtest=True"
        return self._qtest

    def framebuffer(self) -> Framebuffer:
        """The frame buffer of the current mode, which must be a linear one of 32 bits.

        A ramfb is found in RAM by its present picture, which must not be plain.
        """
        shown = self.screendump()
        address = bar(self.qmp)
        if address is None:
            address = search(self.qmp, shown, self.folder, self._memory << 20)
        return Framebuffer(self.qtest, address, shown.shape[1], shown.shape[0])

    @property
    def vbe(self) -> Vbe:
        """The mode registers of its std VGA."""
        assert self._qtest, "needs qtest=True"
        return Vbe(self._qtest)

    def send_keys(self, *keys: str) -> None:
        """Type on the guest's keyboard, by QMP: names are QKeyCodes, `ctrl-b` is a chord."""
        for chord in keys:
            codes = [{"type": "qcode", "data": key} for key in chord.split("-")]
            self.qmp("send-key", keys=codes, hold_time=1)

    def trace(self, pattern: str = "") -> list[str]:
        """Lines of the trace file so far that match the regular expression.

        Without time stamps: `input_event_btn con 0, button left, down 1`.
        """
        if not self._trace.exists():
            return []
        lines = self._trace.read_text(errors="replace").splitlines()
        bare = (_STAMP.sub("", line) for line in lines)
        return [line for line in bare if re.search(pattern, line)]

    def wait_firmware(self, text: str, timeout: float = 20.0) -> None:
        """Wait until SeaBIOS has written `text` to its log. Raises `Timeout`."""
        until(lambda: text in self._firmware.read_text(errors="replace"), text, timeout)

    def status(self) -> dict[str, Any]:
        """The answer to `query-status`."""
        found: dict[str, Any] = self.qmp("query-status")
        return found


_STAMP = re.compile(r"^(?:\d+@)?\d+\.\d+:")
