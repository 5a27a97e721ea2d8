"""Shared memory that QEMU cuts off while it is shown: black, said once, and nothing more."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glview.ui import overlay
from tests.support.blend import over
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf, Mapped
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb

XRGB = LAYOUTS["x8r8g8b8"]
SIZE = 640, 256  # rows of 2560 bytes: 160 pages
SAID = "QEMU has cut off memory that it shares with this window: what is missing is black."
KEPT = 8
"""Pieces of shared memory that a viewer holds at a time."""
KINDS = ["es-swap", "core-swap", "es-shm"]

shares = pytest.mark.parametrize("share", [0.0, 0.5], ids=["nothing", "half"])
"""Of the memory that is left; the page where it ends stays whole."""


@pytest.fixture(params=KINDS)
def stage(request: pytest.FixtureRequest, xvfb: Xvfb, tmp_path: Path) -> Iterator[Stage]:
    """A viewer with that kind of OpenGL and of presenting, which ends well."""
    gl, present = request.param.split("-")
    with Stage(tmp_path, xvfb, "--gl", gl, "--present", present) as stage:
        yield stage
        assert stage.viewer.close() == 0
    xvfb.check_alive()


def cut(canvas: Canvas, share: float) -> Picture:
    """Leave so much of the memory; what there is to see then."""
    left = int(len(canvas.memory) * share) // mmap.PAGESIZE * mmap.PAGESIZE
    os.ftruncate(canvas.fd, left)
    raw = np.zeros(canvas.stride * canvas.height, np.uint8)
    raw[:left] = canvas.memory[:left]
    rows = raw.reshape(canvas.height, canvas.stride)[:, : canvas.width * canvas.layout.size]
    return canvas.layout.decode(rows.reshape(canvas.height, canvas.width, -1))


def said(picture: Picture) -> Picture:
    """The picture with the text in a box at the bottom."""
    height, width, _ = picture.shape
    x, y, box = overlay.layout([SAID], (width, height), 1, overlay.Position.BOTTOM)
    pixels = np.frombuffer(box.pixels, np.uint8).reshape(box.height, box.width, 4)
    return over(picture, pixels, x, y)


def shared(layout: str = "x8r8g8b8") -> Canvas:
    """Memory as QEMU shares it."""
    return Canvas(LAYOUTS[layout], *SIZE, shrinkable=True)


def wait_top(stage: Stage, picture: Picture, what: str) -> None:
    """Wait until the window shows the picture, but for text that may be at the bottom."""
    until(lambda: np.array_equal(stage.shown()[:100], picture[:100]), what)


def show_good(stage: Stage) -> None:
    """Another picture is shown as ever, under the text."""
    with shared() as good:
        Mapped().show(stage.listener, good)
        stage.wait_shows(said(good.picture()), "the next good picture", tolerance=1)


def open_files(stage: Stage) -> list[str]:
    """What the viewer has open, but for canvases, of which it keeps a few."""
    names = sorted(stage.viewer.fds().values())
    others = [name for name in names if "/memfd:canvas" not in name]
    assert len(names) - len(others) <= KEPT
    return others


def sleeps(stage: Stage) -> None:
    """The viewer is not busy with anything."""
    time.sleep(0.3)
    before = stage.viewer.cpu
    time.sleep(0.5)
    assert stage.viewer.cpu - before < 0.1


@pytest.mark.parametrize(
    ("layout", "share"), [("x8r8g8b8", 0.0), ("x8r8g8b8", 0.5), ("r8g8b8", 0.5), ("r5g6b5", 0.0)]
)
def test_after_the_scanout(stage: Stage, layout: str, share: float) -> None:
    """What is left is shown, black for the rest; the next picture is whole. No descriptor stays."""
    fds: list[list[str]] = []
    for _ in range(2):
        with shared(layout) as canvas:
            Mapped().show(stage.listener, canvas)
            wait_top(stage, canvas.picture(), "the whole picture")
            want = cut(canvas, share)
            Mapped().update(stage.listener, canvas, canvas.all)
            stage.wait_shows(said(want), "what is left", tolerance=1)
        show_good(stage)
        fds.append(open_files(stage))
    assert fds[0] == fds[1]
    assert stage.viewer.output.count(SAID) == 1


def test_grown_again(stage: Stage) -> None:
    """The same memory, announced once more: all of it is shown."""
    with shared() as canvas:
        Mapped().show(stage.listener, canvas)
        wait_top(stage, canvas.picture(), "the whole picture")
        size, want = len(canvas.memory), cut(canvas, 0.5)
        Mapped().update(stage.listener, canvas, canvas.all)
        stage.wait_shows(said(want), "what is left", tolerance=1)
        os.ftruncate(canvas.fd, size)
        canvas.scribble(*canvas.all)
        Mapped().show(stage.listener, canvas)
        stage.wait_shows(said(canvas.picture()), "the whole picture again", tolerance=1)


@shares
def test_before_it_is_drawn(stage: Stage, share: float) -> None:
    """Between the answer to ScanoutMap and the first look."""
    with shared() as canvas:
        args = 0, *SIZE, canvas.stride, canvas.layout.pixman
        assert stage.listener.scanout_map(canvas.fd, *args).ok
        want = cut(canvas, share)
        stage.listener.update_map(*canvas.all)
        stage.wait_shows(said(want), tolerance=1)
    show_good(stage)


def test_in_a_flood_of_updates(stage: Stage) -> None:
    """At any moment, in small steps, and growing again."""
    for number in range(10):
        with shared() as canvas:
            Mapped().show(stage.listener, canvas)
            for step in range(200):
                stage.listener.update_map(step, step, 300, 50)
                if step % 20 == number:
                    left = (200 - step) * 4 * mmap.PAGESIZE // 5
                    os.ftruncate(canvas.fd, left)
                    os.ftruncate(canvas.fd, left + (number % 2) * mmap.PAGESIZE)
    stage.wait_output(SAID)
    show_good(stage)
    assert stage.viewer.output.count(SAID) == 1
    sleeps(stage)


def test_while_the_x_server_is_to_read_it(own_xvfb: Xvfb, tmp_path: Path) -> None:
    """It has been told to when the memory goes: it survives, and OpenGL goes on."""
    with Stage(tmp_path, own_xvfb, "--present", "shm") as stage:
        with shared() as canvas:
            Mapped().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture())
            with own_xvfb.paused():
                Mapped().update(stage.listener, canvas, canvas.all)
                time.sleep(0.2)  # its put is under way
                want = cut(canvas, 0.5)
            for _ in range(3):
                Mapped().update(stage.listener, canvas, canvas.all)
                time.sleep(0.05)
            stage.wait_shows(said(want), "what is left", tolerance=1)
        show_good(stage)
        own_xvfb.check_alive()
        assert stage.viewer.close() == 0


@requires("dmabuf-import")
@shares
@pytest.mark.parametrize(("version", "bottom_up"), [(1, False), (2, True)], ids=["v1", "v2"])
def test_as_a_dmabuf(stage: Stage, version: int, bottom_up: bool, share: float) -> None:
    """A driver never gets it, as its threads could not be saved. Every update is answered."""
    carrier = Dmabuf(version, bottom_up)
    with shared() as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_output("in memory that QEMU could cut off under the OpenGL driver")
        for step in range(100):
            if step == 50:
                os.ftruncate(canvas.fd, int(len(canvas.memory) * share))
            carrier.update(stage.listener, canvas, (step, step, 300, 50))
    with Canvas(XRGB, *SIZE) as good:
        carrier.show(stage.listener, good)
        wait_top(stage, good.picture(bottom_up=bottom_up), "the next good picture")


@requires("dmabuf-import")
def test_as_a_dmabuf_that_may_only_be_read(stage: Stage) -> None:
    """Software Mesa reads such memory after it has let go of it; so it is copied."""
    with Canvas(XRGB, *SIZE) as canvas:
        fd = os.open(f"/proc/self/fd/{canvas.fd}", os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(fd, canvas.fd, inheritable=False)
        os.close(fd)
        Dmabuf().show(stage.listener, canvas)
        stage.wait_output("memory that may only be read")
        wait_top(stage, canvas.picture(), "the copied picture")


@requires("dmabuf-import")
def test_as_a_dmabuf_that_may_only_be_written(stage: Stage) -> None:
    """Refused in words, where the driver would show black."""
    with Canvas(XRGB, *SIZE) as good, Canvas(XRGB, *SIZE) as canvas:
        Dmabuf().show(stage.listener, good)
        stage.wait_shows(good.picture())
        fd = os.open(f"/proc/self/fd/{canvas.fd}", os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(fd, canvas.fd, inheritable=False)
        os.close(fd)
        Dmabuf().show(stage.listener, canvas)
        stage.wait_output("plane 0 cannot be read")
        wait_top(stage, good.picture(), "the last good picture")


@requires("dmabuf-import")
def test_dmabufs_cannot_be_cut_off(stage: Stage) -> None:
    """The stand-ins of the other tests, like those of the kernel."""
    with Canvas(XRGB, *SIZE) as canvas:
        Dmabuf().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        with pytest.raises(PermissionError):
            os.ftruncate(canvas.fd, 0)
