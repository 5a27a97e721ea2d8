"""How the viewer learns that the guest's buffer is no longer read, if nothing tells it unasked.

The other way, a fence that is a descriptor, needs a kernel that makes them: see tests/lab.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from glview.scanout.replies import REPLY_WITHIN
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.glcount import GlCount
from tests.support.layouts import LAYOUTS
from tests.support.profile import current_profile, requires
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

UPDATES = 50


@requires("dmabuf-import")
@pytest.mark.parametrize("gl", ["es", "core"])
def test_which_fence(xvfb: Xvfb, tmp_path: Path, gl: str) -> None:
    """Without a render node: one that is asked, update after update, and not one descriptor."""
    count = GlCount(tmp_path)
    with (
        Stage(tmp_path, xvfb, "--gl", gl, env=count.environment) as stage,
        Canvas(LAYOUTS["x8r8g8b8"], 320, 200) as canvas,
    ):
        Dmabuf().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        before = count.fences()
        for _ in range(UPDATES):
            canvas.scribble(*canvas.all)
            Dmabuf().update(stage.listener, canvas, canvas.all)
        stage.wait_shows(canvas.picture())
        made = {kind: calls - before[kind] for kind, calls in count.fences().items()}
    ran, idle = ("asked", "native")
    if "dmabuf-export" not in current_profile().lacking:  # a GPU, whose kernel makes fences
        ran, idle = idle, ran
    assert made[ran] > UPDATES / 2  # on a busy machine the time of some is up unread
    assert made[idle] == 0


@requires("dmabuf-import")
@pytest.mark.parametrize("present", ["swap", "shm"])
def test_a_fence_that_passes_between_two_looks(xvfb: Xvfb, tmp_path: Path, present: str) -> None:
    """Is noticed: the guest goes on at once, and what was read is shown."""
    with (
        Stage(tmp_path, xvfb, "--present", present, mutant="sly") as stage,
        Canvas(LAYOUTS["x8r8g8b8"], 320, 200) as canvas,
    ):
        Dmabuf().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        times = []
        for _ in range(5):
            canvas.scribble(*canvas.all)
            times.append(stage.listener.update_dmabuf(*canvas.all).seconds)
            stage.wait_shows(canvas.picture())
        assert min(times) < REPLY_WITHIN / 2, "the time is not up first"
