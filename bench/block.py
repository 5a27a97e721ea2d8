"""`python -m bench.block`: how long a guest's GPU stands still for glview.

From UpdateDMABUF sent to its answer received, as QEMU has it, while the window is seen,
hidden in every way, and while nobody listens to it; beside what the copy alone costs on
the same desktop. The buffer is a memory file, which software Mesa imports as it does a
dma-buf. Then how many answers a guest gets that does nothing else, with pacing and without.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import report
from bench.measure import REST, square
from bench.windows import SETTLE, SIZE, Situation, on_wayland, on_x11, shown, viewer_on, weston_on
from glview.testing import FakeListener
from tests.support.canvas import Canvas
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

LONGEST = 0.1  # seconds that no answer may take
HIDDEN = 0.001  # seconds, the median while the window is not to be seen
ABOVE = 0.001  # seconds, the median above that of the copy alone while it is seen
TURNS = 5  # of each of four viewers
PACED = 0.9  # answers per second with pacing, of those without

DESKTOPS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Xvfb | Weston]]] = {
    "X11": Xvfb,
    "Wayland": weston_on,
}


class Row(NamedTuple):
    """Answers in one situation, in seconds; `copy` and `frame` are medians without a guest."""

    window: str
    kind: str
    change: str
    times: list[float]
    copy: float
    frame: float

    def limit(self) -> float | None:
        """What the median must not exceed."""
        return {"seen": self.copy + ABOVE, "hidden": HIDDEN}.get(self.kind)

    def faults(self) -> list[str]:
        """What is too slow, in words."""
        limit, found = self.limit(), []
        if max(self.times) > LONGEST:
            found.append(f"an answer took {1000 * max(self.times):.0f} ms")
        if limit is not None and median(self.times) > limit:
            found.append(f"median {1000 * median(self.times):.2f} ms, limit {1000 * limit:.2f} ms")
        return [f"{self.window}, {self.change}: {fault}" for fault in found]


class Rate(NamedTuple):
    """Answers per second to a guest that changes everything as fast as it may."""

    window: str
    paced: float
    unpaced: float

    def faults(self) -> list[str]:
        """What is too slow, in words."""
        share = self.paced / self.unpaced
        return [f"{self.window}: {share:.2f} x the answers with pacing"] if share < PACED else []


def measure(situation: Situation, updates: int) -> list[Row]:
    """Updates of everything and of a square."""
    name, kind, listener, canvas, alone = situation
    listener.update_dmabuf(*canvas.all)  # a frame that nobody shows hides a Wayland window
    time.sleep(SETTLE)
    rows = []
    for change, rect in (("full", canvas.all), ("64x64", square(*SIZE))):
        times = []
        for _ in range(updates if kind != "stopped" else max(10, updates // 20)):
            canvas.memory[:16] ^= 0xFF
            times.append(listener.update_dmabuf(*rect).seconds)
            time.sleep(REST)
        copy, frame = median(alone[change].copies), median(alone[change].frames)
        rows.append(Row(name, kind, change, times, copy, frame))
    return rows


def flood(listener: FakeListener, canvas: Canvas, seconds: float) -> float:
    """Answers per second."""
    began, count = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        canvas.memory[:16] ^= 0xFF
        listener.update_dmabuf(*canvas.all)
        count += 1
    return count / (now - began)


def rate(name: str, folder: Path, seconds: float) -> Rate:
    """With pacing and without in turns, each viewer on a desktop of its own.

    Two of the same kind differ by a tenth, so there are two of each.
    """
    kinds = (), ("--no-pacing",), ("--no-pacing",), ()
    found: dict[tuple[str, ...], list[float]] = {kind: [] for kind in kinds}
    with contextlib.ExitStack() as stack:
        guests = []
        for number, options in enumerate(kinds):
            place = folder / f"{name}-{number}"
            place.mkdir()
            desktop = stack.enter_context(DESKTOPS[name](place))
            _, vm = stack.enter_context(viewer_on(desktop, place, *options))
            guests.append(stack.enter_context(shown(vm)))
        for _ in range(TURNS):
            for options, guest in zip(kinds, guests, strict=True):
                found[options].append(flood(*guest, seconds))
    return Rate(name, median(found[()]), median(found["--no-pacing",]))


def table(rows: list[Row], rates: list[Rate]) -> str:
    """Markdown."""
    head = "window", "change", "answers", "median, ms", "limit", "p99", "longest"
    lines = [[*head, "copy alone, median", "frame alone"]]
    lines += [["---"] * len(lines[0]), *map(_cells, rows)]
    lines += [[], ["window", "answers/s, paced", "not paced", "ratio"], ["---"] * 4]
    lines += [
        [r.window, f"{r.paced:.0f}", f"{r.unpaced:.0f}", f"{r.paced / r.unpaced:.2f}"]
        for r in rates
    ]
    return "".join(f"| {' | '.join(line)} |\n" if line else "\n" for line in lines)


def _cells(row: Row) -> list[str]:
    limit = row.limit()
    seen = row.kind == "seen"
    return [
        row.window,
        row.change,
        str(len(row.times)),
        _ms(median(row.times)),
        "-" if limit is None else _ms(limit),
        _ms(report.percentile(row.times, 0.99)),
        _ms(max(row.times)),
        _ms(row.copy) if seen else "-",
        _ms(row.frame) if seen else "-",
    ]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m bench.block", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the updates")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into FILE")
    args = parser.parse_args(argv)
    updates, seconds = (50, 0.3) if args.quick else (500, 1.0)
    rows: list[Row] = []
    for situations in (on_x11, on_wayland):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for situation in situations(Path(folder), updates):
                rows += measure(situation, updates)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        paces = [rate(name, Path(folder), seconds) for name in DESKTOPS]
    text = table(rows, paces)
    print(text)
    if args.document:
        report.write_into(args.document, text, "block")
    faults = [fault for row in rows for fault in row.faults()]
    faults += [fault for pace in paces for fault in pace.faults()]
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
