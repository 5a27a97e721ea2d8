"""`python -m bench.stages`: where the time of an update goes inside of glview.

By its own trace, so by the way through the main thread; and what the wait after it is
made of: the X server's work, which the trace cannot see, is what is left of the time to
the screen. docs/stats.md says what each stage is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench import report, viewers
from bench.measure import Case, Session
from bench.report import Update
from bench.screen import Screen
from tests.support.stats import journeys, read_trace

CASES = [Case(1280, 720, "map"), Case(1920, 1080, "map"), Case(1920, 1080, "bytes")]
STAGES = (
    *("receive", "take in", "waits for the main thread", "waits for the presenter", "upload"),
    *("waits for its frame", "draw", "swap"),
)
TURN = 20
HEAD = ("screen", "via", "change", "presenter", *STAGES, "after that", "to screen")


def rows(updates: int) -> Iterator[list[str]]:
    """A row for each case, change and presenter: medians in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        for case in CASES:
            with Screen(case.width, case.height) as screen:
                for change in case.changes():
                    for present in ("shm", "swap"):
                        yield _row(Path(text), screen, case, change, present, updates)


def _row(
    folder: Path, screen: Screen, case: Case, change: str, present: str, updates: int
) -> list[str]:
    trace = folder / f"{case}-{change}-{present}.json"
    viewer = viewers.glview("glview", "--present", present, "--trace", str(trace))
    seen = Update(viewer.name, *case, change)
    with Session(viewer, case, screen, folder / "log") as session:
        for _ in range(0, updates, TURN):
            session.turn(case.changes()[change], TURN, seen)
    found = list(journeys(read_trace(trace)).values())[-updates:]
    stages = [median(one.stages.get(stage, 0.0) for one in found) / 1e6 for stage in STAGES]
    whole = median(seen.latency)
    size = f"{case.width}x{case.height}"
    times = map(report.milliseconds, (*stages, whole - sum(stages), whole))
    return [size, case.via, change, present, *times]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer updates")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into FILE")
    args = parser.parse_args(argv)
    text = report.table(HEAD, rows(TURN if args.quick else 10 * TURN))
    print(text)
    if args.document:
        report.write_into(args.document, text, "stages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
