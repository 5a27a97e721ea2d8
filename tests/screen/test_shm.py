"""Pictures out of X shared memory: the same pixels, in turn with OpenGL, whatever X does.

The X server's side is counted by a proxy between it and the viewer.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from glview.errors import NoDisplayError
from glview.testing import FakeVm
from tests.support.bus import Bus
from tests.support.canvas import Canvas, Rect
from tests.support.carriers import Carrier, Mapped, Sent
from tests.support.layouts import LAYOUTS
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb
from tests.support.xproxy import XProxy

XRGB = LAYOUTS["x8r8g8b8"]
SIZE = 321, 203
KEPT = 4
"""Files that the X server may have attached at a time."""

each_carrier = pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])


@pytest.fixture
def proxy(xvfb: Xvfb) -> Iterator[XProxy]:
    """A display that counts."""
    with XProxy(xvfb) as proxy:
        yield proxy


@pytest.fixture
def stage(xvfb: Xvfb, proxy: XProxy, tmp_path: Path) -> Iterator[Stage]:
    """A viewer that uses shared memory, on the counting display."""
    with Stage(tmp_path, xvfb, "--present", "shm", env=proxy.environment) as stage:
        yield stage


@pytest.fixture
def own_stage(own_xvfb: Xvfb, tmp_path: Path) -> Iterator[Stage]:
    """The same on an X server that may be stopped, with nothing between."""
    with Stage(tmp_path, own_xvfb, "--present", "shm") as stage:
        yield stage


def change(stage: Stage, carrier: Carrier, canvas: Canvas, rect: Rect) -> None:
    """Change a rectangle and say so."""
    canvas.scribble(*rect)
    carrier.update(stage.listener, canvas, rect)


def mapped_files(xvfb: Xvfb) -> int:
    """How many memory files the X server has mapped."""
    return len(re.findall(r"/memfd:(?:glview|canvas) ", Path(f"/proc/{xvfb.pid}/maps").read_text()))


def with_sprite(picture: Picture, x: int, y: int, side: int) -> Picture:
    """The picture with an opaque green square on it."""
    shown = picture.copy()
    shown[y : y + side, x : x + side] = 0, 255, 0
    return shown


def test_it_is_chosen_where_the_cpu_draws(xvfb: Xvfb, proxy: XProxy, tmp_path: Path) -> None:
    """Unasked, by what the driver says of itself; and not where the swap was asked for."""
    env = {**proxy.environment, "LIBGL_ALWAYS_SOFTWARE": "1"}
    for option, puts in ((), True), (("--present", "swap"), False):
        folder = tmp_path / f"{puts}"
        folder.mkdir()
        proxy.counts.clear()
        with Stage(folder, xvfb, *option, env=env) as stage, Canvas(XRGB, *SIZE) as canvas:
            Mapped().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture())
        assert bool(proxy.counts["put"]) == puts


@each_carrier
def test_only_what_changed_is_put(stage: Stage, proxy: XProxy, carrier: Carrier) -> None:
    """Pixels that changed without a word stay as they were; those announced are right."""
    with Canvas(XRGB, *SIZE) as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        want = canvas.picture()
        for rect in ((0, 0, 1, 1), (320, 202, 1, 1), (7, 5, 64, 64), (0, 100, 321, 1)):
            canvas.scribble(*canvas.all)
            carrier.update(stage.listener, canvas, rect)
            x, y, width, height = rect
            want[y : y + height, x : x + width] = canvas.picture(rect)
            stage.wait_shows(want, f"{rect}")
        assert proxy.counts["put"] >= 5


@each_carrier
def test_in_turn_with_opengl(stage: Stage, proxy: XProxy, carrier: Carrier) -> None:
    """Each catches up with what the other has shown meanwhile."""
    side = 16
    stage.listener.cursor_define(side, side, 0, 0, bytes((0, 255, 0, 255)) * side * side)
    with Canvas(XRGB, *SIZE) as canvas:
        carrier.show(stage.listener, canvas)
        for number in range(6):
            change(stage, carrier, canvas, (10 * number, 5, 40, 30))
            stage.wait_shows(canvas.picture(), f"{number} without the pointer")
            before = len(proxy.puts)
            change(stage, carrier, canvas, (11, 20 * number, 9, 50))
            stage.listener.mouse_set(30 * number, 40, 1)
            want = with_sprite(canvas.picture(), 30 * number, 40, side)
            stage.wait_shows(want, f"{number} with the pointer")
            change(stage, carrier, canvas, (0, 150, 321, 20))
            want = with_sprite(canvas.picture(), 30 * number, 40, side)
            stage.wait_shows(want, f"{number} changed under the pointer")
            part, ours = proxy.puts[-1]
            assert part == (0, 150, 321, 20), "only what has changed is put"
            theirs = [segment for _, segment in proxy.puts[before:] if segment != ours]
            assert len(theirs) <= 1  # the first change may come alone
            stage.listener.mouse_set(0, 0, 0)
            stage.wait_shows(canvas.picture(), f"{number} without it again")
            part, segment = proxy.puts[-1]
            assert part == (30 * number, 40, side, side)
            assert segment != ours


@each_carrier
def test_the_last_picture_of_a_vm_that_has_gone(
    xvfb: Xvfb, bus: Bus, start_viewer: Callable[..., Viewer], carrier: Carrier
) -> None:
    """OpenGL dims it, which never had it before."""
    options = "--present", "shm", "-v"
    with FakeVm() as vm, Canvas(XRGB, *SIZE) as canvas:
        assert vm.join_bus(bus.address)
        viewer = start_viewer(xvfb, "--address", bus.address, *options)
        listener = vm.console().wait_listener()
        for rect in (canvas.all, (0, 0, 321, 50)):
            canvas.scribble(*rect)
            carrier.show(listener, canvas)
            viewer.wait_shows(canvas.picture())
        want = canvas.picture()
    top = slice(0, 60)  # the text is at the bottom

    def dimmed() -> bool:
        off = viewer.picture()[top].astype(float) - want[top] * 0.4
        return bool(np.abs(off).max() <= 1)

    until(dimmed, "the dimmed picture")


def test_page_flips_attach_two_files(stage: Stage, proxy: XProxy) -> None:
    """Each flip announces a file by a new descriptor; the X server has it already."""
    with Canvas(XRGB, *SIZE) as first, Canvas(XRGB, *SIZE) as second:
        Mapped().show(stage.listener, first)
        stage.wait_shows(first.picture())
        before = proxy.counts["attach_fd"]
        for number in range(30):
            page = (second, first)[number % 2]
            page.scribble(0, number, 321, 3)
            Mapped().show(stage.listener, page)
            stage.wait_shows(page.picture(), f"flip {number}")
        assert proxy.counts["attach_fd"] == before + 1
        assert mapped_files(stage.xvfb) == 2


def test_files_that_end_with_the_last_pixel(stage: Stage, proxy: XProxy) -> None:
    """Padded rows, the last one without: the X server wants whole rows."""
    with Canvas(XRGB, *SIZE, SIZE[0] * 4 + 400, offset=5000 * 4, short=True) as canvas:
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        for rect in ((5, 202, 90, 1), (0, 190, 321, 13), (0, 0, 1, 203)):
            change(stage, Mapped(), canvas, rect)
            stage.wait_shows(canvas.picture(), f"{rect}")
        assert proxy.counts["put"] >= 4


def test_a_file_that_grows(stage: Stage, proxy: XProxy) -> None:
    """It was attached as short as it was."""
    with Canvas(XRGB, *SIZE) as canvas:
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        offset = len(canvas.memory)
        os.ftruncate(canvas.fd, 2 * offset)
        os.pwrite(canvas.fd, canvas.memory[::-1].tobytes(), offset)
        reply = stage.listener.scanout_map(canvas.fd, offset, *SIZE, canvas.stride, XRGB.pixman)
        assert reply.ok
        stage.listener.update_map(0, 0, *SIZE)
        pixels = canvas.memory[::-1].reshape(SIZE[1], SIZE[0], 4)
        stage.wait_shows(XRGB.decode(pixels))
        assert proxy.counts["attach_fd"] == 3  # the probe's, and twice this one
        assert proxy.counts["detach"] == 2


@each_carrier
def test_one_batch_at_a_time(stage: Stage, proxy: XProxy, carrier: Carrier) -> None:
    """A flood of changes is put together, and its end is seen."""
    with Canvas(XRGB, 640, 480) as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        before = proxy.counts["put"]
        for number in range(500):
            change(stage, carrier, canvas, (0, number % 400, 640, 80))
        stage.wait_shows(canvas.picture())
        until(lambda: proxy.counts["completion"] == proxy.counts["put"], "the last completion")
        assert proxy.counts["put"] > before
        assert proxy.most == 1


def test_several_batches_without_pacing(own_xvfb: Xvfb, tmp_path: Path) -> None:
    """As many as the socket takes, and no more; then everything is on the screen."""
    with (
        XProxy(own_xvfb) as proxy,
        Stage(tmp_path, own_xvfb, "--no-pacing", env=proxy.environment) as stage,
        Canvas(XRGB, 640, 480) as canvas,
    ):
        Sent().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        with own_xvfb.paused():
            for number in range(100):
                change(stage, Sent(), canvas, (number, number, 40, 40))
                time.sleep(0.005)
        stage.wait_shows(canvas.picture())
        assert proxy.most == 16


@each_carrier
def test_a_stopped_x_server(own_stage: Stage, own_xvfb: Xvfb, carrier: Carrier) -> None:
    """Nobody waits for it, nothing piles up, and afterwards the newest picture is shown."""
    stage = own_stage
    with Canvas(XRGB, 640, 480) as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        with own_xvfb.paused():
            change(stage, carrier, canvas, canvas.all)
            time.sleep(0.1)  # by now its put is under way
            turns, rss = stage.viewer.turns, stage.viewer.rss
            ends = time.monotonic() + 2
            number = 0
            while time.monotonic() < ends:
                change(stage, carrier, canvas, (number % 600, number % 400, 40, 40))
                number += 1
                time.sleep(0.01)
            assert stage.viewer.turns > turns + number // 2
            assert stage.viewer.rss < rss + (4 << 20)
        stage.wait_shows(canvas.picture())


def test_a_mode_that_comes_back_while_x_is_stopped(own_stage: Stage, own_xvfb: Xvfb) -> None:
    """The window has the old size still when it is asked for again."""
    stage = own_stage
    with Canvas(XRGB, *SIZE) as old, Canvas(XRGB, 200, 300) as new:
        Mapped().show(stage.listener, old)
        stage.wait_shows(old.picture())
        with own_xvfb.paused():
            Mapped().show(stage.listener, new)
            time.sleep(0.02)  # noticed, but not yet drawn in spite of the wrong size
            Mapped().show(stage.listener, old)
            time.sleep(0.02)
        stage.wait_shows(old.picture())
        time.sleep(0.1)
        stage.wait_shows(old.picture(), "and nothing else")


@each_carrier
def test_memory_and_descriptors_after_many_modes(stage: Stage, carrier: Carrier) -> None:
    """What an old mode needed is let go of."""
    counts = []
    for number in range(200):
        with Canvas(XRGB, 300 + number % 7 * 4, 200 + number % 5) as canvas:
            carrier.show(stage.listener, canvas)
            stage.wait_shows(canvas.picture(), f"mode {number}")
            if number >= 20:
                counts.append(len(os.listdir(f"/proc/{stage.viewer.pid}/fd")))
                assert mapped_files(stage.xvfb) <= KEPT
    # An old mode's may be open a little longer; a window that was slow once to follow had
    # its picture scaled, by an OpenGL that has some itself.
    assert min(counts[-50:]) <= min(counts[:50]) + 4


@each_carrier
def test_what_another_window_covered(stage: Stage, proxy: XProxy, carrier: Carrier) -> None:
    """And what was drawn while the window was not on the screen."""
    with Canvas(XRGB, *SIZE) as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        place = stage.place
        cover = stage.x.cover(place._replace(width=100, height=100))
        change(stage, carrier, canvas, (50, 50, 100, 100))
        stage.x.uncover(cover)
        stage.wait_shows(canvas.picture(), "what was covered")
        stage.x.unmap(stage.window)
        change(stage, carrier, canvas, (0, 0, 200, 200))
        stage.x.map(stage.window)
        stage.wait_shows(canvas.picture(), "what was away")
        stage.x.resize(stage.window, 640, 480)
        until(lambda: stage.shown().shape[:2] == (480, 640) and stage.shown()[240].any(), "640x480")
        stage.x.resize(stage.window, *SIZE)
        stage.wait_shows(canvas.picture(), "the old size")


def test_a_put_that_fails(stage: Stage, proxy: XProxy) -> None:
    """The guest's memory is left alone; all is composed into ours, with what X alone has had."""
    with Canvas(XRGB, *SIZE) as canvas:
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        change(stage, Mapped(), canvas, (50, 50, 100, 100))
        stage.wait_shows(canvas.picture())
        proxy.spoil = True
        change(stage, Mapped(), canvas, (0, 0, 60, 60))
        stage.wait_shows(canvas.picture(), "the same, without another change")
        stage.wait_output("the guest's memory is not put out any more")
        (_, theirs), (_, ours) = proxy.puts[0], proxy.puts[-1]
        change(stage, Mapped(), canvas, canvas.all)
        stage.wait_shows(canvas.picture())
        assert proxy.puts[-1] == ((0, 0, *SIZE), ours)
        assert ours != theirs
        proxy.spoil = True
        change(stage, Mapped(), canvas, canvas.all)
        assert stage.viewer.wait() == NoDisplayError.exit_code
        assert "--present swap" in stage.viewer.output


def test_a_display_that_passes_no_descriptors(xvfb: Xvfb, tmp_path: Path) -> None:
    """A proxy, perhaps: OpenGL shows everything."""
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(XProxy(xvfb, lose_fds=True))
        stage = stack.enter_context(
            Stage(tmp_path, xvfb, "--present", "shm", env=proxy.environment)
        )
        canvas = stack.enter_context(Canvas(XRGB, *SIZE))
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        stage.wait_output("no X shared memory")
        assert not proxy.counts["put"]


def test_a_picture_too_large_for_opengl(stage: Stage) -> None:
    """With the pointer on it, which plain X could not show; and afterwards as ever."""
    stage.listener.cursor_define(4, 4, 0, 0, bytes((0, 255, 0, 255)) * 16)
    with Canvas(XRGB, 16500, 40) as large, Canvas(XRGB, *SIZE) as canvas:
        Mapped().show(stage.listener, large)
        stage.listener.mouse_set(8, 6, 1)
        stage.wait_output("frames are composed without OpenGL")
        want = with_sprite(large.picture(), 8, 6, 4)[:, :500]
        place = stage.place
        until(
            lambda: np.array_equal(stage.xvfb.region(*place._replace(width=500)), want),
            "the left end of the picture",
        )
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(with_sprite(canvas.picture(), 8, 6, 4))
