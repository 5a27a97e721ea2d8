"""The questions: how long, and for how much CPU, until a change is on the screen.

All viewers of a case run side by side, each on an X server of its own, and get the
same updates in turns of a few; so whatever else the machine does meets all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from bench.process import ForeignLoad, cpu_seconds, machine, rss_mib, wakeups
from bench.report import Life, Result, Update
from bench.screen import Screen
from bench.source import Guest, Rect
from bench.viewers import Viewer

FIRST = 0x205080  # the colour that a viewer is started with
COLOURS = (0xC03020, 0x30B040)  # those that updates alternate between
TIMEOUT = 20.0  # seconds for a viewer to show its first picture, or to end
LOST = 2.0  # seconds after which an update that is not on the screen counts as lost
TOO_MANY_LOST = 5  # the bench gives up
REST = 0.004  # seconds between two updates: each finds everything at rest
SETTLE = 0.05  # seconds before CPU time is read: what an update leaves behind is done by then


class Effort(NamedTuple):
    """How much is measured."""

    starts: int
    turns: int
    updates: int  # in a turn
    idle: float  # seconds


FULL = Effort(starts=7, turns=10, updates=20, idle=10.0)
QUICK = Effort(starts=3, turns=4, updates=10, idle=3.0)


class Case(NamedTuple):
    """A guest's screen, and the way its pixels take."""

    width: int
    height: int
    via: str

    def changes(self) -> dict[str, Rect]:
        """The rectangles that updates change: everything, and a square in the middle."""
        size = self.width, self.height
        return {"full": (0, 0, *size), "64x64": square(*size)}


def square(width: int, height: int) -> Rect:
    """The one in the middle of a screen that small updates change."""
    return width // 2 - 32, height // 2 - 32, 64, 64


class Session:
    """One viewer that shows a guest on a screen. Use with `with`.

    `start` is the time from its exec to the guest's first picture on the screen.
    Raises RuntimeError when it shows nothing, or not one pixel for one pixel.
    """

    def __init__(self, viewer: Viewer, case: Case, screen: Screen, log: Path) -> None:
        self.viewer, self.case, self.screen = viewer, case, screen
        self._colours = itertools.cycle(COLOURS)
        with contextlib.ExitStack() as stack:
            self.guest = stack.enter_context(Guest(*case, FIRST))
            began = time.monotonic()
            self.process = self.guest.start(viewer, screen.display, log)
            stack.callback(end, self.process)
            self.start = self._first_picture(log) - began
            self.guest.wait_viewer(TIMEOUT)
            self._x, self._y = self._find()
            self._exit = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _first_picture(self, log: Path) -> float:
        """When the guest's first picture was on the screen."""
        middle = self.case.width // 2, self.case.height // 2
        seen = self.screen.wait_pixel(*middle, FIRST, TIMEOUT)
        if seen is None:
            code = self.process.poll()
            state = "shows nothing" if code is None else f"ended with {code}"
            raise RuntimeError(f"{self.viewer.name} {state}; see {log}")
        return seen

    def _find(self) -> tuple[int, int]:
        """Where the guest's first pixel is on the screen."""
        deadline = time.monotonic() + LOST
        while not (found := self.screen.find(FIRST, self.case.width, self.case.height)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.viewer.name} does not show the guest at 1:1")
            time.sleep(0.01)
        return found

    def turn(self, rect: Rect, updates: int, into: Update) -> None:
        """A turn of updates, each after a rest: time to the screen, and CPU time."""
        viewer, server = self._cpu()
        for _ in range(updates):
            seconds = self._to_screen(rect)
            if seconds is not None:
                into.latency.append(seconds)
            elif (lost := into.lost + 1) > TOO_MANY_LOST:
                raise RuntimeError(f"{self.viewer.name} does not show what changes: {into.change}")
            else:
                into.lost = lost
            time.sleep(REST)
        time.sleep(SETTLE)
        viewer_after, server_after = self._cpu()
        into.viewer_cpu.append((viewer_after - viewer) / updates)
        into.server_cpu.append((server_after - server) / updates)

    def turn_of_replies(self, rect: Rect, updates: int, into: Update) -> None:
        """A turn of updates with a call behind each that is answered: time to the answer."""
        for _ in range(updates):
            colour = next(self._colours)
            self.guest.paint(rect, colour)
            began = time.monotonic()
            self.guest.send(rect)
            self.guest.ask()
            into.reply.append(time.monotonic() - began)
            self._wait_shown(rect, colour)
            time.sleep(REST)

    def _to_screen(self, rect: Rect) -> float | None:
        """Change a rectangle; seconds until the screen shows it, None if it does not."""
        colour = next(self._colours)
        self.guest.paint(rect, colour)
        began = time.monotonic()
        self.guest.send(rect)
        seen = self._wait_shown(rect, colour)
        return None if seen is None else seen - began

    def _wait_shown(self, rect: Rect, colour: int) -> float | None:
        """Wait for a rectangle's last pixel: frames are put on the screen from the top."""
        place = self.on_screen(rect[0] + rect[2] - 1, rect[1] + rect[3] - 1)
        return self.screen.wait_pixel(*place, colour, LOST)

    def on_screen(self, x: int, y: int) -> tuple[int, int]:
        """Where a pixel of the guest's is."""
        return self._x + x, self._y + y

    def _cpu(self) -> tuple[float, float]:
        return cpu_seconds(self.process.pid), cpu_seconds(self.screen.process.pid)

    @property
    def pids(self) -> tuple[int, int]:
        """The viewer's process and its X server's."""
        return self.process.pid, self.screen.process.pid


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a viewer to end, and make it."""
    process.terminate()
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(viewers: Sequence[Viewer], cases: Sequence[Case], effort: Effort, log: Path) -> Result:
    """Ask everything. Raises RuntimeError when a viewer shows nothing."""
    result = Result(machine())
    size = max(case.width for case in cases), max(case.height for case in cases)
    with contextlib.ExitStack() as stack:
        screens = [stack.enter_context(Screen(*size)) for _ in viewers]
        for case in cases:
            places = list(zip(viewers, screens, strict=True))
            _ask(places, case, effort, log, result)
    return result


def _ask(
    places: list[tuple[Viewer, Screen]], case: Case, effort: Effort, log: Path, result: Result
) -> None:
    """All questions about one case."""
    starts: dict[str, list[float]] = {viewer.name: [] for viewer, _ in places}
    for _ in range(effort.starts - 1):
        for viewer, screen in places:
            with Session(viewer, case, screen, log) as session:
                starts[viewer.name].append(session.start)
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(Session(viewer, case, screen, log)) for viewer, screen in places
        ]
        for session in sessions:
            starts[session.viewer.name].append(session.start)
        for change, rect in case.changes().items():
            result.updates += _updates(sessions, change, rect, effort)
        result.lives += _lives(sessions, starts, effort)


def _updates(sessions: list[Session], change: str, rect: Rect, effort: Effort) -> list[Update]:
    """The same updates to all sessions, in turns; one turn before them warms up."""
    found = [Update(s.viewer.name, *s.case, change) for s in sessions]
    loads = [ForeignLoad([pid for s in sessions for pid in s.pids]) for _ in sessions]
    for session, update in zip(sessions, found, strict=True):
        session.turn_of_replies(rect, effort.updates, update)
    for _ in range(effort.turns):
        for session, update, load in zip(sessions, found, loads, strict=True):
            with load:
                session.turn(rect, effort.updates, update)
    for update, load in zip(found, loads, strict=True):
        update.foreign = load.cores()
    return found


def _lives(sessions: list[Session], starts: dict[str, list[float]], effort: Effort) -> list[Life]:
    """Start, memory, and CPU time while nothing changes; all rest at the same time."""
    time.sleep(1.0)
    before = [_rest(session) for session in sessions]
    time.sleep(effort.idle)
    after = [_rest(session) for session in sessions]
    return [
        Life(
            session.viewer.name,
            *session.case,
            starts[session.viewer.name],
            rss_mib(session.process.pid),
            (cpu - cpu_before) / effort.idle,
            (wakes - wakes_before) / effort.idle,
        )
        for session, (cpu_before, wakes_before), (cpu, wakes) in zip(
            sessions, before, after, strict=True
        )
    ]


def _rest(session: Session) -> tuple[float, int]:
    return cpu_seconds(session.process.pid), wakeups(session.process.pid)
