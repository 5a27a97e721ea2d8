"""What glview is to reach: each question, what it is compared with, and the limits.

A limit is a comparison with a number: in the question's unit, or, with an x, times the
base's figure of the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bench.dmabuf import DMABUF, MEMCPY
from bench.figures import BARE, READER, SHM, SWAP, Figure
from bench.flood import SHOWN
from bench.pointer import POINTER
from bench.raw import BACK_TO_BACK, BODY, GROWTH, RESTED
from bench.start import RSS, START_BUS, START_P2P
from bench.viewers import FLOOR


class Target(NamedTuple):
    """A row; `shm` and `swap` are limits, empty where there is none."""

    question: str
    unit: str
    base: str
    shm: str
    swap: str


def _change(case: str, screen: tuple[str, str], cpu: tuple[str, str]) -> list[Target]:
    return [
        Target(f"{case}: to screen", "ms", FLOOR, *screen),
        Target(f"{case}: viewer CPU", "ms", FLOOR, *cpu),
    ]


FOREIGN = "foreign load during updates"
IDLE_CPU, IDLE_WAKEUPS = "idle: CPU", "idle: wake-ups"

TARGETS = [
    *_change("720p map full", ("<= 0.8 x", "<= 1.8 x"), ("<= 0.35 x", "<= 1.1 x")),
    *_change("720p map 64x64", ("<= 1.0 x", "<= 3.2 x"), ("<= 0.8 x", "<= 1.1 x")),
    *_change("1080p map full", ("<= 0.7 x", "<= 2.0 x"), ("<= 0.25 x", "<= 1.1 x")),
    *_change("1080p bytes full", ("<= 0.75 x", "<= 1.5 x"), ("<= 0.45 x", "<= 0.9 x")),
    *_change("1080p bytes 64x64", ("<= 1.0 x", ""), ("<= 0.8 x", "")),
    *_change("2160p map full", ("<= 0.6 x", "<= 2.1 x"), ("<= 0.1 x", "<= 1.0 x")),
    Target("1080p map 64x64: X server CPU", "ms", FLOOR, "<= 0.12", "<= 5"),
    *[Target(question, "ms", MEMCPY, "", "<= 2 x") for question in DMABUF.values()],
    Target(SHOWN, "/s", FLOOR, ">= 1.2 x", ">= 0.55 x"),
    Target(BACK_TO_BACK, "us", READER, "<= 30", "<= 30"),
    Target(RESTED, "us", READER, "<= 2.5 x", "<= 2.5 x"),
    Target(BODY, "ms", READER, "<= 1.15 x", "<= 1.15 x"),
    Target(GROWTH, "MiB", READER, "<= 0.5", "<= 0.5"),
    Target(POINTER, "us", "", "<= 15", "<= 15"),
    Target(START_P2P, "ms", BARE, "<= 120", "<= 1.3 x"),
    Target(START_BUS, "ms", BARE, "<= 120", "<= 1.3 x"),
    Target(RSS, "MiB", BARE, "<= 40", "<= 1.25 x"),
    Target(IDLE_CPU, "% of a core", FLOOR, "<= 0", "<= 0"),
    Target(IDLE_WAKEUPS, "/s", FLOOR, "<= 0", "<= 0"),
    Target(FOREIGN, "cores", FLOOR, "", ""),
]

_HEAD = (
    "question", "unit", "beside", "its figure",
    SHM, "ratio", "target", "met", SWAP, "ratio", "target", "met",
)  # fmt: skip


def table(figures: Iterable[Figure], *, complete: bool = True) -> str:
    """Markdown: a row for each target; where not `complete`, only for those measured.

    Raises KeyError where a figure is missing.
    """
    known = {(figure.question, figure.viewer): figure.value for figure in figures}
    rows = [_row(target, known) for target in TARGETS if complete or _measured(target, known)]
    lines = [_HEAD, ["---"] * len(_HEAD), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _measured(target: Target, known: Mapping[tuple[str, str], float]) -> bool:
    needed = {SWAP, target.base or SWAP}
    return all((target.question, viewer) in known for viewer in needed)


def _row(target: Target, known: Mapping[tuple[str, str], float]) -> list[str]:
    base = known.get((target.question, target.base))
    cells = [target.question, target.unit, target.base or "-", _text(base)]
    for viewer, limit in ((SHM, target.shm), (SWAP, target.swap)):
        if viewer == SHM and not limit and (target.question, SHM) not in known:
            cells += ["-"] * 4
            continue
        value = known[target.question, viewer]
        ratio = f"{value / base:.2f}" if base else "-"
        cells += [_text(value), ratio, limit or "-", _verdict(value, base, limit)]
    return cells


def _text(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _verdict(value: float, base: float | None, limit: str) -> str:
    return "-" if not limit else "met" if is_met(value, base, limit) else "**not met**"


def is_met(value: float, base: float | None, limit: str) -> bool:
    """Whether `value` keeps to `limit`. Raises ValueError for a ratio to nothing."""
    order, number, *times = limit.split()
    bound = float(number)
    if times:
        if base is None:
            raise ValueError(f"there is nothing to be {limit} of")
        bound *= base
    return value <= bound if order == "<=" else value >= bound
