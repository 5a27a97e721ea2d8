"""The questions: how long, and for how much CPU, until a change is on the screen.

All viewers of a case run side by side, each on an X server of its own, and get the
same updates in turns of a few; so whatever else the machine does meets all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from bench.process import ForeignLoad, cpu_seconds, rss_mib
from bench.report import Idle, Result, Update
from bench.screen import Screen
from bench.source import Guest, Via
from bench.viewers import Viewer

Rect = tuple[int, int, int, int]

FIRST = 0x205080  # the colour that a viewer is started with
COLOURS = (0xC03020, 0x30B040)  # those that updates alternate between
TIMEOUT = 20.0  # seconds for a viewer to show its first picture, or to end
LOST = 2.0  # seconds after which an update that is not on the screen counts as lost
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
    via: Via

    def changes(self) -> dict[str, Rect]:
        """The rectangles that updates change: everything, and a square in the middle."""
        square = (self.width // 2 - 32, self.height // 2 - 32, 64, 64)
        return {"full": (0, 0, self.width, self.height), "64x64": square}


class Session:
    """One viewer that shows a guest on a screen. Use with `with`."""

    def __init__(self, viewer: Viewer, case: Case, screen: Screen, log: Path) -> None:
        self.viewer, self.case, self.screen = viewer, case, screen
        self._colours = itertools.cycle(COLOURS)
        self._exit = contextlib.ExitStack()
        with self._exit.pop_all() as exit:
            self._guest = exit.enter_context(Guest(case.width, case.height, case.via))
            began = time.monotonic()
            self.process = viewer.start(self._guest.viewer_fd(), screen.display, log)
            exit.callback(end, self.process)
            self._guest.accept(FIRST, TIMEOUT)
            self.start = self._first_picture(log) - began
            self._origin = self._find()
            self._exit = exit.pop_all()

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

    def update(self, rect: Rect) -> tuple[float | None, float]:
        """Change a rectangle; seconds until it is on the screen (None: lost), until the reply."""
        colour = next(self._colours)
        self._guest.paint(rect, colour)
        last_x = self._origin[0] + rect[0] + rect[2] - 1
        last_y = self._origin[1] + rect[1] + rect[3] - 1
        began = time.monotonic()
        self._guest.send(rect, colour)
        seen = self.screen.wait_pixel(last_x, last_y, colour, LOST)
        replied = self._guest.wait_reply(LOST)
        time.sleep(REST)
        return None if seen is None else seen - began, replied - began

    def turn(self, rect: Rect, updates: int, into: Update) -> None:
        """A turn of updates, their CPU time included."""
        viewer, server = self._cpu()
        for _ in range(updates):
            latency, reply = self.update(rect)
            into.add(latency, reply)
        time.sleep(SETTLE)
        viewer_after, server_after = self._cpu()
        into.add_cpu((viewer_after - viewer) / updates, (server_after - server) / updates)

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


def run(viewers: Sequence[Viewer], cases: Iterable[Case], effort: Effort, log: Path) -> Result:
    """Ask everything. Raises RuntimeError when a viewer shows nothing."""
    result = Result()
    with contextlib.ExitStack() as exit:
        screens = [exit.enter_context(Screen(1920, 1200)) for _ in viewers]
        for case in cases:
            places = list(zip(viewers, screens, strict=True))
            result.idle += _case(places, case, effort, log, result.updates)
    return result


def _case(
    places: list[tuple[Viewer, Screen]],
    case: Case,
    effort: Effort,
    log: Path,
    updates: list[Update],
) -> list[Idle]:
    """All questions about one case; adds to `updates`."""
    starts: dict[str, list[float]] = {viewer.name: [] for viewer, _ in places}
    for _ in range(effort.starts - 1):
        for viewer, screen in places:
            with Session(viewer, case, screen, log) as session:
                starts[viewer.name].append(session.start)
    with contextlib.ExitStack() as exit:
        sessions = [exit.enter_context(Session(*place, log)) for place in _with(case, places)]
        for session in sessions:
            starts[session.viewer.name].append(session.start)
        for name, rect in case.changes().items():
            updates += _updates(sessions, name, rect, effort)
        return _idle(sessions, starts, effort)


def _with(
    case: Case, places: list[tuple[Viewer, Screen]]
) -> Iterator[tuple[Viewer, Case, Screen]]:
    return ((viewer, case, screen) for viewer, screen in places)


def _updates(sessions: list[Session], change: str, rect: Rect, effort: Effort) -> list[Update]:
    """The same updates to all sessions, in turns; the first turn warms up."""
    pids = [pid for session in sessions for pid in session.pids]
    found = [Update(s.viewer.name, *s.case, change, ForeignLoad(pids)) for s in sessions]
    for session in sessions:
        session.turn(rect, effort.updates, Update.nowhere(pids))
    for _ in range(effort.turns):
        for session, update in zip(sessions, found, strict=True):
            with update.foreign:
                session.turn(rect, effort.updates, update)
    return found


def _idle(sessions: list[Session], starts: dict[str, list[float]], effort: Effort) -> list[Idle]:
    """What each costs while nothing changes: all at the same time."""
    time.sleep(1.0)
    before = [cpu_seconds(session.process.pid) for session in sessions]
    time.sleep(effort.idle)
    return [
        Idle(
            s.viewer.name,
            *s.case,
            starts[s.viewer.name],
            rss_mib(s.process.pid),
            (cpu_seconds(s.process.pid) - cpu) / effort.idle,
        )
        for s, cpu in zip(sessions, before, strict=True)
    ]
