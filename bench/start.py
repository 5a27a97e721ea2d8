"""From exec to the guest's first pixel, by socket and on a bus, beside a bare window."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import BARE, SHM, SWAP, Figure
from bench.measure import FIRST, TIMEOUT, end
from bench.process import rss_mib
from bench.screen import Screen
from bench.source import Guest
from bench.viewers import Viewer, glview
from tests.support.bus import Bus

START_P2P, START_BUS = "start to first pixel, p2p fd", "start to first pixel, bus"
RSS = "RSS, 1080p map"
SIZE = 1920, 1080

Start = Callable[[Screen], subprocess.Popen[bytes]]


def measure(times: int) -> list[Figure]:
    """Milliseconds and MiB, in turns; the bare window's start stands beside both kinds."""
    found: dict[tuple[str, str], list[float]] = {}

    def note(question: str, viewer: str, value: float) -> None:
        found.setdefault((question, viewer), []).append(value)

    with tempfile.TemporaryDirectory(prefix="bench-") as text, Screen(*SIZE) as screen:
        log = Path(text, "log")
        with Bus(Path(text)) as bus:
            for _ in range(times):
                bare, size = _first_pixel(screen, lambda screen: _bare(screen, log))
                note(RSS, BARE, size)
                note(START_P2P, BARE, bare)
                note(START_BUS, BARE, bare)
                for viewer, present in ((SHM, "shm"), (SWAP, "swap")):
                    note(START_P2P, viewer, _by_fd(screen, present, log))
                    note(START_BUS, viewer, _on_bus(screen, bus, present, log))
    return [Figure(question, viewer, values) for (question, viewer), values in found.items()]


def _bare(screen: Screen, log: Path) -> subprocess.Popen[bytes]:
    argv = sys.executable, "-m", "bench.bare", *map(str, SIZE), f"{FIRST:#x}"
    return Viewer(BARE, argv).start(None, screen.display, log)


def _by_fd(screen: Screen, present: str, log: Path) -> float:
    """Milliseconds."""
    viewer = glview(present, "--present", present)
    with Guest(*SIZE, "map", FIRST) as guest:
        return _first_pixel(screen, lambda screen: guest.start(viewer, screen.display, log))[0]


def _on_bus(screen: Screen, bus: Bus, present: str, log: Path) -> float:
    """Milliseconds."""
    argv = sys.executable, "-m", "glview", "--present", present, "--address", bus.address
    viewer = Viewer(present, argv)
    with Guest(*SIZE, "map", FIRST) as guest:
        guest.join_bus(bus.address)
        return _first_pixel(screen, lambda screen: viewer.start(None, screen.display, log))[0]


def _first_pixel(screen: Screen, start: Start) -> tuple[float, float]:
    """Milliseconds until the middle of the screen has its colour; MiB after that."""
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        process = start(screen)
        stack.callback(end, process)
        seen = screen.wait_pixel(SIZE[0] // 2, SIZE[1] // 2, FIRST, TIMEOUT)
        if seen is None:
            raise RuntimeError(f"{process.args!r} shows nothing")
        time.sleep(0.2)
        size = rss_mib(process.pid)
    screen.wait_pixel(SIZE[0] // 2, SIZE[1] // 2, 0, TIMEOUT)  # the window has gone
    return 1000 * (seen - began), size
