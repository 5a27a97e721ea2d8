"""Changes that the listener thread has put by itself: the main thread is spared, and knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glview.testing.calls import GET_ALL, LISTENER
from tests.support.blend import over, sprite
from tests.support.canvas import Canvas, Rect
from tests.support.carriers import Carrier, Mapped, Sent
from tests.support.hiding import minimised
from tests.support.layouts import LAYOUTS
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb

SIZE = 321, 203

each_carrier = pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])


@pytest.fixture
def stage(xvfb: Xvfb, tmp_path: Path) -> Iterator[Stage]:
    """A viewer that uses shared memory."""
    with Stage(tmp_path, xvfb, "--present", "shm") as stage:
        yield stage


@pytest.fixture
def canvas() -> Iterator[Canvas]:
    with Canvas(LAYOUTS["x8r8g8b8"], *SIZE) as canvas:
        yield canvas


def change(stage: Stage, carrier: Carrier, canvas: Canvas, *rects: Rect) -> None:
    """Change one rectangle after the other, each when the one before is on the screen."""
    for rect in rects:
        canvas.scribble(*rect)
        carrier.update(stage.listener, canvas, rect)
        stage.wait_shows(canvas.picture(), f"the change of {rect}")


@each_carrier
def test_the_main_thread_sleeps(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """While nothing changes but pixels."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    change(stage, carrier, canvas, (0, 0, 9, 9))
    turns = stage.viewer.turns
    change(stage, carrier, canvas, *((7 * n, 5 * n, 1 + n, 30) for n in range(30)))
    change(stage, carrier, canvas, *[canvas.all] * 10)
    assert stage.viewer.turns - turns <= 2  # it may have been about to sleep


def test_whole_frames(stage: Stage, canvas: Canvas) -> None:
    """Which are received into one buffer after the other: the main thread knows the last one."""
    shape = sprite(24, 16)
    stage.listener.cursor_define(24, 16, 0, 0, shape[..., [2, 1, 0, 3]].tobytes())
    Sent().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    change(stage, Sent(), canvas, (0, 0, 9, 9))
    for count in range(1, 8):
        turns = stage.viewer.turns
        for _ in range(count):
            canvas.scribble(*canvas.all)
            Sent().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture(), "a frame")
            change(stage, Sent(), canvas, (7, 5, 30, 20))
        assert stage.viewer.turns - turns <= 2
        stage.listener.mouse_set(5, 5, 1)
        stage.wait_shows(over(canvas.picture(), shape, 5, 5), "the pointer", tolerance=1)
        stage.listener.mouse_set(5, 5, 0)
        stage.wait_shows(canvas.picture(), "no pointer")


@each_carrier
def test_what_it_has_not_seen(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """Is in the frame that it composes, and in what it shows after that."""
    shape = sprite(24, 16)
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    stage.listener.cursor_define(24, 16, 0, 0, shape[..., [2, 1, 0, 3]].tobytes())
    for x, y in ((0, 0), (100, 90), (290, 180)):
        change(stage, carrier, canvas, (5, 5, 30, 20), (x, y, 20, 20), (200, 3, 1, 1))
        stage.listener.mouse_set(x, y, 1)
        stage.wait_shows(over(canvas.picture(), shape, x, y), "the pointer", tolerance=1)
        canvas.scribble(x, y, 30, 15)
        carrier.update(stage.listener, canvas, (x, y, 30, 15))
        stage.wait_shows(over(canvas.picture(), shape, x, y), "a change below it", tolerance=1)
        stage.listener.mouse_set(x, y, 0)
        stage.wait_shows(canvas.picture(), "no pointer")


@each_carrier
def test_a_window_that_nobody_sees(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """It wakes nobody, and has all of it when it is seen again."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    change(stage, carrier, canvas, (0, 0, 9, 9))
    turns = stage.viewer.turns
    again = minimised(stage)
    until(lambda: stage.viewer.turns > turns, "the viewer to notice")
    turns = stage.viewer.turns
    for n in range(30):
        time.sleep(0.002)  # else one look would be at many
        canvas.scribble(7 * n, 5 * n, 1 + n, 30)
        carrier.update(stage.listener, canvas, (7 * n, 5 * n, 1 + n, 30))
    canvas.scribble(*canvas.all)
    carrier.show(stage.listener, canvas)
    assert stage.listener.call(GET_ALL, (LISTENER,)).wait().ok
    assert stage.viewer.turns - turns <= 4
    again()
    stage.wait_shows(canvas.picture())


def test_another_picture_in_between(stage: Stage, canvas: Canvas) -> None:
    """Nothing more is put out of the memory of the one before, which has other uses by now."""
    rect = x, y, width, height = 40, 30, 50, 60
    part = slice(y, y + height), slice(x, x + width)
    pages = [canvas, Canvas(LAYOUTS["x8r8g8b8"], *SIZE)]
    Mapped().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    change(stage, Mapped(), canvas, rect)
    with pages[1]:
        for number in range(10):
            old, new = pages[number % 2], pages[1 - number % 2]
            layout = new.width, new.height, new.stride, new.layout.pixman
            stage.listener.scanout_map(new.fd, 0, *layout)
            time.sleep(0.02)  # announced, and not shown yet
            old.scribble(*rect)
            wrong = old.picture()[part]
            stage.listener.update_map(*rect)
            seen = stage.watch(0.1, lambda shown: np.array_equal(shown[part], wrong))  # noqa: B023
            assert not any(is_wrong for _, is_wrong in seen)
            stage.wait_shows(new.picture())
            change(stage, Mapped(), new, (60, 50, 70, 80))
