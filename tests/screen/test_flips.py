"""Page flips, mode switches, reconnects: a buffer is imported once, and nothing adds up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from glview.testing import ConsoleOptions, FakeVm
from tests.support.bus import Bus
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.glcount import GlCount
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

pytestmark = requires("dmabuf-import")

XRGB = LAYOUTS["x8r8g8b8"]
MARGIN = 8 << 20
"""Bytes by which resident memory may differ: arenas of malloc, not a buffer a flip."""


class Holdings(NamedTuple):
    """What a viewer holds."""

    fds: int
    objects: dict[str, int]
    rss: int


class Watch:
    """What the viewer of a test holds."""

    def __init__(self, viewer: Viewer, count: GlCount) -> None:
        self._viewer = viewer
        self._count = count

    def now(self) -> Holdings:
        return Holdings(len(self._viewer.fds()), self._count.objects(), self._viewer.rss)

    def check(self, before: Holdings) -> None:
        """Wait until it is what it was."""
        assert self.grown(before) < MARGIN

    def grown(self, before: Holdings) -> int:
        """Bytes of memory more than before; all else is what it was, or soon will be."""
        until(lambda: self.now()[:2] == before[:2], f"{before} again, not {self.now()}")
        return self.now().rss - before.rss


@pytest.fixture
def count(tmp_path: Path) -> GlCount:
    """What the viewer tells OpenGL."""
    return GlCount(tmp_path)


@pytest.fixture(params=["es", "core"])
def stage(
    request: pytest.FixtureRequest, own_xvfb: Xvfb, tmp_path: Path, count: GlCount
) -> Iterator[Stage]:
    """A counted viewer of the fake VM."""
    with Stage(tmp_path, own_xvfb, "--gl", request.param, env=count.environment) as stage:
        yield stage


def canvases(stack: ExitStack, number: int, width: int, height: int) -> list[Canvas]:
    return [stack.enter_context(Canvas(XRGB, width, height)) for _ in range(number)]


@pytest.mark.parametrize("buffers", [2, 3])
def test_a_thousand_page_flips(stage: Stage, count: GlCount, buffers: int) -> None:
    """Each by new descriptors: as many imports as there are buffers."""
    watch, carrier = Watch(stage.viewer, count), Dmabuf()
    with ExitStack() as stack:
        pages = canvases(stack, buffers, 640, 480)
        for page in pages:
            carrier.show(stage.listener, page)
            stage.wait_shows(page.picture())
        assert count.imports == buffers
        before = watch.now()
        for number in range(1000):
            carrier.show(stage.listener, pages[number % buffers])
        last = pages[999 % buffers]
        last.scribble(*last.all)
        carrier.update(stage.listener, last, last.all)
        stage.wait_shows(last.picture())
        assert count.imports == buffers
        watch.check(before)


def test_mode_switches(stage: Stage, count: GlCount) -> None:
    """Two hundred, between two sizes with two buffers each: those of the other size are let go."""
    watch, carrier = Watch(stage.viewer, count), Dmabuf()
    with ExitStack() as stack:
        modes = [canvases(stack, 2, 640, 480), canvases(stack, 2, 320, 200)]

        def switch(number: int) -> None:
            for page in modes[number % 2]:
                carrier.show(stage.listener, page)

        def grown(switches: int) -> int:
            before = watch.now()
            for number in range(switches):
                switch(number)
            stage.wait_shows(modes[1][1].picture())
            return watch.grown(before)

        switch(1)
        stage.wait_shows(modes[1][1].picture())
        # What scales a picture while the window follows is compiled once, in whichever
        # round it is needed first (45 MB on llvmpipe); a leak would show in every round.
        assert min(grown(200) for _ in range(3)) < MARGIN


def test_more_buffers_than_are_kept(stage: Stage, count: GlCount) -> None:
    """A guest that never shows a buffer twice: the oldest are let go."""
    watch, carrier = Watch(stage.viewer, count), Dmabuf()
    for number in range(40):
        with Canvas(XRGB, 320, 200) as page:
            carrier.show(stage.listener, page)
            stage.wait_shows(page.picture())
        if number == 19:
            before = watch.now()
    watch.check(before)


def test_reconnects(own_xvfb: Xvfb, tmp_path: Path, count: GlCount) -> None:
    """Two hundred VMs after one another, each with buffers of its own."""
    with (
        Bus(tmp_path) as bus,
        Viewer(
            tmp_path, own_xvfb, "--address", bus.address, "--wait", "-v", env=count.environment
        ) as viewer,
    ):
        watch = Watch(viewer, count)
        for number in range(200):
            with FakeVm(consoles=(ConsoleOptions(),)) as vm, Canvas(XRGB, 320, 200) as page:
                vm.join_bus(bus.address)
                Dmabuf().show(vm.console().wait_listener(), page)
                wait_shows(viewer, page.picture())
                if number == 20:
                    before = watch.now()
                elif number == 199:
                    watch.check(before)
            wait_gone(viewer, number + 1)


def wait_shows(viewer: Viewer, want: Picture) -> None:
    until(lambda: np.array_equal(viewer.picture(), want), "the picture")


def wait_gone(viewer: Viewer, times: int) -> None:
    until(lambda: viewer.output.count("the VM has gone") == times, "the end of the VM")
