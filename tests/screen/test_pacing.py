"""How often frames are swapped on X11: no more often than the monitor shows them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf, Mapped, Sent
from tests.support.glcount import GlCount
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

RATE = 60
"""Of Xvfb, which has none to tell."""
SOON, SECONDS = 0.7, 1.0
"""After which that rate is kept to; for which it is looked at."""


def swaps(folder: Path, xvfb: Xvfb, *options: str) -> tuple[float, int]:
    """Under many updates: how many swaps there were a second, and the refreshes asked for."""
    count = GlCount(folder)
    if "--vsync" not in options:  # which chooses swaps by itself
        options = "--present", "swap", *options
    with (
        Stage(folder, xvfb, *options, env=count.environment) as stage,
        Canvas(LAYOUTS["x8r8g8b8"], 160, 100) as canvas,
    ):
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        change(stage, canvas, SOON)
        (before, interval), began = count.swaps(), time.monotonic()
        change(stage, canvas, SECONDS)
        (after, _), ended = count.swaps(), time.monotonic()
        stage.wait_shows(canvas.picture(), "the last change")
        return (after - before) / (ended - began), interval


def change(stage: Stage, canvas: Canvas, seconds: float) -> None:
    """Very often, for so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        canvas.scribble(0, 0, 50, 50)
        Mapped().update(stage.listener, canvas, (0, 0, 50, 50))
        time.sleep(0.002)


@pytest.mark.alone
def test_as_often_as_the_monitor(tmp_path: Path, xvfb: Xvfb) -> None:
    rate, interval = swaps(tmp_path, xvfb)
    assert RATE / 3 < rate < 1.1 * RATE
    assert interval == 0


@pytest.mark.alone
def test_without_pacing(tmp_path: Path, xvfb: Xvfb) -> None:
    """As often as something changes."""
    rate, _ = swaps(tmp_path, xvfb, "--no-pacing")
    assert rate > 1.5 * RATE


@pytest.mark.alone
def test_with_the_refresh(tmp_path: Path, xvfb: Xvfb) -> None:
    """The driver is told to wait for it."""
    rate, interval = swaps(tmp_path, xvfb, "--vsync")
    assert rate < 1.1 * RATE
    assert interval == 1


@requires("dmabuf-import")
def test_another_size_while_a_frame_waits(tmp_path: Path, xvfb: Xvfb) -> None:
    """Software Mesa has had a look at the window's size by then, and takes no other."""
    large, small = (200, 260), (160, 100)
    with (
        Stage(tmp_path, xvfb, "--present", "swap") as stage,
        Canvas(LAYOUTS["r5g6b5"], *large) as first,
        Canvas(LAYOUTS["x8r8g8b8"], *small) as second,
    ):
        for round_number in range(5):
            Dmabuf().show(stage.listener, first)
            stage.wait_shows(first.picture(), tolerance=1)
            for _ in range(400):  # too many swaps, so that the next one is late
                first.scribble(0, 0, 9, 9)
                Dmabuf().update(stage.listener, first, (0, 0, 9, 9))
            time.sleep(0.001 * round_number)
            Sent().show(stage.listener, second)
            stage.wait_shows(second.picture())
