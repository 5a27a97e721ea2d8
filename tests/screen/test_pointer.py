"""The guest's pointer sprite over the picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.blend import over, scaled, sprite
from tests.support.canvas import Canvas
from tests.support.carriers import Carrier, Mapped, Sent
from tests.support.layouts import LAYOUTS
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

WIDTH, HEIGHT = 200, 120

PLACES = [(0, 0), (57, 31), (-10, -7), (WIDTH - 5, HEIGHT - 3), (-500, 0), (10, 5000)]
"""Inside, across every edge, and far outside."""


@pytest.fixture
def canvas() -> Iterator[Canvas]:
    """The picture under the pointer."""
    with Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas:
        yield canvas


def define(stage: Stage, shape: NDArray[np.uint8], hot: tuple[int, int] = (0, 0)) -> None:
    """CursorDefine: bytes B, G, R, A."""
    data = shape[..., [2, 1, 0, 3]].tobytes()
    stage.listener.cursor_define(shape.shape[1], shape.shape[0], *hot, data)


@pytest.fixture(autouse=True)
def no_pointer_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide the sprite after each test with the shared viewer."""
    yield
    if "stage" in request.fixturenames:
        stage: Stage = request.getfixturevalue("stage")
        stage.listener.mouse_set(0, 0, 0)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (33, 17), (256, 3)])
@pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])
def test_blended(stage: Stage, canvas: Canvas, carrier: Carrier, size: tuple[int, int]) -> None:
    """Premultiplied; MouseSet is the top left, whatever the hot spot; on and off."""
    shape = sprite(*size)
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    define(stage, shape, hot=(7, 3))
    for x, y in PLACES:
        stage.listener.mouse_set(x, y, 1)
        stage.wait_shows(over(canvas.picture(), shape, x, y), f"it at {x}, {y}", tolerance=1)
    stage.listener.mouse_set(20, 20, 0)
    stage.wait_shows(canvas.picture())


@pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])
def test_the_picture_changes_below(stage: Stage, canvas: Canvas, carrier: Carrier) -> None:
    """Updates under the sprite and beside it; the sprite's own shape changes; it goes."""
    carrier.show(stage.listener, canvas)
    define(stage, sprite(32, 32))
    stage.listener.mouse_set(40, 30, 1)
    for rect in ((0, 0, 5, 5), (50, 35, 8, 8), canvas.all):
        canvas.scribble(*rect)
        carrier.update(stage.listener, canvas, rect)
        stage.wait_shows(over(canvas.picture(), sprite(32, 32), 40, 30), tolerance=1)
    define(stage, sprite(20, 48))
    stage.wait_shows(over(canvas.picture(), sprite(20, 48), 40, 30), tolerance=1)
    stage.listener.mouse_set(40, 30, 0)
    stage.wait_shows(canvas.picture())
    canvas.scribble(45, 35, 3, 3)
    carrier.update(stage.listener, canvas, (45, 35, 3, 3))
    stage.wait_shows(canvas.picture())


@pytest.mark.parametrize("present", ["swap", "auto"])
def test_scaled_with_the_picture(
    own_xvfb: Xvfb, tmp_path: Path, canvas: Canvas, present: str
) -> None:
    """In a window of another size it is where the guest has it, and as large."""
    shape = sprite(24, 16)
    with Stage(tmp_path, own_xvfb, "--present", present) as stage:
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        define(stage, shape)
        stage.listener.mouse_set(30, 20, 1)
        for width, height, factor, left, top in (
            (2 * WIDTH, 2 * HEIGHT, 2, 0, 0),
            (3 * WIDTH + 40, 3 * HEIGHT, 3, 20, 0),
            (WIDTH // 2, HEIGHT // 2 + 20, 0.5, 0, 10),
        ):
            stage.x.resize(stage.window, width, height)
            size = int(WIDTH * factor), int(HEIGHT * factor)
            want = np.zeros((height, width, 3), np.uint8)
            want[top : top + size[1], left : left + size[0]] = scaled(canvas.picture(), *size)
            large = scaled(shape, int(24 * factor), int(16 * factor))
            want = over(want, large, left + int(30 * factor), top + int(20 * factor))
            stage.wait_shows(want, f"it {factor} times as large", tolerance=4)


@pytest.mark.parametrize("present", ["swap", "auto"])
def test_follows_the_host_s_pointer(
    own_xvfb: Xvfb, tmp_path: Path, canvas: Canvas, present: str
) -> None:
    """Absolute: the hot spot is at the host's pointer at once, wherever the guest says it is."""
    shape = sprite(24, 16)
    with Stage(tmp_path, own_xvfb, "--present", present) as stage:
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        define(stage, shape, hot=(5, 3))
        stage.listener.mouse_set(0, 0, 1)
        x0, y0 = stage.place[:2]
        for x, y in ((100, 60), (101, 60), (1, 1), (199, 119)):
            own_xvfb.xdotool("mousemove", x0 + x, y0 + y)
            stage.wait_shows(over(canvas.picture(), shape, x - 5, y - 3), f"{x},{y}", tolerance=1)
        own_xvfb.park_pointer()
        stage.wait_shows(over(canvas.picture(), shape, 0, 0), "the guest's place", tolerance=1)
        stage.console.set_absolute(False)
        own_xvfb.xdotool("mousemove", x0 + 100, y0 + 60)
        began = time.monotonic()
        stage.listener.mouse_set(12, 34, 1)
        stage.wait_shows(over(canvas.picture(), shape, 12, 34), "a relative one", tolerance=1)
        assert time.monotonic() - began < 1
