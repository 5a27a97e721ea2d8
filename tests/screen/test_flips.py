"""Page flips, mode switches, reconnects: a buffer is imported or mapped once; nothing adds up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from glview.testing import ConsoleOptions, FakeVm
from tests.support.bus import Bus
from tests.support.canvas import Canvas
from tests.support.carriers import Carrier, Dmabuf, Mapped, Sent
from tests.support.glcount import GlCount
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

imports_dmabufs = requires("dmabuf-import")

XRGB = LAYOUTS["x8r8g8b8"]
KEPT = 8
"""Buffers that a viewer holds at a time."""
MARGIN = 8 << 20
"""Bytes by which resident memory may differ: arenas of malloc, not a buffer a flip."""


TRIED = 1
"""Imports of glview's own, before the first of a format: of known pixels, to see what comes out."""


class Holdings(NamedTuple):
    """What a viewer holds."""

    fds: int
    maps: int
    objects: dict[str, int]
    rss: int


class Watch:
    """What the viewer of a test holds."""

    def __init__(self, viewer: Viewer, count: GlCount) -> None:
        self._viewer = viewer
        self._count = count

    def now(self) -> Holdings:
        fds, rss = len(self._viewer.fds()), self._viewer.rss
        return Holdings(fds, self.maps, self._count.objects(), rss)

    @property
    def maps(self) -> int:
        """How many mappings of canvases there are."""
        return Path(f"/proc/{self._viewer.pid}/maps").read_text().count("/memfd:canvas")

    def check(self, before: Holdings) -> None:
        """Wait until it is what it was."""
        assert self.grown(before) < MARGIN

    def grown(self, before: Holdings) -> int:
        """Bytes of memory more than before; all else is what it was, or soon will be."""
        until(lambda: self.now()[:-1] == before[:-1], f"{before} again, not {self.now()}")
        return self.now().rss - before.rss


@pytest.fixture
def count(tmp_path: Path) -> GlCount:
    """What the viewer tells OpenGL."""
    return GlCount(tmp_path)


@pytest.fixture
def map_stage(
    request: pytest.FixtureRequest, xvfb: Xvfb, tmp_path: Path, count: GlCount
) -> Iterator[Stage]:
    """A counted viewer with that kind of presenting."""
    with Stage(tmp_path, xvfb, "--present", request.param, env=count.environment) as stage:
        yield stage


by_swap = pytest.mark.parametrize("map_stage", ["swap"], indirect=True)
by_both = pytest.mark.parametrize("map_stage", ["swap", "shm"], indirect=True)


@pytest.fixture(params=["es", "core"])
def stage(
    request: pytest.FixtureRequest, own_xvfb: Xvfb, tmp_path: Path, count: GlCount
) -> Iterator[Stage]:
    """A counted viewer of the fake VM."""
    with Stage(tmp_path, own_xvfb, "--gl", request.param, env=count.environment) as stage:
        yield stage


def canvases(stack: ExitStack, number: int, width: int, height: int) -> list[Canvas]:
    return [stack.enter_context(Canvas(XRGB, width, height)) for _ in range(number)]


def flip(stage: Stage, watch: Watch, carrier: Carrier, buffers: int) -> None:
    """A thousand times, each by a new descriptor. Nothing more is held than after the first."""
    with ExitStack() as stack:
        pages = canvases(stack, buffers, 640, 480)
        for page in pages:
            carrier.show(stage.listener, page)
            stage.wait_shows(page.picture())
        before = watch.now()
        for number in range(1000):
            carrier.show(stage.listener, pages[number % buffers])
        last = pages[999 % buffers]
        last.scribble(*last.all)
        carrier.update(stage.listener, last, last.all)
        stage.wait_shows(last.picture())
        watch.check(before)


def counted(stage: Stage, what: str) -> tuple[int, int, int]:
    """Imports, hits and evictions, as the viewer says once at its end."""
    assert stage.viewer.close() == 0
    said = re.findall(rf"{what}: (\d+) imports, (\d+) hits, (\d+) evictions", stage.viewer.output)
    assert len(said) == 1, stage.viewer.output
    imports, hits, evictions = map(int, said[0])
    return imports, hits, evictions


@imports_dmabufs
@pytest.mark.parametrize("buffers", [2, 3])
def test_a_thousand_page_flips(stage: Stage, count: GlCount, buffers: int) -> None:
    """As many imports as there are buffers."""
    flip(stage, Watch(stage.viewer, count), Dmabuf(), buffers)
    assert count.imports == buffers + TRIED
    imports, hits, evictions = counted(stage, "dma-bufs")
    assert (imports, evictions) == (buffers, 0)
    assert 900 < hits <= 1000  # a busy machine may see two at once


@by_both
@pytest.mark.parametrize("buffers", [2, 3])
def test_a_thousand_flips_of_shared_memory(map_stage: Stage, count: GlCount, buffers: int) -> None:
    """As many mappings as there are buffers."""
    watch = Watch(map_stage.viewer, count)
    flip(map_stage, watch, Mapped(), buffers)
    assert watch.maps == buffers
    assert counted(map_stage, "shared memory") == (buffers, 1000, 0)


def switch_modes(stage: Stage, watch: Watch, carrier: Carrier) -> None:
    """Between two sizes with two buffers each: those of the other size are let go."""
    with ExitStack() as stack:
        modes = [canvases(stack, 2, 640, 480), canvases(stack, 2, 320, 200)]

        def come_to_rest() -> None:
            for page in modes[1]:
                carrier.show(stage.listener, page)
                stage.wait_shows(page.picture())

        def grown(switches: int) -> int:
            before = watch.now()
            for number in range(switches):
                for page in modes[number % 2]:
                    carrier.show(stage.listener, page)
            come_to_rest()
            return watch.grown(before)

        come_to_rest()
        # What scales a picture while the window follows is compiled once, in whichever
        # round it is needed first (45 MB on llvmpipe); a leak would show in every round.
        assert min(grown(200) for _ in range(3)) < MARGIN


@imports_dmabufs
def test_mode_switches(stage: Stage, count: GlCount) -> None:
    """Two hundred, three times."""
    switch_modes(stage, Watch(stage.viewer, count), Dmabuf())


@by_swap
def test_mode_switches_of_shared_memory(map_stage: Stage, count: GlCount) -> None:
    """As many."""
    watch = Watch(map_stage.viewer, count)
    switch_modes(map_stage, watch, Mapped())
    assert watch.maps == 2


@imports_dmabufs
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


@by_swap
def test_more_shared_memory_than_is_kept(map_stage: Stage, count: GlCount) -> None:
    """The same."""
    watch = Watch(map_stage.viewer, count)
    for _ in range(20):
        with Canvas(XRGB, 320, 200) as page:
            Mapped().show(map_stage.listener, page)
            map_stage.wait_shows(page.picture())
        assert watch.maps <= KEPT + 1
    assert counted(map_stage, "shared memory") == (20, 0, 20 - KEPT)


@by_swap
def test_shared_memory_that_is_over(map_stage: Stage, count: GlCount) -> None:
    """What came by another way, or no more, is not held."""
    watch = Watch(map_stage.viewer, count)
    with ExitStack() as stack:
        pages = canvases(stack, 3, 320, 200)
        for page in pages:
            Mapped().show(map_stage.listener, page)
            map_stage.wait_shows(page.picture())
        assert watch.maps == 3
        Sent().show(map_stage.listener, pages[0])
        map_stage.wait_shows(pages[0].picture())
        until(lambda: watch.maps == 0, "no mappings")
        Mapped().show(map_stage.listener, pages[1])
        map_stage.vm.close()
        until(lambda: watch.maps == 0, "no mappings")


@imports_dmabufs
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
