"""QEMU's virtio GPUs without a guest: what the test puts in is what the X server shows.

The test is the driver (tests/support/vgpu), so every pixel is known and QEMU's
own view of it need not be asked: its screendump shows no cursor, and a
placeholder where a viewer of 7.2 is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.support.profile import requires
from tests.support.screen import Picture, pattern
from tests.support.vgpu import FORMATS, GpuVm, Resource
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

StartGpu = Callable[..., GpuVm]
StartViewer = Callable[..., Viewer]
Rect = tuple[int, int, int, int]

TRANSPORTS = {"map": (), "bytes": ("--no-map",)}

transports = pytest.mark.parametrize(
    "transport", [pytest.param("map", marks=requires("listener-map")), "bytes"]
)
devices = pytest.mark.parametrize("device", ["virtio-gpu-pci", "virtio-vga"])


class Sight:
    """A GPU and the viewer that shows it."""

    def __init__(self, vm: GpuVm, viewer: Viewer) -> None:
        self.vm, self.gpu, self.viewer = vm, vm.gpu, viewer


Watch = Callable[..., Sight]


@pytest.fixture
def watch(start_gpu: StartGpu, start_viewer: StartViewer, xvfb: Xvfb) -> Watch:
    """A function that starts both, for a transport and a device."""

    def start(transport: str, *args: str, device: str = "virtio-gpu-pci") -> Sight:
        vm = start_gpu(device=device)
        viewer = start_viewer(xvfb, "--qmp", vm.qmp_path, *TRANSPORTS[transport], *args)
        return Sight(vm, viewer)

    return start


def part(picture: Picture, rect: Rect) -> Picture:
    """That part of a picture."""
    x, y, width, height = rect
    return picture[y : y + height, x : x + width]


def noise(rect: Rect, seed: int) -> Picture:
    """A picture for a rectangle in which nothing is plain."""
    return np.random.default_rng(seed).integers(0, 256, (rect[3], rect[2], 3), np.uint8)


def show(resource: Resource, seed: int = 1) -> Picture:
    """Put a new picture into all of a resource, on the screen if it is there; return it."""
    picture = pattern(resource.width, resource.height, seed)
    resource.show(picture)
    return picture


@transports
@devices
def test_formats(device: str, transport: str, watch: Watch) -> None:
    """Every format that the device knows; each resource is the size of no other."""
    sight = watch(transport, device=device)
    for number, name in enumerate(FORMATS):
        resource = sight.gpu.resource_2d(400 + 16 * number, 300, name)
        sight.gpu.scanout(resource)
        sight.viewer.wait_shows(show(resource, number))
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
