"""What a contest with real QEMU found out: as JSON, and as tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.report import in_words, milliseconds, percentile, table


@dataclass
class Shown:
    """One rival's figures for one kind of update, times in seconds.

    `latency` has one value per update; the CPU times one per turn, the mean of its updates.
    `viewer_cpu` is empty where QEMU is its own viewer.
    """

    rival: str
    change: str
    latency: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)
    viewer_cpu: list[float] = field(default_factory=list)
    qemu_cpu: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    lost: int = 0
    foreign: float = 0.0


@dataclass
class Rest:
    """One rival's processes after the updates: memory in MiB, CPU as a share of one core.

    By "viewer" (unless that is QEMU), "QEMU" and "X server".
    """

    rival: str
    rss: dict[str, float]
    idle: dict[str, float]


@dataclass
class Scores:
    """Everything that one run found out."""

    machine: dict[str, str]
    shown: list[Shown] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every single value."""
        return asdict(self)


def markdown(scores: Scores) -> str:
    """Two tables, what was left out, and the machine."""
    shown = table(_SHOWN_HEAD, map(_shown_row, scores.shown))
    rests = table(_REST_HEAD, map(_rest_row, scores.rests))
    gaps = "".join(f"{name} left out: {why}\n" for name, why in scores.left_out.items())
    return f"{shown}\n{rests}\n{gaps}{in_words(scores.machine)}\n"


_SHOWN_HEAD = (
    "change", "seen through", "to screen, ms: median / p95 / min", "guest has drawn, ms: median",
    "viewer CPU, ms", "QEMU CPU, ms", "both, ms", "X server CPU, ms", "lost", "foreign load",
)  # fmt: skip
_REST_HEAD = (
    "seen through", "viewer RSS, MiB", "QEMU RSS, MiB", "idle CPU, %: viewer", "QEMU", "X server",
)  # fmt: skip


def _shown_row(shown: Shown) -> list[str]:
    latency, viewer, qemu = shown.latency, shown.viewer_cpu, median(shown.qemu_cpu)
    return [
        shown.change,
        shown.rival,
        milliseconds(median(latency), percentile(latency, 0.95), min(latency)) if latency else "-",
        milliseconds(median(shown.drawn)),
        milliseconds(median(viewer)) if viewer else "-",
        milliseconds(qemu),
        milliseconds(qemu + (median(viewer) if viewer else 0.0)),
        milliseconds(median(shown.server_cpu)),
        str(shown.lost),
        f"{shown.foreign:.2f}",
    ]


def _rest_row(rest: Rest) -> list[str]:
    return [
        rest.rival,
        *(f"{rest.rss[name]:.1f}" if name in rest.rss else "-" for name in ("viewer", "QEMU")),
        *(
            f"{100 * rest.idle[name]:.2f}" if name in rest.idle else "-"
            for name in ("viewer", "QEMU", "X server")
        ),
    ]
