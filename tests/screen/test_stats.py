"""Figures and the trace of a real viewer, beside what the VM knows to have sent."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from bench.process import wakeups
from glview.testing import ConsoleOptions, FakeVm
from tests.support.canvas import Canvas
from tests.support.carriers import Carrier, Dmabuf, Mapped, Sent
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import Picture, find
from tests.support.stage import Stage
from tests.support.stats import journeys, lines, read_trace
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

WIDTH, HEIGHT = 480, 400
XRGB = LAYOUTS["x8r8g8b8"]
UPDATES = 12

carriers = pytest.mark.parametrize(
    ("carrier", "name"),
    [
        pytest.param(Sent(), "bytes", id="bytes"),
        pytest.param(Mapped(), "map", id="map"),
        pytest.param(Dmabuf(), "dma-buf", id="dmabuf", marks=requires("dmabuf-import")),
    ],
)


def change(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """One update; wait until it is on the screen."""
    canvas.scribble(*canvas.all)
    carrier.update(stage.listener, canvas, canvas.all)
    stage.wait_shows(canvas.picture())


@carriers
@pytest.mark.parametrize("present", ["swap", "shm"])
def test_figures(xvfb: Xvfb, tmp_path: Path, carrier: Carrier, name: str, present: str) -> None:
    """Each update is counted once, as shown or as dropped, and took the time that it took."""
    with (
        Canvas(XRGB, WIDTH, HEIGHT) as canvas,
        Stage(tmp_path, xvfb, "--stats", "--present", present) as stage,
    ):
        began = time.monotonic()
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        for _ in range(UPDATES):
            change(stage, carrier, canvas)
        took = time.monotonic() - began
        assert stage.viewer.close() == 0
    found = lines(stage.viewer.output)
    last = found[-1]
    assert last.updates == UPDATES + 1
    assert last.frames + last.drops == last.updates
    assert last.drops <= 1, "waited for one by one, but the first may be shown before it is told"
    assert last.transport == name
    assert last.buffers == ((0, 0, 0) if name == "bytes" else (1, 0, 0))
    assert (max(line.upload for line in found) > 0) == (name != "dma-buf")
    spreads = [s for line in found for s in (line.to_reply, line.to_swap, line.to_screen) if s]
    assert all(0 < p50 <= p99 < took * 1000 for p50, p99 in spreads)
    assert any(line.to_reply for line in found)
    assert any(line.to_swap for line in found)
    told = any(line.to_screen for line in found)
    assert told == (present == "shm"), "the X server says it of puts"


def test_what_a_stopped_x_server_misses_is_dropped(own_xvfb: Xvfb, tmp_path: Path) -> None:
    """One frame for all that came meanwhile, or two: one may have been under way."""
    with (
        Canvas(XRGB, WIDTH, HEIGHT) as canvas,
        Stage(tmp_path, own_xvfb, "--stats", "--present", "shm") as stage,
    ):
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        change(stage, Mapped(), canvas)
        with own_xvfb.paused():
            for _ in range(50):
                canvas.scribble(*canvas.all)
                Mapped().update(stage.listener, canvas, canvas.all)
            time.sleep(0.1)
        stage.wait_shows(canvas.picture())
        until(lambda: len(lines(stage.viewer.output)) > 1, "a line a second")
        assert stage.viewer.close() == 0
    last = lines(stage.viewer.output)[-1]
    assert last.updates == 52
    assert last.frames + last.drops == 52
    assert last.frames <= 4


@carriers
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_a_trace(
    xvfb: Xvfb, tmp_path: Path, carrier: Carrier, name: str, end: signal.Signals
) -> None:
    """Every update from its first byte to the swap, by the same clock that the test has."""
    path = tmp_path / "trace.json"
    spans = []
    with (
        Canvas(XRGB, WIDTH, HEIGHT) as canvas,
        Stage(tmp_path, xvfb, "--trace", str(path)) as stage,
    ):
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        for _ in range(UPDATES):
            began = time.monotonic()
            change(stage, carrier, canvas)
            spans.append((began, time.monotonic()))
        stage.viewer.signal(end)
        assert stage.viewer.wait() == 0
    events = read_trace(path)
    found = journeys(events)
    assert sorted(found) == list(range(1, UPDATES + 2))
    for number, (began, seen) in enumerate(spans, 2):
        journey = found[number]
        assert began * 1e6 <= journey.arrived <= journey.swapped
        assert journey.arrived <= seen * 1e6
        assert sum(journey.stages.values()) == pytest.approx(
            journey.swapped - journey.arrived, rel=0.05
        )
        assert journey.about["transport"] == name
    replies = [e["args"]["update"] for e in events if e["name"] == "reply"]
    assert replies == (sorted(found) if name == "dma-buf" else [])


def test_what_a_compositor_tells(weston: Weston, tmp_path: Path) -> None:
    """Its next frame callback says that the last frame was shown."""
    path = tmp_path / "trace.json"
    vm, sock = FakeVm.pair(consoles=(ConsoleOptions(),))
    with Canvas(XRGB, WIDTH, HEIGHT) as canvas, vm, sock:
        fd = sock.fileno()
        args = "--fd", str(fd), "--stats", "--trace", path
        with Viewer(tmp_path, weston, *args, pass_fds=(fd,)) as viewer:
            listener = vm.console().wait_listener()
            Mapped().show(listener, canvas)
            until(lambda: find(weston.screenshot(), canvas.picture()), "the picture", 15.0)
            canvas.scribble(*canvas.all)
            Mapped().update(listener, canvas, canvas.all)
            until(lambda: find(weston.screenshot(), canvas.picture()), "an update", 15.0)
    assert lines(viewer.output)[-1].frames == 2
    assert any(line.to_screen for line in lines(viewer.output))
    events = read_trace(path)
    shown = {tuple(e["args"]["updates"]) for e in events if e["name"] == "to screen"}
    assert shown >= {(1, 1), (2, 2)}


def test_a_trace_of_a_viewer_that_ends_by_an_error(xvfb: Xvfb, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with (
        Canvas(XRGB, WIDTH, HEIGHT) as canvas,
        Stage(tmp_path, xvfb, "--trace", str(path), "--no-reconnect") as stage,
    ):
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        stage.vm.close()
        assert stage.viewer.wait() == 13
    assert list(journeys(read_trace(path))) == [1]


def test_the_hud(own_xvfb: Xvfb, tmp_path: Path) -> None:
    """A box in the corner, switched on and off by keys that the guest gets too."""
    with Canvas(XRGB, WIDTH, HEIGHT) as canvas, Stage(tmp_path, own_xvfb, "--hud") as stage:
        canvas.paint(0x60)
        Mapped().show(stage.listener, canvas)
        until(lambda: has_hud(stage.shown(), canvas), "the HUD")
        first = stage.shown()
        for _ in range(10):
            Mapped().update(stage.listener, canvas, canvas.all)
        until(lambda: not np.array_equal(stage.shown(), first), "new figures")
        assert has_hud(stage.shown(), canvas)
        switch(stage)
        stage.wait_shows(canvas.picture(), "nothing but the picture")
        resting = wakeups(stage.viewer.pid)
        time.sleep(1.5)
        assert wakeups(stage.viewer.pid) - resting == 0, "a figure is made of nobody's interest"
        change(stage, Mapped(), canvas)
        canvas.paint(0x60)
        switch(stage)
        Mapped().update(stage.listener, canvas, canvas.all)
        until(lambda: has_hud(stage.shown(), canvas), "the HUD again")
        pressed = [call.args[0] for call in stage.console.input.log if "Press" in call.member]
        assert pressed == 2 * [0x1D, 0x38, 0x2A, 0x58]
        assert not stage.console.input.keys_down


def switch(stage: Stage) -> None:
    """Press the keys of the HUD."""
    x, y, width, height = stage.place
    stage.xvfb.xdotool("mousemove", x + width // 2, y + height - 10)
    stage.xvfb.xdotool("key", "ctrl+alt+shift+F12")
    stage.xvfb.park_pointer()


def has_hud(shown: Picture, canvas: Canvas) -> bool:
    """Whether white letters in a dark box are at the top right, and else only the picture."""
    rows, columns = np.nonzero((shown != canvas.picture()).any(axis=-1))
    if not len(rows) or rows.max() > HEIGHT // 2 or columns.min() < WIDTH // 2 - 20:
        return False
    box = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    letters = (box == 255).all(axis=-1).sum()
    return bool(letters > 300 and (box.max(axis=-1) < 0x40).mean() > 0.5)
