"""Results: as JSON, as tables, and against limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from bench.viewers import FLOOR, GLVIEW

IDLE_LIMIT = 0.001  # of one core
START_LIMIT = 0.6  # seconds


@dataclass
class Update:
    """One viewer's figures for one kind of update; times in seconds, one value per update.

    `viewer_cpu` and `server_cpu` have one value per turn: the mean of its updates.
    """

    viewer: str
    width: int
    height: int
    via: str
    change: str
    latency: list[float] = field(default_factory=list)
    reply: list[float] = field(default_factory=list)
    viewer_cpu: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    lost: int = 0
    foreign: float = 0.0


@dataclass
class Life:
    """One viewer's figures for a case as a whole.

    `start` in seconds; `rss` in MiB after the updates; at rest, `idle` is the CPU time as
    a share of one core, and `wakeups` how often any thread went to sleep, per second.
    """

    viewer: str
    width: int
    height: int
    via: str
    start: list[float]
    rss: float
    idle: float
    wakeups: float


@dataclass
class Result:
    """Everything that one run of the bench found out."""

    machine: dict[str, str]
    updates: list[Update] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every single value."""
        return asdict(self)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed."""
    return sorted(values)[ceil(share * len(values)) - 1]


def markdown(result: Result) -> str:
    """Two tables, and the machine below them."""
    updates = table(_UPDATE_HEAD, (_update_row(u, result) for u in result.updates))
    lives = table(_LIFE_HEAD, map(_life_row, result.lives))
    return f"{updates}\n{lives}\n{in_words(result.machine)}\n"


def in_words(machine: Mapping[str, str]) -> str:
    """What the figures depend on, in a line."""
    return "; ".join(f"{key}: {value}" for key, value in machine.items())


_UPDATE_HEAD = (
    "screen", "via", "change", "viewer", "to screen, ms: median / p95 / min", "x floor",
    "to reply, ms: median / p95", "viewer CPU, ms", "x floor", "X server CPU, ms", "lost",
    "foreign load",
)  # fmt: skip
_LIFE_HEAD = (
    "screen", "via", "viewer", "start, ms: median (all)", "RSS, MiB", "idle CPU, %",
    "idle wake-ups/s",
)  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _update_row(update: Update, result: Result) -> list[str]:
    latency, reply = update.latency, update.reply
    times, cpu_times = times_floor(update, result)
    return [
        f"{update.width}x{update.height}",
        update.via,
        update.change,
        update.viewer,
        milliseconds(median(latency), percentile(latency, 0.95), min(latency)) if latency else "-",
        f"{times:.2f}",
        milliseconds(median(reply), percentile(reply, 0.95)) if reply else "-",
        milliseconds(median(update.viewer_cpu)),
        f"{cpu_times:.2f}",
        milliseconds(median(update.server_cpu)),
        str(update.lost),
        f"{update.foreign:.2f}",
    ]


def _life_row(life: Life) -> list[str]:
    starts = ", ".join(f"{1000 * start:.0f}" for start in life.start)
    return [
        f"{life.width}x{life.height}",
        life.via,
        life.viewer,
        f"{1000 * median(life.start):.0f} ({starts})",
        f"{life.rss:.1f}",
        f"{100 * life.idle:.3f}",
        f"{life.wakeups:.1f}",
    ]


def milliseconds(*seconds: float) -> str:
    return " / ".join(f"{1000 * value:.2f}" for value in seconds)


def times_floor(update: Update, result: Result) -> tuple[float, float]:
    """Median latency and viewer CPU as multiples of the floor's in the same run."""
    floor = next(u for u in result.updates if u.viewer == FLOOR and _key(u) == _key(update))
    if not update.latency or not floor.latency:
        return float("inf"), float("inf")
    return (
        median(update.latency) / median(floor.latency),
        median(update.viewer_cpu) / median(floor.viewer_cpu),
    )


def _key(update: Update) -> tuple[int, int, str, str]:
    return update.width, update.height, update.via, update.change


def write_into(document: Path, text: str, name: str = "bench") -> None:
    """Replace what stands between two marks in `document`, `<!-- NAME: begin -->` and `end`.

    Raises ValueError without them.
    """
    first, last = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
    old = document.read_text()
    before, begin, rest = old.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{document} lacks the marks {first} and {last}")
    document.write_text(f"{before}{first}\n{text}{last}{after}")


def failures(result: Result) -> list[str]:
    """What exceeds a limit, in words: glview's start and idle; anything lost."""
    found = [f"{_name(u)}: {u.lost} updates not shown" for u in result.updates if u.lost]
    for life in result.lives:
        if life.viewer == GLVIEW:
            found += _too_greedy(life)
    return found


def _too_greedy(life: Life) -> list[str]:
    found = []
    if median(life.start) > START_LIMIT:
        found.append(f"{_name(life)}: start {median(life.start):.2f} s, limit {START_LIMIT} s")
    if life.idle > IDLE_LIMIT:
        found.append(f"{_name(life)}: {100 * life.idle:.2f} % of a core at rest")
    return found


def _name(row: Update | Life) -> str:
    change = f" {row.change}" if isinstance(row, Update) else ""
    return f"{row.viewer} {row.width}x{row.height} {row.via}{change}"
