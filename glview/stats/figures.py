"""Figures of the last second, and how they read: in a line, and in the HUD."""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

from glview.stats.recorder import Recorder, Update

EVERY = 1.0
"""Seconds between two lines, or two contents of the HUD."""


COLUMNS = 26
"""Width of the HUD in letters."""


class Spread(NamedTuple):
    """Median and 99th percentile of some times, in milliseconds; None where there were none."""

    p50: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        """By nearest rank."""
        if not seconds:
            return cls()
        ordered = sorted(seconds)
        ranks = (-(-len(ordered) * percent // 100) - 1 for percent in (50, 99))
        return cls(*(ordered[rank] * 1000 for rank in ranks))


class Figures(NamedTuple):
    """What `Meter.read` found; rates are per second, totals since recording began."""

    updates: float
    frames: float
    drops: float
    uploaded: float  # bytes
    total: tuple[int, int, int]  # updates, frames, drops
    to_reply: Spread
    to_swap: Spread
    to_screen: Spread
    transport: str  # of the newest update, "" where there was none
    buffers: tuple[int, int, int]  # imports, hits, evictions


class Meter:
    """Reads a recorder, each time for what has happened since the last time."""

    def __init__(self, recorder: Recorder, now: float) -> None:
        self._recorder = recorder
        self._since = self._began = now
        self._before = self._counts()
        self._offset = self._before

    def _counts(self) -> tuple[int, int, int, int]:
        r = self._recorder
        return r.offered, r.frames, r.drops, r.uploaded

    def read(self, now: float) -> Figures:
        """The figures of the time up to `now`, in monotonic seconds."""
        since, self._since = self._since, now
        before, self._before = self._before, self._counts()
        elapsed = max(now - since, 1e-6)
        rates = [(n - b) / elapsed for n, b in zip(self._before, before, strict=True)]
        updates, frames, drops, _ = (n - o for n, o in zip(self._before, self._offset, strict=True))
        known = self._recorder.newest()
        newest = max(known, key=lambda update: update.number, default=None)
        return Figures(
            *(rates[0], rates[1], rates[2], rates[3]),
            (updates, frames, drops),
            Spread.of([u.replied - u.arrived for u in known if since < u.replied <= now]),
            Spread.of([_swapped(u) - u.arrived for u in known if since < _swapped(u) <= now]),
            Spread.of([_shown(u) - u.arrived for u in known if since < _shown(u) <= now]),
            newest.transport if newest is not None else "",
            self._recorder.buffers,
        )


def _swapped(update: Update) -> float:
    return update.frame.swapped if update.frame is not None else 0.0


def _shown(update: Update) -> float:
    return update.frame.shown if update.frame is not None else 0.0


class Printer:
    """Prints a line a second to stderr. `deadline` is when the next one is due."""

    def __init__(self, recorder: Recorder) -> None:
        now = time.monotonic()
        self.deadline = now + EVERY
        self._meter = Meter(recorder, now)

    def tick(self, now: float) -> None:
        """Print, if it is time."""
        if now >= self.deadline:
            self.deadline = now + EVERY
            self.print(now)

    def print(self, now: float) -> None:
        """Print what has happened since the last line."""
        print(f"glview: {line(self._meter.read(now))}", file=sys.stderr, flush=True)


def line(figures: Figures) -> str:
    """All of it, in one line."""
    rates = figures.updates, figures.frames, figures.drops
    names = "updates", "frames", "drops"
    parts = [
        f"{rate:.0f} {name}/s ({total})"
        for rate, name, total in zip(rates, names, figures.total, strict=True)
    ]
    parts += [f"to {name} {_pair(spread)} ms" for name, spread in _spreads(figures)]
    parts.append(f"upload {figures.uploaded / 1e6:.1f} MB/s by {figures.transport or '-'}")
    parts.append("{} imports, {} hits, {} evictions".format(*figures.buffers))
    return ", ".join(parts)


def _pair(spread: Spread) -> str:
    return f"{_number(spread.p50)}/{_number(spread.p99)}"


def _number(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.2f}"


def _spreads(figures: Figures) -> list[tuple[str, Spread]]:
    return [
        ("reply", figures.to_reply),
        ("swap", figures.to_swap),
        ("screen", figures.to_screen),
    ]


def table(figures: Figures) -> list[str]:
    """All of it, in lines of `COLUMNS` characters."""
    rows = [
        ("transport", figures.transport or "-"),
        ("updates/s", f"{figures.updates:.0f}"),
        ("frames/s", f"{figures.frames:.0f}"),
        ("drops/s", f"{figures.drops:.0f}"),
        ("upload MB/s", f"{figures.uploaded / 1e6:.1f}"),
        ("ms", f"{'p50':>8}{'p99':>8}"),
        *((f"to {name}", _columns(spread)) for name, spread in _spreads(figures)),
        ("imports/hits/out", "/".join(map(str, figures.buffers))),
    ]
    return [f"{name}{value:>{COLUMNS - len(name)}}" for name, value in rows]


def _columns(spread: Spread) -> str:
    return f"{_number(spread.p50):>8}{_number(spread.p99):>8}"
