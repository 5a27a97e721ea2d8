"""`python -m bench.table`: glview by both of its presenters, beside what it is to reach.

Every row of `targets.TARGETS`, in one run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from bench import dmabuf, flood, measure, pointer, raw, report, start, targets, viewers
from bench.figures import SHM, SWAP, Figure
from bench.measure import Case
from bench.process import machine
from bench.report import Life, Result, Update


class Effort(NamedTuple):
    """How much is measured."""

    updates: measure.Effort
    turns: int  # of a flood of a second
    raw: raw.Effort
    batches: int  # of pointer events
    starts: int


FULL = Effort(measure.FULL, 5, raw.Effort(calls=5000, rested=500, bodies=100), 200, 7)
QUICK = Effort(measure.QUICK, 2, raw.Effort(calls=1000, rested=50, bodies=20), 50, 3)

CASES = [Case(1280, 720, "map"), Case(1920, 1080, "map"), Case(1920, 1080, "bytes")]
LARGE = Case(3840, 2160, "map")


def updates(effort: Effort) -> Iterator[Figure]:
    """What `python -m bench` asks, of both presenters."""
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        folder = Path(text)
        tested = [viewers.floor(folder), *both()]
        whole = Result({})
        for cases in (CASES, [LARGE]):  # on screens of their size
            result = measure.run(tested, cases, effort.updates, folder / "log")
            whole.updates += result.updates
            whole.lives += result.lives
        yield from from_result(whole)


def both(*options: str) -> list[viewers.Viewer]:
    """glview by both presenters."""
    return [
        viewers.glview(name, "--present", present, *options)
        for name, present in ((SHM, "shm"), (SWAP, "swap"))
    ]


def from_result(result: Result) -> Iterator[Figure]:
    """The questions about updates, and about a viewer's life with a map of 1080p."""
    for update in result.updates:
        yield from _from_update(update)
    for life in result.lives:
        if (life.height, life.via) == (1080, "map"):
            yield from _from_life(life)
    for viewer in dict.fromkeys(update.viewer for update in result.updates):
        loads = [update.foreign for update in result.updates if update.viewer == viewer]
        yield Figure(targets.FOREIGN, viewer, loads)


def _from_update(update: Update) -> Iterator[Figure]:
    case = f"{update.height}p {update.via} {update.change}"
    times = {
        "to screen": update.latency,
        "viewer CPU": update.viewer_cpu,
        "X server CPU": update.server_cpu,
    }
    for what, seconds in times.items():
        yield Figure(f"{case}: {what}", update.viewer, [1000 * value for value in seconds])


def _from_life(life: Life) -> Iterator[Figure]:
    yield Figure(start.RSS, life.viewer, [life.rss])
    yield Figure(targets.IDLE_CPU, life.viewer, [100 * life.idle])
    yield Figure(targets.IDLE_WAKEUPS, life.viewer, [life.wakeups])


def floods(effort: Effort) -> list[Figure]:
    """Without pacing."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tested = [viewers.floor(Path(folder)), *both("--no-pacing")]
        return flood.measure(tested, effort.turns, 1.0)


PARTS: dict[str, Callable[[Effort], Iterator[Figure] | list[Figure]]] = {
    "updates": updates,
    "flood": floods,
    "dmabuf": lambda effort: dmabuf.measure(effort.raw.bodies),
    "raw": lambda effort: raw.measure(effort.raw),
    "pointer": lambda effort: pointer.measure(effort.batches),
    "start": lambda effort: start.measure(effort.starts),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. What is not met is no failure: the table says it."""
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--part", action="append", choices=PARTS, help="only these questions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into FILE")
    args = parser.parse_args(argv)
    effort = QUICK if args.quick else FULL
    figures = [figure for part in args.part or PARTS for figure in PARTS[part](effort)]
    text = targets.table(figures, complete=not args.part)
    text += f"\n{report.in_words(machine())}\n"
    print(text)
    if args.json:
        args.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text, "table")
    return 0


if __name__ == "__main__":
    sys.exit(main())
