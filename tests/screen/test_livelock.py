"""A guest whose flush never ends, and guests that are only fast, on the screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glview.scanout.formats import MOD_INVALID, MOD_LINEAR
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb

pytestmark = [pytest.mark.alone, requires("dmabuf-import")]

SAID = "the guest's flush never ends"
PATIENCE = 30.0
"""Seconds until a busy machine has been quiet for one."""


@pytest.fixture
def stage(xvfb: Xvfb, tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, xvfb) as stage:
        yield stage


@pytest.fixture
def canvas() -> Iterator[Canvas]:
    """Guest memory."""
    with Canvas(LAYOUTS["x8r8g8b8"], 64, 64) as canvas:
        yield canvas


def flood(stage: Stage, carrier: Dmabuf, canvas: Canvas, *, flips: bool = False) -> None:
    """Update after update, each behind the answer to the one before, for a tenth of a second."""
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        if flips:
            carrier.announce(stage.listener, canvas, canvas.all)
        carrier.update(stage.listener, canvas, canvas.all)


def test_a_flush_that_never_ends(stage: Stage, canvas: Canvas) -> None:
    """It is noticed, every update is answered, and what the guest draws all the same is shown."""
    carrier = Dmabuf(modifier=MOD_INVALID)
    carrier.show(stage.listener, canvas)

    def noticed() -> bool:
        flood(stage, carrier, canvas)
        return SAID in stage.viewer.output

    until(noticed, "the viewer to say so", PATIENCE)
    began = time.monotonic()
    for _ in range(6):
        carrier.update(stage.listener, canvas, canvas.all)
    assert time.monotonic() - began > 0.07
    canvas.scribble(*canvas.all)
    carrier.update(stage.listener, canvas, canvas.all)
    stage.wait_shows(canvas.picture())


@pytest.mark.parametrize(
    ("modifier", "flips"), [(MOD_INVALID, True), (MOD_LINEAR, False)], ids=["flips", "one buffer"]
)
def test_a_fast_guest(stage: Stage, canvas: Canvas, modifier: int, flips: bool) -> None:
    """One that flips, and one whose buffer is not its own memory."""
    carrier = Dmabuf(modifier=modifier)
    carrier.show(stage.listener, canvas)
    for _ in range(25):
        flood(stage, carrier, canvas, flips=flips)
    canvas.scribble(*canvas.all)
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    assert SAID not in stage.viewer.output
