"""Real QEMU's changes on the screen: how soon, and at whose expense.

Every rival shows a VM of its own on an X server of its own. All run side by side and get the
same updates in turns of a few.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from bench import payload
from bench.guest import Guest
from bench.measure import SETTLE, TIMEOUT, TOO_MANY_LOST, end
from bench.process import ForeignLoad, cpu_seconds, machine, rss_mib
from bench.scores import Rest, Scores, Shown
from bench.screen import Screen
from bench.viewers import Viewer
from glview.qemu.qmp import hand_over

SCREEN = 1600, 1200  # a window that opens in the middle, and then grows with the guest, fits
REST = 0.1  # seconds between two updates, at least
REFRESH = 0.03  # seconds between two looks of QEMU's at what the guest has drawn
GOLDEN = 0.618034  # multiples of it, modulo 1, are spread evenly
LOST = 5.0  # seconds after which an update counts as lost; QEMU's VNC may look away for 3
CHANGES = {"full": (0, 0, *payload.SIZE), "64x64": payload.SQUARE}


class Effort(NamedTuple):
    """How much is measured."""

    turns: int
    updates: int  # in a turn
    idle: float  # seconds


FULL = Effort(turns=10, updates=20, idle=10.0)
QUICK = Effort(turns=3, updates=10, idle=3.0)


class Rival(NamedTuple):
    """A way to see a VM: the value of QEMU's `-display`, and the words of a viewer's command.

    `more` are further words for QEMU's command, which wants its `-display` `module`. In all
    {folder} is the VM's own; in the words {fd} is one end of a socket whose other
    end has been given to QEMU's D-Bus display. Without words the window is QEMU's own.
    """

    name: str
    display: str
    words: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    module: str = ""

    def lacking(self) -> str:
        """What of it is not installed, in words; empty if all is."""
        if self.words and not shutil.which(self.words[0]):
            return f"there is no {self.words[0]}"
        kind = self.module or ("" if self.words else self.display.partition(",")[0])
        if not kind:
            return ""
        found = subprocess.run(
            ["qemu-system-x86_64", "-display", "help"], capture_output=True, text=True, check=False
        )
        return "" if kind in found.stdout.split() else f"this QEMU has no -display {kind}"

    def view(self, folder: Path, display: str, log: Path) -> subprocess.Popen[bytes]:
        """Run the viewer on an X display; the VM's QMP socket is folder/viewer.qmp."""
        words = tuple(word.replace("{folder}", str(folder)) for word in self.words)
        viewer = Viewer(self.name, words)
        if not any("{fd}" in word for word in words):
            return viewer.start(None, display, log)
        with hand_over(str(folder / "viewer.qmp")) as client:
            return viewer.start(client.fileno(), display, log)


def rests() -> Iterator[float]:
    """Seconds to wait before each update, so that it comes at no preferred moment.

    What is on the screen got there by QEMU's refresh, so waiting begins in a fixed phase of
    that; it ends in all phases equally often.
    """
    for number in itertools.count():
        yield REST + REFRESH * (number * GOLDEN % 1)


class Bout:
    """A rival that shows its VM, one pixel for one pixel. Use with `with`.

    `processes` are the ids of those involved, as in `Rest`. Raises RuntimeError when the
    screen does not show the guest.
    """

    def __init__(self, rival: Rival, screen: Screen, log: Path) -> None:
        self.rival, self._screen = rival, screen
        self._colours = itertools.cycle(range(1, len(payload.COLOURS)))
        self._rests = rests()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            words = rival.display, *rival.more
            where, *more = (word.replace("{folder}", str(folder)) for word in words)
            under = ("env", "-u", "WAYLAND_DISPLAY", f"DISPLAY={screen.display}")
            self._guest = stack.enter_context(Guest(folder, where, under, more))
            self.processes = {"QEMU": self._guest.qemu.pid, "X server": screen.process.pid}
            if rival.words:
                process = rival.view(folder, screen.display, log)
                stack.callback(end, process)
                self.processes["viewer"] = process.pid
            self._x, self._y = self._find()
            self._exit = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _find(self) -> tuple[int, int]:
        """Where the guest's first pixel is on the screen."""
        deadline = time.monotonic() + TIMEOUT
        while not (found := self._screen.find(payload.COLOURS[0], *payload.SIZE)):
            if time.monotonic() > deadline:
                said = self._guest.qemu.output
                raise RuntimeError(f"{self.rival.name} does not show the guest at 1:1\n{said}")
            time.sleep(0.05)
        return found

    def turn(self, updates: int, into: Shown) -> None:
        """A turn of updates, each after a rest: time to the screen, and CPU time."""
        before = self.cpu()
        for _ in range(updates):
            time.sleep(next(self._rests))
            seconds = self._to_screen(into.change)
            self._guest.wait_drawn()
            if seconds is not None:
                into.latency.append(seconds)
            elif (lost := into.lost + 1) > TOO_MANY_LOST:
                raise RuntimeError(f"{self.rival.name} does not show what changes: {into.change}")
            else:
                into.lost = lost
        time.sleep(SETTLE)
        used = {name: (now - before[name]) / updates for name, now in self.cpu().items()}
        into.qemu_cpu.append(used["QEMU"])
        into.server_cpu.append(used["X server"])
        into.viewer_cpu += [used["viewer"]] if "viewer" in used else []

    def turn_of_answers(self, updates: int, into: Shown) -> None:
        """A turn of updates whose answers are waited for: time until the guest has drawn."""
        for _ in range(updates):
            time.sleep(next(self._rests))
            began = time.monotonic()
            self._guest.order(next(self._colours), in_square=into.change != "full")
            self._guest.wait_drawn()
            into.drawn.append(time.monotonic() - began)

    def _to_screen(self, change: str) -> float | None:
        """Change a rectangle; seconds until the screen shows its last pixel, None if never."""
        colour = next(self._colours)
        x, y, width, height = CHANGES[change]
        place = self._x + x + width - 1, self._y + y + height - 1
        began = time.monotonic()
        self._guest.order(colour, in_square=change != "full")
        seen = self._screen.wait_pixel(*place, payload.COLOURS[colour], LOST)
        return None if seen is None else seen - began

    def cpu(self) -> dict[str, float]:
        """CPU time so far of each of the processes, in seconds."""
        return {name: cpu_seconds(pid) for name, pid in self.processes.items()}


def run(rivals: Sequence[Rival], effort: Effort, log: Path) -> Scores:
    """Ask everything. Raises RuntimeError when a rival shows nothing."""
    scores = Scores(machine())
    with contextlib.ExitStack() as stack:
        screens = [stack.enter_context(Screen(*SCREEN)) for _ in rivals]
        bouts = [
            stack.enter_context(Bout(rival, screen, log))
            for rival, screen in zip(rivals, screens, strict=True)
        ]
        for change in CHANGES:
            scores.shown += _updates(bouts, change, effort)
        scores.rests = _rests(bouts, effort.idle)
    return scores


def _updates(bouts: list[Bout], change: str, effort: Effort) -> list[Shown]:
    """The same updates to all, in turns; the turn of answers before them warms up."""
    found = [Shown(bout.rival.name, change) for bout in bouts]
    pids = [pid for bout in bouts for pid in bout.processes.values()]
    loads = [ForeignLoad(pids) for _ in bouts]
    for bout, shown in zip(bouts, found, strict=True):
        bout.turn_of_answers(effort.updates, shown)
    for _ in range(effort.turns):
        for bout, shown, load in zip(bouts, found, loads, strict=True):
            with load:
                bout.turn(effort.updates, shown)
    for shown, load in zip(found, loads, strict=True):
        shown.foreign = load.cores()
    return found


def _rests(bouts: list[Bout], seconds: float) -> list[Rest]:
    """Memory, and CPU time while nothing changes; all rest at the same time."""
    time.sleep(1.0)
    before = [bout.cpu() for bout in bouts]
    time.sleep(seconds)
    return [
        Rest(
            bout.rival.name,
            {name: rss_mib(pid) for name, pid in bout.processes.items()},
            {name: (cpu - earlier[name]) / seconds for name, cpu in bout.cpu().items()},
        )
        for bout, earlier in zip(bouts, before, strict=True)
    ]
