"""Outputs with a scale: one guest pixel stays one pixel, and no scale is taken for a wish."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.screen import Picture, find
from tests.support.sway import Sway
from tests.support.vgpu import GpuVm
from tests.support.vgpu.sight import StartGpu, StartViewer, show
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

StartGuest = Callable[[], "Guest"]
StartSway = Callable[..., Sway]

SETTLED = 0.25
"""Seconds after the user's last resize when the guest is asked to follow."""

MODE = 641, 481
"""Odd, so that no whole number of units is as large at scale 2."""


class Guest:
    """A guest that takes each size which its virtio-gpu asks for as its mode, as Linux does."""

    def __init__(self, vm: GpuVm) -> None:
        self.vm = vm
        self.modes: list[tuple[int, int]] = []
        self.picture: Picture
        self._heard = self.asked()
        self.put(self._heard)

    def put(self, size: tuple[int, int]) -> None:
        """Take a mode, whether it was asked for or not."""
        self.modes.append(size)
        resource = self.vm.gpu.resource_2d(*size)
        self.vm.gpu.scanout(resource)
        self.picture = show(resource, len(self.modes))

    def asked(self) -> tuple[int, int]:
        """The size that the device asks for."""
        return self.vm.gpu.displays()[0].rect[2:]

    def follow(self, seconds: float = 0.0) -> None:
        """Do what the device asks for, for so long."""
        end = time.monotonic() + seconds
        while True:
            wanted = self.asked()
            if wanted != self._heard:
                self._heard = wanted
                self.put(wanted)
            if time.monotonic() >= end:
                return
            time.sleep(0.02)


def units(sway: Sway, number: int) -> tuple[int, int]:
    """The size in units that shows MODE 1:1 on an output, at the scale that clients are told."""
    scale = sway.outputs()[number]["scale"]
    scale = scale if sway.fractional else math.ceil(scale)
    return math.ceil(MODE[0] / scale), math.ceil(MODE[1] / scale)


@pytest.fixture
def start_guest(start_gpu: StartGpu) -> StartGuest:
    def start() -> Guest:
        device = f"virtio-gpu-pci,xres={MODE[0]},yres={MODE[1]}"
        guest = Guest(start_gpu(device=device))
        assert guest.modes == [MODE]
        return guest

    return start


@pytest.fixture
def start_weston(own_xvfb: Xvfb, tmp_path: Path) -> Iterator[Callable[[int], Weston]]:
    with ExitStack() as stack:

        def start(scale: int) -> Weston:
            folder = tmp_path / "weston"
            folder.mkdir()
            return stack.enter_context(Weston(own_xvfb, folder, 1290, 900, scale=scale))

        yield start


@pytest.fixture
def start_sway(tmp_path: Path) -> Iterator[StartSway]:
    with ExitStack() as stack:

        def start(*scales: float, tiling: bool = False) -> Sway:
            return stack.enter_context(Sway(tmp_path, scales=scales, tiling=tiling))

        yield start


def wait_units(sway: Sway, wanted: tuple[int, int]) -> None:
    """Wait until the window has that size in units."""
    try:
        until(lambda: sway.size() == wanted, f"a window of {wanted}")
    except AssertionError as late:
        window, outputs = sway.window(), [o["scale"] for o in sway.outputs()]
        raise AssertionError(f"{late}, not {window['rect']} at {outputs}") from None


def wait_exact(xvfb: Xvfb, viewer: Viewer, guest: Guest) -> None:
    """Wait until each guest pixel is one pixel, and what the window has more is black."""

    def look() -> bool:
        viewer.check_alive()
        guest.follow()
        screen = xvfb.region(0, 0, 1290, 900)
        place = find(screen, guest.picture)
        if place is None:
            return False
        (x, y), (height, width, _) = place, guest.picture.shape
        below = screen[y + height : y + rounded_up(height), x : x + rounded_up(width)]
        beside = screen[y : y + rounded_up(height), x + width : x + rounded_up(width)]
        return not below.any() and not beside.any()

    def rounded_up(length: int) -> int:
        return -(-length // scale) * scale

    scale = viewer.desktop.scale if isinstance(viewer.desktop, Weston) else 1
    until(look, "the picture 1:1", 30.0)


@contextmanager
def busy(processes: int = 2) -> Iterator[None]:
    """Keep every CPU busy."""
    with ExitStack() as stack:
        for _ in range(processes):
            child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(child.wait)
            stack.callback(child.kill)
        yield


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_window_shows_each_mode_one_to_one(
    scale: int,
    start_guest: StartGuest,
    start_weston: Callable[[int], Weston],
    start_viewer: StartViewer,
    own_xvfb: Xvfb,
) -> None:
    """Odd and even modes, none so large that it might leave the output; none is asked for."""
    guest, weston = start_guest(), start_weston(scale)
    viewer = start_viewer(weston, "--qmp", guest.vm.qmp_path)
    wait_exact(own_xvfb, viewer, guest)
    guest.follow(3 * SETTLED)
    assert guest.modes == [MODE]
    for size in ((403, 101), (640, 480), (399, 202), MODE):
        guest.put(size)
        wait_exact(own_xvfb, viewer, guest)
    assert guest.asked() == MODE


@pytest.mark.parametrize("openings", [3, pytest.param(20, marks=pytest.mark.long)])
def test_openings_on_a_busy_machine_leave_the_mode(
    openings: int,
    start_guest: StartGuest,
    start_weston: Callable[[int], Weston],
    start_viewer: StartViewer,
    own_xvfb: Xvfb,
) -> None:
    """The scale arrives as late as it likes."""
    guest, weston = start_guest(), start_weston(2)
    with busy():
        for _ in range(openings):
            with start_viewer(weston, "--qmp", guest.vm.qmp_path) as viewer:
                wait_exact(own_xvfb, viewer, guest)
                guest.follow(2 * SETTLED)
    assert guest.modes == [MODE]


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (3, 2), (1.5, 1), (2, 1.5)])
def test_a_move_to_an_output_of_another_scale(
    order: tuple[float, float],
    start_guest: StartGuest,
    start_sway: StartSway,
    start_viewer: StartViewer,
) -> None:
    """The window is as large in pixels there; back and forth, the guest is asked for nothing."""
    guest, sway = start_guest(), start_sway(*order)
    start_viewer(sway, "--qmp", guest.vm.qmp_path)
    wait_units(sway, units(sway, 0))
    guest.follow(2 * SETTLED)  # a scale that changes at once is taken for the window's own doing
    for number in (1, 0, 1):
        sway.msg("[app_id=glview]", "move", "container", "to", "output", f"HEADLESS-{number + 1}")
        wanted = units(sway, number)
        wait_units(sway, wanted)
        guest.follow(2 * SETTLED)
    assert sway.size() == wanted
    assert guest.modes == [MODE]


def test_a_scale_that_changes_under_a_window(
    start_guest: StartGuest, start_sway: StartSway, start_viewer: StartViewer
) -> None:
    guest, sway = start_guest(), start_sway(1)
    start_viewer(sway, "--qmp", guest.vm.qmp_path)
    for scale in (1, 2, 3, 1):
        sway.window()
        sway.msg("output", "HEADLESS-1", "scale", str(scale))
        wanted = units(sway, 0)
        wait_units(sway, wanted)
        guest.follow(2 * SETTLED)
    assert guest.modes == [MODE]


def test_the_size_that_a_user_gives_is_asked_for_in_pixels(
    start_guest: StartGuest, start_sway: StartSway, start_viewer: StartViewer
) -> None:
    """And stays the guest's mode when the window is moved to an output of another scale."""
    guest, sway = start_guest(), start_sway(2, 1)
    start_viewer(sway, "--qmp", guest.vm.qmp_path)
    wait_units(sway, units(sway, 0))
    guest.follow(2 * SETTLED)
    sway.msg("[app_id=glview]", "resize", "set", "230", "px", "150", "px")
    until(lambda: guest.asked() == (460, 300), "the guest to be asked")
    guest.follow()
    for number in (2, 1):
        sway.msg("[app_id=glview]", "move", "container", "to", "output", f"HEADLESS-{number}")
        guest.follow(3 * SETTLED)
        assert sway.size() == (230, 150)
    assert guest.modes == [MODE, (460, 300)]


def test_a_tile_is_the_compositors_idea_and_another_tile_the_users(
    start_guest: StartGuest, start_sway: StartSway, start_viewer: StartViewer
) -> None:
    """A window that opens in a tile asks the guest for nothing, however late the tile comes."""
    guest, sway = start_guest(), start_sway(2, tiling=True)
    with busy():
        viewer = start_viewer(sway, "--qmp", guest.vm.qmp_path)
        wait_units(sway, (640, 360))
        guest.follow(4 * SETTLED)
    assert guest.modes == [MODE]
    guest.put((800, 600))
    guest.follow(3 * SETTLED)
    assert guest.asked() == MODE
    assert sway.size() == (640, 360)
    sway.msg("[app_id=glview]", "floating", "enable")
    until(lambda: guest.asked() == (642, 482), "the guest to be asked")
    viewer.check_alive()
