"""Whose idea a size is: the guest's mode makes the window, the user's resize asks the guest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from glview.testing import ConsoleOptions
from tests.support.canvas import Canvas
from tests.support.carriers import Sent
from tests.support.layouts import LAYOUTS
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb

SETTLED = 0.25
"""Seconds after the user's last resize when the guest is asked."""

XRGB = LAYOUTS["x8r8g8b8"]

StartStage = Callable[..., Stage]


@pytest.fixture
def start_stage(xvfb: Xvfb, tmp_path: Path) -> Iterator[StartStage]:
    with ExitStack() as stack:

        def start(*args: str, resizable: bool = True) -> Stage:
            console = ConsoleOptions(resizable=resizable)
            return stack.enter_context(Stage(tmp_path, xvfb, *args, console=console))

        yield start


def show(stage: Stage, width: int, height: int) -> None:
    """The guest has this mode; wait until the window has its size."""
    with Canvas(XRGB, width, height) as canvas:
        Sent().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())


def resize(stage: Stage, width: int, height: int) -> None:
    """As the user does it."""
    stage.xvfb.xdotool("windowsize", stage.window, width, height)
    until(lambda: stage.place[2:] == (width, height), "the window's size")


def asked(stage: Stage) -> list[tuple[int, int]]:
    return [(info.width, info.height) for info in stage.console.ui_info]


def test_the_window_follows_modes_and_asks_for_nothing(start_stage: StartStage) -> None:
    stage = start_stage()
    for size in ((320, 200), (640, 480), (300, 100)):
        show(stage, *size)
    time.sleep(2 * SETTLED)
    assert asked(stage) == []


def test_the_user_s_size_is_asked_for_once_it_settles(start_stage: StartStage) -> None:
    stage = start_stage()
    show(stage, 320, 200)
    time.sleep(2 * SETTLED)
    resize(stage, 390, 300)
    until(lambda: asked(stage), "SetUIInfo")
    for width in (400, 410, 420, 470):
        resize(stage, width, 300)
        time.sleep(SETTLED / 3)
    until(lambda: (470, 300) in asked(stage), "SetUIInfo")
    time.sleep(2 * SETTLED)
    sizes = asked(stage)
    assert sizes[-1] == (470, 300)
    assert len(sizes) < 5, "each step was asked for"  # a busy machine may make a long step
    with Canvas(XRGB, 100, 100) as canvas:  # from now on the window stays as the user has it
        Sent().show(stage.listener, canvas)
        time.sleep(SETTLED)
    assert stage.place[2:] == (470, 300)
    assert asked(stage) == sizes


@pytest.mark.parametrize("args", [("--no-resize",), ()], ids=["no-resize", "unsupported"])
def test_no_size_is_asked_for(start_stage: StartStage, args: tuple[str, ...]) -> None:
    """On request, and where the device has no such thing: which is no error."""
    stage = start_stage(*args, resizable=bool(args))
    show(stage, 320, 200)
    time.sleep(2 * SETTLED)
    resize(stage, 500, 300)
    time.sleep(3 * SETTLED)
    assert asked(stage) == []
    stage.viewer.check_alive()
