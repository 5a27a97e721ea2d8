"""A virtio GPU under gl=on: what the test puts in is what the X server shows, with no copy.

The test is the driver (tests/support/vgpu). QEMU hands out the dma-bufs of what
virgl renders, of its own textures, and of the guest's pages (blobs). Its own
view is not asked: screendump refuses such pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.lab.sight import Sight
from tests.support.profile import requires
from tests.support.screen import Picture, pattern
from tests.support.vgpu import Gpu, Resource

pytestmark = [pytest.mark.lab, requires("dmabuf-export")]

Rect = tuple[int, int, int, int]

KINDS: dict[str, Callable[[Gpu, int, int], Resource]] = {
    "2d": lambda gpu, width, height: gpu.resource_2d(width, height),
    "3d": lambda gpu, width, height: gpu.resource_3d(width, height),
    "3d-bottom-up": lambda gpu, width, height: gpu.resource_3d(width, height, y_0_top=True),
    "blob": lambda gpu, width, height: gpu.blob(width, height),
}
# Version 1 of the call neither says where a part begins, nor goes with blobs: QEMU then drops
# every other one, which the Disable that belongs to the one before overtakes.
WHOLE = [
    *(("virgl", kind) for kind in ("2d", "3d", "3d-bottom-up")),
    *(("virgl-dmabuf1", kind) for kind in ("2d", "3d", "3d-bottom-up")),
    *(("blob", kind) for kind in ("2d", "blob")),
]
PARTS = [case for case in WHOLE if case[0] != "virgl-dmabuf1"]

# Of a picture that QEMU itself uploads it makes another texture at every flip.
KEPT = [case for case in WHOLE if case != ("blob", "2d")]


def each(*cases: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test with a `sight` and a `kind` of buffer."""
    names = "sight", "kind"
    return pytest.mark.parametrize(names, cases, indirect=["sight"], scope="module")


def part(picture: Picture, rect: Rect) -> Picture:
    """That part of a picture."""
    x, y, width, height = rect
    return picture[y : y + height, x : x + width]


@each(*WHOLE)
def test_pictures(sight: Sight, kind: str) -> None:
    """A picture, a change in a part of it, another size."""
    gpu = sight.vm.gpu
    for width, height in ((641, 479), (800, 600)):
        resource = KINDS[kind](gpu, width, height)
        want = pattern(width, height)
        resource.put(want)
        gpu.flip(resource)
        sight.wait_shows(want)
        want[100:150, 200:333] = change = pattern(133, 50, seed=2)
        resource.show(change, 200, 100)
        sight.wait_shows(want)
        gpu.off()
        resource.unref()


@each(*KEPT)
def test_page_flips(sight: Sight, kind: str) -> None:
    """Three buffers in turn, each drawn anew before it is shown, each imported once."""
    gpu = sight.vm.gpu
    resources = [KINDS[kind](gpu, 640, 480) for _ in range(3)]
    imports = 0
    for number in range(9):
        resource = resources[number % 3]
        want = pattern(640, 480, seed=number)
        resource.put(want)
        gpu.flip(resource)
        sight.wait_shows(want)
        if number == 2:
            imports = sight.counter.imports
    assert sight.counter.imports == imports
    gpu.off()
    for resource in resources:
        resource.unref()


@each(*PARTS)
def test_panned(sight: Sight, kind: str) -> None:
    """Parts of a buffer, at its corners and inside, and changes in and around them."""
    gpu = sight.vm.gpu
    resource = KINDS[kind](gpu, 1003, 701)
    whole = pattern(1003, 701)
    resource.put(whole)
    rects: list[Rect] = [(0, 0, 640, 480), (363, 221, 640, 480), (64, 32, 641, 479)]
    for seed, rect in enumerate(rects):
        gpu.scanout(resource, rect)
        resource.flush(rect)
        sight.wait_shows(part(whole, rect))
        x, y = rect[0] + 300, rect[1] + 200
        whole[y : y + 60, x : x + 90] = change = pattern(90, 60, seed)
        resource.show(change, x, y)
        sight.wait_shows(part(whole, rect))
    gpu.off()
    resource.unref()


@each(*[case for case in WHOLE if case[1].startswith("3d")])
def test_rendered_by_virgl(sight: Sight, kind: str) -> None:
    """Two targets that the host's OpenGL clears in a colour each, shown in turn."""
    gpu = sight.vm.gpu
    context = gpu.context()
    targets = [gpu.resource_3d(320, 200, y_0_top=kind == "3d-bottom-up") for _ in range(2)]
    context.attach(*targets)
    for number, colour in enumerate([(255, 0, 0), (1, 2, 3), (0, 128, 255), (254, 255, 253)]):
        target = targets[number % 2]
        context.clear(target, colour)
        gpu.flip(target)
        sight.wait_shows(np.full((200, 320, 3), colour, np.uint8))
    gpu.off()
    context.destroy()
    for target in targets:
        target.unref()


@each(("virgl", "3d"), ("blob", "blob"))
def test_formats(sight: Sight, kind: str) -> None:
    """The orders of channels that guests use; alpha is not theirs to decide."""
    gpu = sight.vm.gpu
    for seed, name in enumerate(("B8G8R8X8", "B8G8R8A8", "R8G8B8A8", "R8G8B8X8")):
        make: Callable[..., Resource] = gpu.blob if kind == "blob" else gpu.resource_3d
        resource = make(400, 300, name)
        want = pattern(400, 300, seed)
        resource.put(want)
        gpu.flip(resource)
        sight.wait_shows(want)
        gpu.off()
        resource.unref()


@each(("virgl", "3d"), ("blob", "blob"))
def test_the_kernel_says_when_the_buffer_is_free(sight: Sight, kind: str) -> None:
    """By a fence that is a descriptor, which nobody asks again and again."""
    gpu = sight.vm.gpu
    resource = KINDS[kind](gpu, 320, 200)
    before = sight.counter.fences()
    gpu.scanout(resource)
    want = pattern(320, 200)
    resource.show(want)
    sight.wait_shows(want)
    after = sight.counter.fences()
    assert after["native"] > before["native"]
    assert after["asked"] == before["asked"]
    gpu.off()
    resource.unref()
