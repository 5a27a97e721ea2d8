"""A place with a VM and the viewer that shows it, of which either may be killed at any time."""

from __future__ import annotations

import itertools
import re
import sys
import time
from pathlib import Path

from tests.support import guests, strace
from tests.support.bus import Bus
from tests.support.chaos.lateness import Late, Span, late_replies
from tests.support.chaos.meter import Sample, read
from tests.support.cpuwait import CpuWait
from tests.support.process import Child
from tests.support.qemu import P2P, Qemu, on_bus
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

KEY = re.compile(r"input_event_key_\w+ con \d+, key \w+ (.+), down (\d)")


class Seat:
    """`spans` are the times when its VM or its viewer stood still, and so owed nothing.

    `late` are replies that came too late, `replies` is how many came. `excused` are keys that
    a viewer held down when it was killed outright: nobody is left to lift them.
    """

    def __init__(self, folder: Path, name: str, *, by_bus: bool) -> None:
        folder.mkdir()
        self.name = name
        self.by_bus = by_bus
        self.qemu: Qemu | None = None
        self.viewer: Viewer | None = None
        self.spans: list[Span] = []
        self.ends: list[float] = []
        self.late: list[Late] = []
        self.replies = 0
        self.excused: set[str] = set()
        self._folder = folder
        self._numbers = itertools.count()
        self._meter: Child | None = None

    # -- the VM ------------------------------------------------------------

    def start_vm(self, bus: Bus) -> Qemu:
        """Start the VM in the same place as before; its message bus must be running."""
        folder = self._folder / "vm"
        folder.mkdir(exist_ok=True)
        for log in folder.glob("calls.*"):
            log.unlink()
        self.excused.clear()
        self.qemu = Qemu(
            folder,
            display=on_bus(bus.address) if self.by_bus else P2P,
            options=[
                *guests.typewriter(folder),
                *("-qmp", f"unix:{folder}/meter.qmp,server=on,wait=off"),
            ],
            trace=["input_event_key*"],
            qtest=True,
            name=self.name,
            under=strace.answering(folder),
        )
        if self._meter is None:
            argv = [sys.executable, "-m", "tests.support.chaos.meter"]
            argv += [str(folder / "meter.qmp"), str(self._folder / "meter.txt")]
            self._meter = Child(argv, self._folder / "meter.log")
        return self.qemu

    def end_vm(self, waits: CpuWait) -> None:
        """Kill the VM, if there is one, and judge the replies that it got."""
        if self.qemu is None:
            return
        qemu, self.qemu = self.qemu, None
        tracer = strace.tracer(qemu) if qemu.alive else 0
        qemu.__exit__()
        self.ends.append(time.time())
        while tracer and Path(f"/proc/{tracer}").exists():
            time.sleep(0.005)  # it still writes
        answers, unanswered = strace.questions(qemu.folder)
        self.replies += len(answers)
        self.late += late_replies(answers, unanswered, self.spans, self.ends, waits)

    def watch(self, waits: CpuWait) -> None:
        """Have the waits of the threads that a reply depends on written down."""
        if self.qemu is not None:
            waits.watch(self.qemu.pid, strace.SENDER)
            waits.watch(strace.tracer(self.qemu))
        if self.viewer is not None:
            waits.watch(self.viewer.pid, Path(sys.executable).name)  # not those that draw

    def keys_down(self) -> set[str]:
        """Return the keys that the guest's keyboard has down, by QEMU's trace of input."""
        down: set[str] = set()
        if self.qemu is not None:
            for line in self.qemu.trace("^input_event_key"):
                found = KEY.search(line)
                assert found, line
                (down.add if found[2] == "1" else down.discard)(found[1])
        return down

    def stuck(self) -> set[str]:
        """Return the keys that are down in the guest, but for those that have an excuse."""
        down = self.keys_down()
        self.excused &= down
        return down - self.excused

    def samples(self) -> list[Sample]:
        """Return what the meter measured while neither the VM nor the viewer was stopped."""
        spans = self.spans
        return [
            sample
            for sample in read(self._folder / "meter.txt")
            if not any(span.meets(sample.asked, sample.asked + sample.took) for span in spans)
        ]

    # -- the viewer --------------------------------------------------------

    def start_viewer(self, xvfb: Xvfb, bus: Bus) -> Viewer:
        """Start a viewer that waits for the VM."""
        folder = self._folder / f"viewer{next(self._numbers)}"
        folder.mkdir()
        way = (
            ["--address", bus.address]
            if self.by_bus
            else ["--qmp", f"{self._folder}/vm/viewer.qmp"]
        )
        self.viewer = Viewer(folder, xvfb, *way, "--wait")
        return self.viewer

    def close(self) -> None:
        """End what is left."""
        if self._meter is not None:
            self._meter.kill()
        for child in (self.viewer, self.qemu):
            if child is not None:
                child.kill()
