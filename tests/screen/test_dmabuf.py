"""dma-bufs on the screen: no copy, the right part of the buffer, always an answer.

A memory file stands for the dma-buf: software Mesa imports it, and samples the
memory itself, as a GPU does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.canvas import Canvas, Rect
from tests.support.carriers import Dmabuf, Sent
from tests.support.glcount import GlCount
from tests.support.hiding import WAYS, Hide
from tests.support.layouts import LAYOUTS, Layout
from tests.support.profile import requires
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

pytestmark = requires("dmabuf-import")

GUESTS = ["x8r8g8b8", "a8r8g8b8", "x8b8g8r8", "a8b8g8r8"]
"""What real guests use."""

ANSWER = 0.1
"""Seconds in which every UpdateDMABUF must be answered."""

each_layout = pytest.mark.parametrize("layout", [LAYOUTS[n] for n in GUESTS], ids=GUESTS)
both_ways = pytest.mark.parametrize("bottom_up", [False, True], ids=["top", "bottom"])


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> GlCount:
    """What the viewer of this file copies into OpenGL."""
    return GlCount(tmp_path_factory.mktemp("glcount"))


@pytest.fixture(scope="module", params=["es-swap", "core-swap", "es-auto"])
def stage(
    request: pytest.FixtureRequest,
    xvfb: Xvfb,
    count: GlCount,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """A counted viewer with that OpenGL and presenter, for all tests of this file in turn."""
    gl, present = request.param.split("-")
    folder, args = tmp_path_factory.mktemp("viewer"), ("--gl", gl, "--present", present)
    with Stage(folder, xvfb, *args, env=count.environment) as stage:
        yield stage


@pytest.mark.parametrize("gl", ["es", "core"])
def test_bytes_are_counted(own_xvfb: Xvfb, tmp_path: Path, gl: str) -> None:
    """The counter sees the uploads of pictures sent as bytes: one for each."""
    count = GlCount(tmp_path)
    args = "--gl", gl, "--present", "swap"
    with (
        Stage(tmp_path, own_xvfb, *args, env=count.environment) as stage,
        Canvas(LAYOUTS["x8r8g8b8"], 320, 200) as canvas,
    ):
        Sent().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        first = count.calls()["glTexSubImage2D"]
        assert first >= 1
        canvas.scribble(10, 10, 20, 20)
        Sent().update(stage.listener, canvas, (10, 10, 20, 20))
        stage.wait_shows(canvas.picture())
        assert count.calls()["glTexSubImage2D"] == first + 1


@both_ways
@each_layout
@pytest.mark.parametrize("version", [1, 2])
def test_no_upload(
    stage: Stage, count: GlCount, version: int, layout: Layout, bottom_up: bool
) -> None:
    """From the announcement on: what is written into the buffer is what the screen shows."""
    carrier = Dmabuf(version, bottom_up)
    before = count.calls()
    with Canvas(layout, 321, 201) as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture(bottom_up=bottom_up))
        for rect in ((0, 0, 321, 201), (7, 5, 64, 64), (320, 200, 1, 1), (0, 100, 321, 1)):
            canvas.scribble(*rect)
            carrier.update(stage.listener, canvas, rect)
            stage.wait_shows(canvas.picture(bottom_up=bottom_up), f"the change at {rect}")
    assert count.calls() == before


PARTS: list[Rect] = [(0, 0, 128, 96), (37, 21, 128, 96), (1, 151, 255, 1), (172, 96, 128, 104)]
"""Of a buffer of 300 x 200: its corners, a line, and what touches no edge."""


@both_ways
@each_layout
def test_a_part_of_the_buffer(
    stage: Stage, count: GlCount, layout: Layout, bottom_up: bool
) -> None:
    """x and y count from the picture's top left, also where its top is the last row in memory.

    So virgl's guests mean it, and QEMU passes on what they say.
    """
    carrier = Dmabuf(2, bottom_up)
    before = count.calls()
    with Canvas(layout, 300, 200, 300 * 4 + 64, offset=8192) as canvas:
        for part in PARTS:
            carrier.announce(stage.listener, canvas, part)
            for rect in damages(part, canvas.all):
                canvas.scribble(*canvas.all)
                carrier.update(stage.listener, canvas, rect)
                want = canvas.picture(part, bottom_up=bottom_up)
                stage.wait_shows(want, f"{part} after damage {rect}")
    assert count.calls() == before


def damages(part: Rect, backing: Rect) -> list[Rect]:
    """What QEMU says when all of `part` has changed.

    Blob scanouts name it from its own corner, virgl from the buffer's, and
    what is left over from another mode lies somewhere else.
    """
    return [(0, 0, part[2], part[3]), part, backing, (0, 400, 640, 80), (-5, -5, 5, 5)]


@both_ways
def test_the_same_buffers_in_turn(stage: Stage, count: GlCount, bottom_up: bool) -> None:
    """Page flips between two buffers, each time announced anew."""
    carrier = Dmabuf(2, bottom_up)
    with Canvas(LAYOUTS["x8r8g8b8"], 200, 150) as one, Canvas(LAYOUTS["a8b8g8r8"], 200, 150) as two:
        before = count.calls()
        for _ in range(10):
            for canvas in (one, two):
                canvas.scribble(*canvas.all)
                carrier.show(stage.listener, canvas)
                stage.wait_shows(canvas.picture(bottom_up=bottom_up))
        assert count.calls() == before


def test_another_shape_of_the_same_buffer(stage: Stage) -> None:
    """The memory of a wide picture announced again as a high one, and as other channels."""
    with Canvas(LAYOUTS["x8r8g8b8"], 160, 40) as canvas:
        Dmabuf().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        for layout in (LAYOUTS["a8b8g8r8"], LAYOUTS["x8r8g8b8"]):
            canvas.reshape(layout, 40, 160)
            Dmabuf().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture())


@pytest.mark.alone
@pytest.mark.parametrize("hide", WAYS)
def test_hidden_updates_are_answered(stage: Stage, hide: Hide) -> None:
    """At once, and what changed meanwhile is there when the window is back."""
    with Canvas(LAYOUTS["x8r8g8b8"], 640, 480) as canvas, Canvas(canvas.layout, 640, 480) as other:
        Dmabuf().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        show_again = hide(stage)
        for buffer in (canvas, other, canvas, other):
            Dmabuf().announce(stage.listener, buffer, buffer.all)
            for _ in range(10):
                buffer.scribble(*buffer.all)
                reply = stage.listener.update_dmabuf(*buffer.all)
                assert reply.ok
                assert reply.seconds < ANSWER
        show_again()
        stage.wait_shows(other.picture())


@pytest.mark.alone
def test_many_updates_at_once_are_each_answered(stage: Stage) -> None:
    """QEMU sends one for each rectangle, without waiting."""
    with Canvas(LAYOUTS["x8r8g8b8"], 640, 480) as canvas:
        Dmabuf().show(stage.listener, canvas)
        for _ in range(5):
            canvas.scribble(*canvas.all)
            waiting = [
                stage.listener.update_dmabuf_later(x, y, 64, 48)
                for x in range(0, 640, 64)
                for y in range(0, 480, 48)
            ]
            replies = [call.wait() for call in waiting]
            assert all(reply.ok for reply in replies)
            assert max(reply.seconds for reply in replies) < ANSWER
            stage.wait_shows(canvas.picture())


@pytest.mark.alone
def test_updates_without_a_dmabuf_are_answered(stage: Stage) -> None:
    """After bytes took over; and before anything was announced to a new listener."""
    with Canvas(LAYOUTS["x8r8g8b8"], 64, 48) as canvas:
        Sent().show(stage.listener, canvas)
        for rect in (canvas.all, (0, 400, 640, 80)):
            reply = stage.listener.update_dmabuf(*rect)
            assert reply.ok
            assert reply.seconds < ANSWER
        stage.wait_shows(canvas.picture())


@pytest.mark.alone
def test_an_update_after_disable_shows_again(stage: Stage) -> None:
    """With blobs QEMU says Disable after each scanout, and means the one before."""
    with Canvas(LAYOUTS["x8r8g8b8"], 200, 100) as canvas:
        for _ in range(3):
            Dmabuf().announce(stage.listener, canvas, canvas.all)
            stage.listener.disable()
            canvas.scribble(*canvas.all)
            assert stage.listener.update_dmabuf(*canvas.all).seconds < ANSWER
            stage.wait_shows(canvas.picture())
        assert all(lit for _, lit in stage.watch(0.4, lambda shown: bool(shown.any())))
