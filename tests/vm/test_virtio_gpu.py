"""QEMU's virtio GPUs without a guest: what the test puts in is what the X server shows.

The test is the driver (tests/support/vgpu), so every pixel is known and QEMU's
own view of it need not be asked: its screendump shows no cursor, and a
placeholder where a viewer of 7.2 is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import probe
from tests.support.blend import over, sprite
from tests.support.profile import requires
from tests.support.screen import Picture, difference, pattern
from tests.support.vgpu import FORMATS, GpuVm, Resource
from tests.support.viewer import Viewer
from tests.support.wait import Timeout, until
from tests.support.x11 import Xvfb

StartGpu = Callable[..., GpuVm]
StartViewer = Callable[..., Viewer]
Rect = tuple[int, int, int, int]

TRANSPORTS = {"map": (), "bytes": ("--no-map",)}

transports = pytest.mark.parametrize(
    "transport", [pytest.param("map", marks=requires("listener-map")), "bytes"]
)
devices = pytest.mark.parametrize("device", ["virtio-gpu-pci", "virtio-vga"])


TIMEOUT = 1.0
"""Seconds after which QEMU takes a listener for dead and no longer waits for its answers."""

SIZES = [(641, 479), (1919, 1199), (127, 63), (1023, 767), (65, 801), (1920, 1200), (640, 480)]


class Sight:
    """A GPU and the viewer that shows its first head."""

    def __init__(self, vm: GpuVm, viewer: Viewer) -> None:
        self.vm, self.gpu, self.viewer = vm, vm.gpu, viewer

    def check_transport(self, transport: str) -> None:
        """Fail if what is shown came another way: QEMU sends bytes where a map is refused."""
        maps = Path(f"/proc/{self.viewer.pid}/maps").read_text()
        assert ("memfd:virtio-gpu res" in maps) == (transport == "map")

    def wait_close(self, want: Picture) -> None:
        """Wait for a picture with a blended sprite: OpenGL may round either way."""

        def far() -> int:
            shown = self.viewer.picture()
            if shown.shape != want.shape:
                return 256
            return int(np.abs(shown.astype(np.int16) - want).max())

        try:
            until(lambda: far() <= 1, "the picture with its sprite")
        except Timeout as late:
            raise AssertionError(f"{late}: {self.viewer.difference(want)}") from None


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


def around(x: int, y: int, resource: Resource) -> Rect:
    """A square of 21 pixels around a point, as far as it is inside of a resource."""
    left, top = max(x - 10, 0), max(y - 10, 0)
    right, bottom = min(x + 11, resource.width), min(y + 11, resource.height)
    return left, top, right - left, bottom - top


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
        (1200, 0, 83, 1021),
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
            rect = 5001, 2801, 119, 79
            part(want, rect)[:] = change = noise(rect, 1)
            resource.show(change, *rect[:2])
            viewer.wait_shows(want)
            vm.gpu.scanout(resource, rect)
            resource.flush(rect)
            viewer.wait_shows(change)


@transports
def test_cursor(transport: str, watch: Watch) -> None:
    """A sprite with every alpha, where its top left is told to be, over a changing picture."""
    sight = watch(transport)
    resource = sight.gpu.resource_2d(800, 600)
    sight.gpu.scanout(resource)
    want = show(resource)
    sight.viewer.wait_shows(want)
    image, cursor = sprite(64, 64), sight.gpu.cursor()
    cursor.define(image, 100, 200, hot=(5, 7))
    sight.wait_close(over(want, image, 100, 200))
    for x, y in ((-3, -4), (799, 599), (-63, 300), (736, 536), (301, 207)):
        cursor.move(x, y)
        sight.wait_close(over(want, image, x, y))
    want = show(resource, 2)
    sight.wait_close(over(want, image, 301, 207))
    image = image[::-1].copy()
    cursor.define(image, 13, 17)
    sight.wait_close(over(want, image, 13, 17))
    cursor.hide()
    sight.viewer.wait_shows(want)
    cursor.define(image, 400, 300)
    sight.wait_close(over(want, image, 400, 300))


@transports
def test_a_viewer_that_comes_late(
    transport: str, start_gpu: StartGpu, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """The picture and the sprite from before it; 7.2 tells of the next sprite only."""
    vm = start_gpu()
    resource = vm.gpu.resource_2d(1000, 700)
    vm.gpu.scanout(resource, (100, 50, 640, 480))
    want = part(show(resource), (100, 50, 640, 480))
    image = sprite(64, 64)
    vm.gpu.cursor().define(image, 30, 40)
    sight = Sight(vm, start_viewer(xvfb, "--qmp", vm.qmp_path, *TRANSPORTS[transport]))
    if probe.qemu_at_least(8)():
        sight.wait_close(over(want, image, 30, 40))
    else:
        sight.viewer.wait_shows(want)
        vm.gpu.cursor().define(image, 31, 41)
    vm.gpu.cursor().move(31, 41)
    sight.wait_close(over(want, image, 31, 41))


@transports
def test_off_and_on(transport: str, watch: Watch) -> None:
    """A head without a scanout shows what QEMU says of it; 7.2 says nothing at all."""
    sight = watch(transport)
    resource = sight.gpu.resource_2d(800, 600)
    for seed in range(3):
        sight.gpu.scanout(resource)
        shown = show(resource, seed)
        sight.viewer.wait_shows(shown)
        sight.gpu.off()
        if probe.qemu_at_least(8)():
            placeholder = sight.vm.screendump()
            assert difference(placeholder, shown)
            sight.viewer.wait_shows(placeholder)
        else:
            sight.viewer.wait_shows(shown)


@transports
def test_reset(transport: str, watch: Watch) -> None:
    """The device is reset, as by a guest that boots again, and set up anew."""
    sight = watch(transport)
    for size in ((800, 600), (640, 480)):
        resource = sight.gpu.resource_2d(*size)
        sight.gpu.scanout(resource)
        sight.gpu.cursor().define(sprite(64, 64), 10, 10)
        show(resource)
        sight.gpu.cursor().hide()
        sight.viewer.wait_shows(pattern(*size))
        sight.gpu.reset()


@transports
def test_two_heads(
    transport: str, start_gpu: StartGpu, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """Both heads show parts of one resource; a viewer sees its own part, with its own sprite."""
    vm = start_gpu(device="virtio-gpu-pci,max_outputs=2")
    assert vm.gpu.heads == 2
    resource = vm.gpu.resource_2d(1440, 600)
    parts: list[Rect] = [(0, 0, 800, 600), (800, 120, 640, 480)]
    for head, rect in enumerate(parts):
        vm.gpu.scanout(resource, rect, head)
    whole = show(resource)
    images = sprite(64, 64), sprite(64, 64)[::-1].copy()
    for head, rect in enumerate(parts):
        args = "--qmp", vm.qmp_path, "--console", str(head), *TRANSPORTS[transport]
        sight = Sight(vm, start_viewer(xvfb, *args))
        sight.viewer.wait_shows(part(whole, rect))
        for other in (0, 1):
            vm.gpu.cursor(other).define(images[other], 40 + other, 50)
        sight.wait_close(over(part(whole, rect), images[head], 40 + head, 50))
        for other in (0, 1):
            vm.gpu.cursor(other).hide()
        sight.viewer.wait_shows(part(whole, rect))
        sight.viewer.close()


@transports
def test_the_guest_draws_on_while_x_stands_still(
    transport: str, start_gpu: StartGpu, start_viewer: StartViewer, own_xvfb: Xvfb
) -> None:
    """Flips and new modes are taken at once by a viewer that cannot show them yet."""
    vm = start_gpu()
    viewer = start_viewer(own_xvfb, "--qmp", vm.qmp_path, *TRANSPORTS[transport])
    resources = [vm.gpu.resource_2d(width, 600) for width in (800, 800, 640)]
    vm.gpu.scanout(resources[0])
    viewer.wait_shows(show(resources[0]))
    with own_xvfb.paused():
        for number in range(30):
            resource = resources[number % 3]
            resource.put(pattern(resource.width, 600, number))
            vm.gpu.scanout(resource)
            assert vm.gpu.standstill(resource) < TIMEOUT / 2
    viewer.wait_shows(pattern(640, 600, 29))


@requires("dmabuf-export")
@transports
def test_blobs(transport: str, start_gpu: StartGpu, start_viewer: StartViewer, xvfb: Xvfb) -> None:
    """Guest memory as it is, with gl=off: what QEMU offers to map is not it, so bytes come."""
    vm = start_gpu(device="virtio-vga,blob=on")
    assert vm.gpu.blobs
    sight = Sight(vm, start_viewer(xvfb, "--qmp", vm.qmp_path, *TRANSPORTS[transport]))
    for number, name in enumerate(FORMATS):
        blob = vm.gpu.blob(400 + 16 * number, 300, name, stride=4096, offset=8192)
        vm.gpu.scanout(blob)
        want = show(blob, number)
        sight.viewer.wait_shows(want)
        rect = 100, 50, 128, 96
        part(want, rect)[:] = change = noise(rect, number)
        blob.show(change, *rect[:2])
        sight.viewer.wait_shows(want)
        vm.gpu.scanout(blob, rect)
        blob.flush(rect)
        sight.viewer.wait_shows(change)
    sight.check_transport("bytes")
