"""Everything of a virtio GPU's heads but plain pictures: pointer, power, size, several of them."""

from __future__ import annotations

import time

from glview.ui.sizing import ANSWER_TIME
from tests.support import probe
from tests.support.blend import over, sprite
from tests.support.profile import requires
from tests.support.screen import difference, pattern
from tests.support.vgpu import FORMATS
from tests.support.vgpu.sight import (
    TRANSPORTS,
    Sight,
    StartGpu,
    StartViewer,
    Watch,
    noise,
    part,
    show,
    transports,
)
from tests.support.vgpu.wire import Rect
from tests.support.wait import until
from tests.support.x11 import Xvfb

TIMEOUT = 1.0
"""Seconds after which QEMU takes a listener for dead and no longer waits for its answers."""


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


def test_the_guest_hears_of_the_window_s_size(watch: Watch, xvfb: Xvfb) -> None:
    """What the device would like to be shown is what the user made of the window."""
    sight = watch("bytes")
    resource = sight.gpu.resource_2d(800, 600)
    sight.gpu.scanout(resource)
    sight.viewer.wait_shows(show(resource))
    time.sleep(2 * ANSWER_TIME)  # until then a new size is taken for the window manager's
    xvfb.xdotool("windowsize", "--sync", sight.viewer.window().id, 911, 503)
    wanted = (0, 0, 911, 503)
    until(lambda: sight.gpu.displays()[0].rect == wanted, "the device to ask for that size")


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
