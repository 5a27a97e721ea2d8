"""`python -m bench.scaling`: how latency and CPU grow with the screen and with the change.

The screens of all sizes are there at the same time, each with a floor viewer and a glview,
and get the same kind of change in turns of a few; so figures of different sizes can be
compared, whatever else the machine does meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import report, viewers
from bench.figures import SHM, SWAP
from bench.measure import Case, Session, square
from bench.process import ForeignLoad, machine
from bench.report import Result, Update
from bench.screen import Screen
from bench.source import Rect
from bench.viewers import FLOOR, Viewer

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160), "8K": (7680, 4320)}
TRANSPORTS = ("map", "bytes")
CHANGES: dict[str, Callable[[int, int], Rect]] = {
    "1 px": lambda width, height: (width // 2, height // 2, 1, 1),
    "64x64": square,
    "25 %": lambda width, height: (width // 4, height // 4, width // 2, height // 2),
    "full": lambda width, height: (0, 0, width, height),
}
SQUARE_LIMIT = 2.0  # a square's cost at 8K, times that at 720p
SLOPE_LIMIT = 1.2  # what full frames cost more at 8K than at 1080p, times the floor's
MANY, FEW = 20, 5  # updates in a turn: of up to a million pixels, of more


class Limit(NamedTuple):
    """Something that was to be kept to, in words, and what came out; both are ratios."""

    question: str
    viewer: str
    ratio: float
    bound: float

    @property
    def met(self) -> bool:
        """Whether it was."""
        return self.ratio <= self.bound


def measure(tested: Sequence[Viewer], vias: Sequence[str], turns: int, log: Path) -> Result:
    """Every change to every screen. Raises RuntimeError when a viewer shows nothing."""
    result = Result(machine())
    loads = []
    for via in vias:
        with contextlib.ExitStack() as stack:
            sessions = []
            for size in SIZES.values():
                for viewer in tested:
                    screen = stack.enter_context(Screen(*size))
                    session = Session(viewer, Case(*size, via), screen, log)
                    sessions.append(stack.enter_context(session))
            load = ForeignLoad([pid for session in sessions for pid in session.pids])
            with load:
                for change in CHANGES:
                    result.updates += _updates(sessions, change, turns)
            loads.append(f"{via} {load.cores():.2f} cores")
    result.machine["foreign load"] = ", ".join(loads)
    return result


def _updates(sessions: list[Session], change: str, turns: int) -> list[Update]:
    """One kind of change to all sessions, in turns; the first one warms up."""
    found = [_nothing_yet(session, change) for session in sessions]
    for turn in range(turns + 1):
        for session, update in zip(sessions, found, strict=True):
            rect = CHANGES[change](session.case.width, session.case.height)
            into = update if turn else _nothing_yet(session, change)
            session.turn(rect, MANY if rect[2] * rect[3] <= 1 << 20 else FEW, into)
    return found


def _nothing_yet(session: Session, change: str) -> Update:
    return Update(session.viewer.name, *session.case, change)


class Costs:
    """Median latency and viewer CPU of an update, in seconds."""

    def __init__(self, result: Result) -> None:
        self._updates = {(u.viewer, u.height, u.via, u.change): u for u in result.updates}
        self.viewers = list(dict.fromkeys(update.viewer for update in result.updates))
        self.vias = list(dict.fromkeys(update.via for update in result.updates))

    def of(self, viewer: str, size: str, via: str, change: str) -> tuple[float, float]:
        """One case. Raises KeyError where it was not measured."""
        update = self._updates[viewer, SIZES[size][1], via, change]
        latency = median(update.latency) if update.latency else float("inf")
        return latency, median(update.viewer_cpu)

    def in_words(self, viewer: str, size: str, via: str, change: str) -> str:
        """One case, the X server's CPU time as well, in ms."""
        server = median(self._updates[viewer, SIZES[size][1], via, change].server_cpu)
        return _ms(*self.of(viewer, size, via, change), server)

    def growth(self, viewer: str, via: str) -> tuple[float, float]:
        """What full frames cost more at 8K than at 1080p."""
        (late, busy), (late_before, busy_before) = (
            self.of(viewer, size, via, "full") for size in ("8K", "1080p")
        )
        return late - late_before, busy - busy_before


def limits(costs: Costs) -> Iterator[Limit]:
    """What glview is to keep to, by whichever presenter."""
    for viewer in costs.viewers:
        for via in costs.vias if viewer != FLOOR else ():
            small = (costs.of(viewer, size, via, "64x64") for size in ("8K", "720p"))
            for what, large, base in zip(("to screen", "viewer CPU"), *small, strict=True):
                question = f"{via} 64x64, {what}: 8K beside 720p"
                yield Limit(question, viewer, large / base, SQUARE_LIMIT)
            grown = costs.growth(viewer, via), costs.growth(FLOOR, via)
            for what, own, floor in zip(("to screen", "viewer CPU"), *grown, strict=True):
                question = f"{via} full, {what}: growth from 1080p to 8K beside the floor's"
                yield Limit(question, viewer, own / floor, SLOPE_LIMIT)


def markdown(result: Result) -> str:
    """A table of costs, one of limits, and the machine below them."""
    costs = Costs(result)
    rows = [["via", "change", "viewer", *SIZES], ["---"] * (3 + len(SIZES))]
    for via in costs.vias:
        for change in CHANGES:
            for viewer in costs.viewers:
                cells = [costs.in_words(viewer, size, via, change) for size in SIZES]
                rows.append([via, change, viewer, *cells])
    rows += [[], ["question", "viewer", "ratio", "limit", "met"], ["---"] * 5]
    rows += [_row(limit) for limit in limits(costs)]
    table = "".join(f"| {' | '.join(row)} |\n" if row else "\n" for row in rows)
    return f"{table}\n{report.in_words(result.machine)}\n"


def _row(limit: Limit) -> list[str]:
    verdict = "met" if limit.met else "**not met**"
    return [
        limit.question,
        limit.viewer,
        f"{limit.ratio:.2f}",
        f"<= {limit.bound:g} x",
        verdict,
    ]


def _ms(*seconds: float) -> str:
    return " / ".join(f"{1000 * value:.{0 if value >= 0.1 else 2}f}" for value in seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--via", action="append", choices=TRANSPORTS, help="only these ways")
    parser.add_argument("--swap", action="store_true", help="the other presenter as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the tables into FILE")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder, "log")
        tested = [viewers.floor(Path(folder)), viewers.glview(SHM, "--present", "shm")]
        tested += [viewers.glview(SWAP, "--present", "swap")] if args.swap else []
        try:
            result = measure(tested, args.via or TRANSPORTS, 3 if args.quick else 10, log)
        except RuntimeError as error:
            print(f"{log.read_text() if log.exists() else ''}bench: {error}", file=sys.stderr)
            return 1
    text = markdown(result)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text, "scaling")
    return 0 if all(limit.met for limit in limits(Costs(result))) else 1


if __name__ == "__main__":
    sys.exit(main())
