"""A virtio GPU and the viewer that shows it, and pictures for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.profile import requires
from tests.support.screen import Picture, pattern
from tests.support.vgpu.resource import Resource
from tests.support.vgpu.vm import GpuVm
from tests.support.vgpu.wire import Rect
from tests.support.viewer import Viewer
from tests.support.wait import Timeout, until

StartGpu = Callable[..., GpuVm]
StartViewer = Callable[..., Viewer]

TRANSPORTS = {"map": (), "bytes": ("--no-map",)}

transports = pytest.mark.parametrize(
    "transport", [pytest.param("map", marks=requires("listener-map")), "bytes"]
)


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
