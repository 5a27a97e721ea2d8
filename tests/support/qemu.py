"""Real QEMU, under TCG, with guests that need no operating system on disk."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.process import Child
from tests.support.qmp import Qmp
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
    by pattern (`"input_event_*"`).

    `qmp` is the test's own QMP connection; `qmp_path` is a second QMP socket,
    for the program under test.
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
        name: str = "",
    ) -> None:
        self.folder = folder
        self.qmp_path = folder / "viewer.qmp"
        self._trace = folder / "trace.log"
        self._dumps = itertools.count()
        control = folder / "control.qmp"
        argv = [
            *(BINARY, "-nodefaults", "-no-user-config", "-accel", "tcg"),
            *("-machine", machine, "-m", str(memory), "-vga", "none"),
            *("-display", display, "-msg", "timestamp=off"),
            *("-qmp", f"unix:{control},server=on,wait=off"),
            *("-qmp", f"unix:{self.qmp_path},server=on,wait=off"),
            *(word for device in devices for word in ("-device", device)),
            *(word for event in trace for word in ("-trace", event)),
            *(("-D", str(self._trace)) if trace else ()),
            *(("-name", name) if name else ()),
            *(("-S",) if paused else ()),
            *options,
        ]
        # Left from an earlier run in the same folder: nobody listens on them.
        for path in (control, self.qmp_path):
            path.unlink(missing_ok=True)
        super().__init__(argv, folder / "qemu.log")
        self.qmp = self._connect(control)

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, *_: object) -> None:
        self.qmp.close()
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

    def status(self) -> dict[str, Any]:
        """The answer to `query-status`."""
        found: dict[str, Any] = self.qmp("query-status")
        return found


_STAMP = re.compile(r"^(?:\d+@)?\d+\.\d+:")


def version() -> tuple[int, int]:
    """Major and minor number of the installed QEMU. Raises if there is none."""
    text = subprocess.run(
        [_binary(), "--version"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"version (\d+)\.(\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


def _binary() -> str:
    path = shutil.which(BINARY)
    if path is None:
        raise FileNotFoundError(f"{BINARY} is not installed")
    return path
