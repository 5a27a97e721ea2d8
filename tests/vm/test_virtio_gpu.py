"""QEMU's virtio GPUs without a guest: what the test puts in is what the X server shows.

The test is the driver (tests/support/vgpu), so every pixel is known and QEMU's
own view of it need not be asked: its screendump shows no cursor, and a
placeholder where a viewer of 7.2 is told nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.screen import pattern
from tests.support.vgpu import FORMATS
from tests.support.vgpu.sight import (
    TRANSPORTS,
    StartGpu,
    StartViewer,
    Watch,
    around,
    noise,
    part,
    show,
    transports,
)
from tests.support.vgpu.wire import Rect
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

devices = pytest.mark.parametrize("device", ["virtio-gpu-pci", "virtio-vga"])

SIZES = [(641, 479), (1919, 1199), (127, 63), (1023, 767), (65, 801), (1920, 1200), (640, 480)]


@transports
@devices
def test_formats(device: str, transport: str, watch: Watch) -> None:
    """Every format that the device knows; each resource is the size of no other."""
    sight = watch(transport, device=device)
    for number, name in enumerate(FORMATS):
        resource = sight.gpu.resource_2d(400 + 16 * number, 300, name)
        sight.gpu.scanout(resource)
        sight.viewer.wait_shows(show(resource, number))
        sight.check_transport(transport)
        resource.unref()


@transports
def test_partial_flushes(transport: str, watch: Watch) -> None:
    """Rectangles at all edges and of single pixels, each transferred and flushed alone."""
    sight = watch(transport)
    width, height = 1027, 771
    resource = sight.gpu.resource_2d(width, height)
    sight.gpu.scanout(resource)
    want = show(resource)
    sight.viewer.wait_shows(want)
    rects: list[Rect] = [
        (0, 0, 1, 1),
        (width - 1, height - 1, 1, 1),
        (width - 3, 7, 3, 60),
        (5, height - 31, 250, 31),
        (131, 77, 333, 1),
        (1, 0, 1025, 771),
    ]
    for seed, rect in enumerate(rects):
        change = noise(rect, seed)
        resource.show(change, *rect[:2])
        part(want, rect)[:] = change
        sight.viewer.wait_shows(want)
    sight.check_transport(transport)


@transports
def test_panned(transport: str, watch: Watch) -> None:
    """Parts of a resource, to its last pixel: QEMU's bytes and maps may end behind it.

    It reads `4 * x` bytes too many of a part at the bottom; here they lie in a page
    that is there.
    What changes then are squares around two corners of the part, inside and outside.
    """
    sight = watch(transport)
    resource = sight.gpu.resource_2d(1283, 1021)
    whole = show(resource)
    rects: list[Rect] = [
        (0, 0, 640, 480),
        (643, 541, 640, 480),
        (643, 540, 640, 480),
        (1, 1, 1281, 1019),
        (643, 0, 640, 1021),
        (0, 1000, 1283, 21),
        (17, 33, 641, 481),
    ]
    for seed, rect in enumerate(rects):
        sight.gpu.scanout(resource, rect)
        resource.flush(rect)
        sight.viewer.wait_shows(part(whole, rect))
        x, y, width, height = rect
        for corner in ((x, y), (x + width, y + height)):
            square = around(*corner, resource)
            part(whole, square)[:] = change = noise(square, seed)
            resource.show(change, *square[:2])
            sight.viewer.wait_shows(part(whole, rect))
    sight.check_transport(transport)


@transports
def test_page_flips(transport: str, watch: Watch) -> None:
    """Three resources in turn, each drawn anew before it is shown; nothing piles up."""
    sight = watch(transport)
    resources = [sight.gpu.resource_2d(800, 600) for _ in range(3)]
    fds = 0
    for number in range(30):
        resource = resources[number % 3]
        want = pattern(800, 600, number)
        resource.put(want)
        sight.gpu.flip(resource)
        sight.viewer.wait_shows(want)
        if number == 6:
            fds = len(sight.viewer.fds())
    until(lambda: len(sight.viewer.fds()) <= fds, f"no more than {fds} descriptors")
    sight.check_transport(transport)


@transports
def test_flips_at_full_speed(transport: str, watch: Watch) -> None:
    """Flips faster than any display: the last one is shown, and stays."""
    sight = watch(transport)
    resources = [sight.gpu.resource_2d(800, 600) for _ in range(3)]
    pictures = [show(resource, seed) for seed, resource in enumerate(resources)]
    sight.gpu.flip(resources[0])
    sight.viewer.wait_shows(pictures[0])
    for number in range(200):
        sight.gpu.flip(resources[number % 3])
    sight.viewer.wait_shows(pictures[199 % 3])


@transports
def test_sizes(transport: str, watch: Watch) -> None:
    """Tiny, odd, as large as the screen, one after another; the window follows."""
    sight = watch(transport)
    for width, height in SIZES:
        resource = sight.gpu.resource_2d(width, height)
        sight.gpu.scanout(resource)
        sight.viewer.wait_shows(show(resource))
        sight.check_transport(transport)
        resource.unref()


@transports
def test_larger_than_any_mode(
    transport: str, start_gpu: StartGpu, start_viewer: StartViewer, tmp_path: Path
) -> None:
    """A frame of 59 MB on a screen that takes it, and a part of it."""
    width, height = 5120, 2880
    with Xvfb(tmp_path, width, height) as wall:
        wall.park_pointer()
        vm = start_gpu()
        resource = vm.gpu.resource_2d(width, height)
        vm.gpu.scanout(resource)
        want = show(resource)
        with Viewer(tmp_path, wall, "--qmp", vm.qmp_path, *TRANSPORTS[transport]) as viewer:
            viewer.wait_shows(want)
            rect = 5001, 2701, 119, 79
            part(want, rect)[:] = change = noise(rect, 1)
            resource.show(change, *rect[:2])
            viewer.wait_shows(want)
            vm.gpu.scanout(resource, rect)
            resource.flush(rect)
            viewer.wait_shows(change)
