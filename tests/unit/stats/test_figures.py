"""Figures from what a recorder has, and how they read."""

from __future__ import annotations

import time

import pytest

from glview.stats import figures
from glview.stats.figures import Figures, Meter, Spread
from glview.stats.recorder import MAP, Recorder
from tests.support.stats import Line, lines
from tests.unit.stats.test_recorder import come, show


def test_median_and_99th_percentile() -> None:
    thousandths = [n / 1000 for n in range(100, 0, -1)]
    assert Spread.of(thousandths) == Spread(50.0, 99.0)
    assert Spread.of([0.002]) == Spread(2.0, 2.0)
    assert Spread.of([]) == Spread(None, None)


def test_only_what_happened_since_the_last_look() -> None:
    recorder = Recorder()
    recorder.start()
    come(recorder)
    show(recorder)
    meter = Meter(recorder, time.monotonic())
    nothing = meter.read(time.monotonic() + 0.001)
    assert nothing.total == (0, 0, 0)
    assert nothing.to_swap == nothing.to_reply == nothing.to_screen == Spread()
    time.sleep(0.002)
    for _ in range(4):
        come(recorder)
    show(recorder, shown=False)
    now = time.monotonic()
    found = meter.read(now)
    assert found.total == (4, 1, 3)
    assert found.updates == pytest.approx(4 * found.frames)
    assert found.to_swap.p50 is not None
    assert 0 < found.to_swap.p50 < 1000
    assert found.to_screen == Spread(), "nobody has said when it was shown"
    assert found.transport == MAP
    assert meter.read(now + 1.0).updates == 0


SOME = Figures(
    *(60.4, 59.6, 1.0, 12.34e6, (1234567, 1234000, 567)),
    *(Spread(0.051, 0.12), Spread(0.8, 1234.5), Spread()),
    *("dma-buf by CPU", (3, 12345, 2)),
)


def test_the_line() -> None:
    (line,) = lines(f"glview: {figures.line(SOME)}\n")
    spreads = (0.05, 0.12), (0.8, 1234.5), None
    assert line == Line(1234567, 1234000, 567, *spreads, 12.3, "dma-buf by CPU", (3, 12345, 2))


def test_the_table_is_a_box() -> None:
    """Whatever the figures: else it would dance."""
    rows = figures.table(SOME)
    assert {len(row) for row in rows} == {figures.COLUMNS}
    assert not rows[0].startswith(" ")
    assert any(row.split() == ["to", "swap", "0.80", "1234.50"] for row in rows)
    assert any(row.split() == ["to", "screen", "-", "-"] for row in rows)
