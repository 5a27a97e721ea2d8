"""Two seats, their message bus and their X server, and what has to hold whatever happens."""

from __future__ import annotations

import heapq
import itertools
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.bus import Bus
from tests.support.chaos.lateness import Span
from tests.support.chaos.seat import Seat
from tests.support.cpuwait import CpuWait
from tests.support.process import Child
from tests.support.viewer import Viewer
from tests.support.wait import PATIENCE
from tests.support.x11 import Xvfb

TICK = 0.01

ENDS_WITHIN = 5.0 * PATIENCE
"""Seconds until a viewer has ended, from a signal or from when its surroundings run again."""

LIFTED_WITHIN = 1.5 * PATIENCE
"""Seconds until no key is down in a guest whose viewer has ended."""

RESUMED = 0.02
"""Seconds until a process that was stopped has come to itself."""

NO_DISPLAY = 10


def has_traceback(output: str) -> bool:
    """Return True for a traceback, unless SIGINT came before glview's first line was run."""
    too_early = "KeyboardInterrupt" in output and "__main__.py" not in output
    return ("Traceback" in output or "Fatal Python" in output) and not too_early


class World:
    """Processes that may be stopped, killed and replaced; a context manager.

    With `viewers=False` there are none. `turn` has to be called all the time. `faults` is what
    went wrong, in words, `log` what happened, `counts` how often. `started` is called with each
    new viewer, `held` are the keys down on the X server.
    """

    def __init__(self, folder: Path, *, viewers: bool) -> None:
        self.faults: list[str] = []
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        self.held: set[str] = set()
        self.started: Callable[[Seat, Viewer], None] = lambda _seat, _viewer: None
        self._viewers = viewers
        self._folder = folder
        self._number = itertools.count()
        self._begin = time.time()
        self._waits = CpuWait()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._stopped: dict[str, tuple[Child, float]] = {}
        self._disturbed = time.monotonic()
        self._leaving: dict[str, float] = {}
        self._checking: dict[str, float] = {}
        self.bus = self._start_bus()
        self.xvfb = self._start_x()
        self.seats = [Seat(folder / name, name, by_bus=name == "bus") for name in ("bus", "direct")]

    def __enter__(self) -> World:
        self._waits.__enter__()
        for seat in self.seats:
            self.start_vm(seat)
        return self

    def __exit__(self, *error: object) -> None:
        self._waits.__exit__(None, None, None)
        for seat in self.seats:
            seat.close()
        self.xvfb.__exit__()
        self.bus.kill()

    # -- time --------------------------------------------------------------

    def turn(self) -> None:
        """Do what is due, and look after the viewers."""
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for seat in self.seats:
            self._look_after(seat)
        time.sleep(TICK)

    def later(self, seconds: float, job: Callable[[], None]) -> None:
        """Have something done then."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._number), job))

    def say(self, what: str) -> None:
        """Write down what happens: a kind, a colon, and more."""
        self.counts[what.partition(":")[0]] += 1
        self.log.append(f"{time.time() - self._begin:8.3f} {what}")

    def calm(self) -> None:
        """Resume everything and let go of all keys: none stays down in a guest."""
        for name in list(self._stopped):
            self.resume(name)
        for key in list(self.held):
            self.let_go(key)
        while down := {seat.name: keys for seat in self.seats if (keys := seat.stuck())}:
            self.turn()
            if time.monotonic() - self._disturbed > LIFTED_WITHIN:
                self._fault(f"keys are down that nobody holds: {down}")
                break

    def come_to_rest(self) -> None:
        """Have all be calm, and end the viewers: each goes, and no key stays down."""
        for _, _, job in sorted(self._due):
            job()
        self._due.clear()
        self.calm()
        self._viewers = False  # no new ones
        for seat in self.seats:
            if not self.is_leaving(seat):
                self.leave(seat, signal.SIGTERM)
        while self._leaving or self._checking:
            self.turn()
        for seat in self.seats:
            self.end_vm(seat)

    # -- stopping and ending -----------------------------------------------

    def is_stopped(self, name: str) -> bool:
        """Return True for "X", "bus", "vm SEAT" or "viewer SEAT" if it stands still."""
        return name in self._stopped

    def is_leaving(self, seat: Seat) -> bool:
        """Return True if the viewer has been asked to end."""
        return seat.name in self._leaving

    def stop(self, name: str, child: Child) -> bool:
        """Stop a process; return False if it stands still already or has ended."""
        if name in self._stopped or not child.alive:
            return False
        self._stopped[name] = child, time.time()
        child.signal(signal.SIGSTOP)
        return True

    def resume(self, name: str, child: Child | None = None) -> None:
        """Have it run again, unless another process has that name by now."""
        if name not in self._stopped or child not in (None, self._stopped[name][0]):
            return
        stopped, since = self._stopped.pop(name)
        stopped.signal(signal.SIGCONT)
        self._disturbed = time.monotonic()
        for seat in self.seats:
            if name in (f"vm {seat.name}", f"viewer {seat.name}"):
                seat.spans.append(Span(since, time.time() + RESUMED))

    def leave(self, seat: Seat, number: signal.Signals) -> None:
        """Ask the viewer to end, if there is one."""
        if seat.viewer is not None:
            self.say(f"{number.name}: viewer {seat.name}")
            seat.viewer.signal(number)
            self._leaving.setdefault(seat.name, time.monotonic())

    def end_vm(self, seat: Seat) -> None:
        """Kill the VM."""
        self.resume(f"vm {seat.name}")
        seat.end_vm(self._waits)

    # -- starting ----------------------------------------------------------

    def start_vm(self, seat: Seat) -> None:
        """Start the VM, unless it runs."""
        if seat.qemu is None:
            self.resume("bus")
            seat.start_vm(self.bus)
            seat.watch(self._waits)
            self._disturbed = time.monotonic()

    def replace_x(self) -> None:
        """Kill the X server and start another one."""
        self.resume("X")
        self.xvfb.__exit__()
        self.held.clear()
        self.xvfb = self._start_x()
        self._disturbed = time.monotonic()

    def replace_bus(self) -> None:
        """Kill the message bus and start another one in its place."""
        self.resume("bus")
        self.bus.kill()
        self.bus = self._start_bus()
        self._disturbed = time.monotonic()

    def _start_bus(self) -> Bus:
        folder = self._folder / "bus-daemon"
        folder.mkdir(exist_ok=True)
        (folder / "bus.sock").unlink(missing_ok=True)
        return Bus(folder)

    def _start_x(self) -> Xvfb:
        folder = self._folder / f"xvfb{next(self._number)}"
        folder.mkdir()
        return Xvfb(folder, 1280, 1024)

    # -- the user's hands --------------------------------------------------

    def window(self, seat: Seat) -> str:
        """Return the id of the viewer's window; empty if there is none. X must be running."""
        return self.xvfb.find_window(seat.viewer.pid) if seat.viewer is not None else ""

    def xdotool(self, *words: str) -> bool:
        """Make real X events; return False if the window went meanwhile."""
        try:
            self.xvfb.xdotool(*words)
        except subprocess.CalledProcessError:
            return False
        return True

    def let_go(self, key: str) -> None:
        """Have a key go up on the X server, which must be running."""
        self.held.discard(key)
        self.xdotool("keyup", key)
        self._disturbed = time.monotonic()

    # -- what has to hold --------------------------------------------------

    def _look_after(self, seat: Seat) -> None:
        """See to a viewer that has ended or has to, and start the next one."""
        viewer = seat.viewer
        if viewer is not None and not viewer.alive:
            self._ended(seat, viewer)
        elif viewer is not None and self._overdue(self._leaving, seat, ENDS_WITHIN):
            self._fault(f"the viewer of {seat.name} does not end", viewer)
            self._leaving.pop(seat.name)
            viewer.kill()
        elif viewer is None and seat.name in self._checking:
            self._check_keys(seat)
        elif viewer is None and self._viewers:
            viewer = seat.start_viewer(self.xvfb, self.bus)
            seat.watch(self._waits)
            self.say(f"start: viewer {seat.name}")
            self.started(seat, viewer)

    def _ended(self, seat: Seat, viewer: Viewer) -> None:
        code = viewer.process.returncode
        seat.viewer = None
        seat.ends.append(time.time())
        self.resume(f"viewer {seat.name}")
        asked = self._leaving.pop(seat.name, None)
        self.say(f"exit {code}: viewer {seat.name}")
        if has_traceback(viewer.output):
            self._fault(f"a traceback in the viewer of {seat.name}, exit code {code}", viewer)
        elif code not in (0, NO_DISPLAY, -signal.SIGKILL) and asked is None:
            self._fault(f"the viewer of {seat.name} ended with {code}", viewer)
        if code == -signal.SIGKILL:
            seat.excused |= seat.keys_down()
        self._checking[seat.name] = time.monotonic()

    def _check_keys(self, seat: Seat) -> None:
        """No key is down in the guest once its viewer has ended."""
        if not seat.stuck():
            self._checking.pop(seat.name)
        elif self._overdue(self._checking, seat, LIFTED_WITHIN):
            self._fault(f"keys left down in {seat.name}: {seat.stuck()}")
            seat.excused |= seat.keys_down()
            self._checking.pop(seat.name)

    def _fault(self, what: str, viewer: Viewer | None = None) -> None:
        self.say(f"FAULT: {what}")
        recent = "\n".join(self.log[-40:])
        self.faults.append(f"{what}\n{viewer.output if viewer is not None else ''}{recent}")

    def _overdue(self, since: dict[str, float], seat: Seat, seconds: float) -> bool:
        """Return True if it has lasted so long, while nothing that it depends on stood still."""
        if seat.name not in since:
            return False
        places = {"X", f"vm {seat.name}", f"viewer {seat.name}", *(["bus"] if seat.by_bus else [])}
        if places & self._stopped.keys():
            return False
        return time.monotonic() - max(since[seat.name], self._disturbed) > seconds
