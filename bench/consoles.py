"""`python -m bench.consoles`: one, two and four consoles of one VM, a glview for each.

All are on a message bus, as viewers of the same VM have to be, and each has an X server of
its own. As in QEMU one thread sends for all consoles: a change to each, one right behind
the other, then all are waited for.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from bench import report
from bench.measure import COLOURS, FIRST, LOST, REST, SETTLE, TIMEOUT, end, square
from bench.process import cpu_seconds, machine
from bench.screen import Screen
from bench.source import Rect
from bench.viewers import Viewer
from glview.testing.console import ConsoleOptions
from glview.testing.pictures import MemfdPicture, memfd_picture
from glview.testing.vm import FakeVm
from tests.support.bus import Bus

SIZE = 1920, 1080
COUNTS = 1, 2, 4
CHANGES: dict[str, Rect] = {"64x64": square(*SIZE), "full": (0, 0, *SIZE)}


class Row(NamedTuple):
    """Seconds: of each console from its own update to the screen, from the first update until
    all show theirs, and of CPU for each update and viewer.
    """

    consoles: int
    change: str
    latency: list[float]
    all_shown: list[float]
    cpu: list[float]


class Desk:
    """A console, its screen and its viewer."""

    def __init__(self, number: int, surface: MemfdPicture, screen: Screen, pid: int) -> None:
        self.number, self.screen, self.pid = number, screen, pid
        self._pixels = surface.pixels.view("<u4")

    def paint(self, rect: Rect, colour: int) -> None:
        """As the guest does."""
        x, y, width, height = rect
        self._pixels[y : y + height, x : x + width] = colour

    def shows(self, rect: Rect, colour: int) -> bool:
        """Whether the last pixel of `rect` has that colour."""
        return self.screen.pixel(rect[0] + rect[2] - 1, rect[1] + rect[3] - 1) == colour


@contextlib.contextmanager
def opened(count: int) -> Iterator[tuple[FakeVm, list[Desk]]]:
    """A VM with so many consoles, all shown. Raises RuntimeError where one is not."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        bus = stack.enter_context(Bus(folder))
        options = [ConsoleOptions(head=n, width=SIZE[0], height=SIZE[1]) for n in range(count)]
        vm = stack.enter_context(FakeVm(consoles=options))
        desks = []
        for number in range(count):
            picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            surface = stack.enter_context(memfd_picture(picture))
            surface.pixels.view("<u4")[:] = FIRST
            vm.console(number).output.switch(surface)
        vm.join_bus(bus.address)
        for number in range(count):
            screen = stack.enter_context(Screen(*SIZE))
            words = sys.executable, "-m", "glview", "--address", bus.address
            viewer = Viewer("glview", (*words, "--console", str(number)))
            process = viewer.start(None, screen.display, folder / "log")
            stack.callback(end, process)
            shown = vm.console(number).output.surface
            assert shown is not None
            desks.append(Desk(number, shown, screen, process.pid))
            if screen.wait_pixel(SIZE[0] // 2, SIZE[1] // 2, FIRST, TIMEOUT) is None:
                raise RuntimeError(f"{(folder / 'log').read_text()}console {number} is not shown")
        for number in range(count):
            vm.console(number).wait_listener()
        yield vm, desks


def measure(turns: int, updates: int) -> Iterator[Row]:
    """Each number of consoles in turns; the first of them warms up."""
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(opened(count)) for count in COUNTS]
        for change, rect in CHANGES.items():
            rows = [Row(count, change, [], [], []) for count in COUNTS]
            for turn in range(turns + 1):
                for row, (vm, desks) in zip(rows, places, strict=True):
                    into = row if turn else Row(row.consoles, change, [], [], [])
                    _turn(vm, desks, rect, updates, into)
            yield from rows


def _turn(vm: FakeVm, desks: list[Desk], rect: Rect, updates: int, into: Row) -> None:
    colours = itertools.cycle(COLOURS)
    before = _cpu(desks)
    for _ in range(updates):
        colour = next(colours)
        for desk in desks:
            desk.paint(rect, colour)
        times = _shown(vm, desks, rect, colour)
        into.latency.extend(seen - sent for sent, seen in times)
        into.all_shown.append(max(seen for _, seen in times) - times[0][0])
        time.sleep(REST)
    time.sleep(SETTLE)
    into.cpu.append((_cpu(desks) - before) / updates / len(desks))


def _shown(vm: FakeVm, desks: list[Desk], rect: Rect, colour: int) -> list[tuple[float, float]]:
    """When each console's update was sent, and when it was on the screen."""
    sent, seen = {}, dict[int, float]()
    for desk in desks:
        sent[desk.number] = time.monotonic()
        vm.console(desk.number).output.update(*rect)
    while len(seen) < len(desks):
        now = time.monotonic()
        for desk in desks:
            if desk.number not in seen and desk.shows(rect, colour):
                seen[desk.number] = time.monotonic()
        if now > sent[desks[0].number] + LOST:
            raise RuntimeError("a console does not show what changes")
        time.sleep(20e-6)
    return [(sent[desk.number], seen[desk.number]) for desk in desks]


def _cpu(desks: list[Desk]) -> float:
    return sum(cpu_seconds(desk.pid) for desk in desks)


_HEAD = (
    "change", "consoles", "each to its screen, ms: median / p95", "all shown, ms: median",
    "CPU of each viewer, ms",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [_HEAD, ["---"] * len(_HEAD), *map(_cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Row) -> list[str]:
    latency = median(row.latency), report.percentile(row.latency, 0.95)
    return [
        row.change,
        str(row.consoles),
        " / ".join(f"{1000 * value:.2f}" for value in latency),
        f"{1000 * median(row.all_shown):.2f}",
        f"{1000 * median(row.cpu):.2f}",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.consoles", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into FILE")
    args = parser.parse_args(argv)
    rows = list(measure(3 if args.quick else 10, 10 if args.quick else 20))
    text = f"{table(rows)}\n{report.in_words(machine())}\n"
    print(text)
    if args.json:
        args.json.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text, "consoles")
    return 0


if __name__ == "__main__":
    sys.exit(main())
