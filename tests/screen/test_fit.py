"""How the picture is placed in a window of another size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.blend import scaled
from tests.support.canvas import Canvas
from tests.support.carriers import Mapped, Sent
from tests.support.layouts import LAYOUTS
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

WIDTH, HEIGHT = 160, 120

SETTLED = 0.6
"""Seconds after which another size is the user's, and no late answer to a wish of the viewer's."""


@pytest.fixture(params=["es-swap", "core-swap", "es-auto"])
def stage(request: pytest.FixtureRequest, own_xvfb: Xvfb, tmp_path: Path) -> Iterator[Stage]:
    """A viewer for one test, whose window can be resized, with a picture of 160 x 120 settled."""
    gl, present = request.param.split("-")
    with (
        Stage(tmp_path, own_xvfb, "--gl", gl, "--present", present) as stage,
        Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas,
    ):
        Sent().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        time.sleep(SETTLED)
        yield stage


def placed(picture: Picture, width: int, height: int) -> Picture:
    """The picture as large as fits, in the middle of a black window."""
    h, w, _ = picture.shape
    factor = min(width / w, height / h)
    size = round(w * factor), round(h * factor)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    window = np.zeros((height, width, 3), np.uint8)
    fitted = picture if size == (w, h) else scaled(picture, *size)
    window[top : top + size[1], left : left + size[0]] = fitted
    return window


@pytest.mark.parametrize("layout", ["x8r8g8b8", "r8g8b8x8", "r5g6b5"])
def test_bars_and_scale(stage: Stage, layout: str) -> None:
    """Aspect-true and centred, with black around; exact where guest pixels fit."""
    with Canvas(LAYOUTS[layout], WIDTH, HEIGHT) as canvas:
        Mapped().show(stage.listener, canvas)
        for width, height, tolerance in (
            (320, 240, 4),
            (500, 240, 4),
            (320, 333, 4),
            (161, 120, 0),
            (160, 149, 0),
            (80, 60, 4),
            (80, 200, 4),
            (160, 120, 0),
        ):
            stage.x.resize(stage.window, width, height)
            want = placed(canvas.picture(), width, height)
            stage.wait_shows(want, f"{width}x{height}", tolerance=tolerance)
            assert not (stage.shown()[want.max(-1) == 0]).any() or not tolerance
            canvas.scribble(50, 50, 20, 20)
            Mapped().update(stage.listener, canvas, (50, 50, 20, 20))
            want = placed(canvas.picture(), width, height)
            stage.wait_shows(want, f"a change at {width}x{height}", tolerance=tolerance)


def test_the_user_s_size_stays(stage: Stage) -> None:
    """A mode change fits the picture into the window that the user made; the same size is exact."""
    stage.x.resize(stage.window, 400, 300)
    for width, height in ((100, 75), (400, 300), (399, 300), (200, 300)):
        with Canvas(LAYOUTS["x8r8g8b8"], width, height) as canvas:
            Mapped().show(stage.listener, canvas)
            exact = (width, height) != (100, 75)
            want = placed(canvas.picture(), 400, 300)
            stage.wait_shows(want, f"{width}x{height}", tolerance=0 if exact else 4)


def test_the_window_follows_modes_until_then(stage: Stage) -> None:
    """One guest pixel is one pixel of the window as long as the user does not resize it."""
    for width, height in ((640, 480), (720, 400), (320, 200), (1024, 768)):
        with Canvas(LAYOUTS["x8r8g8b8"], width, height) as canvas:
            Mapped().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture(), f"{width}x{height}")
