"""A viewer of a VM with gl=on, and the proofs that it shows the guest's own memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.support.glcount import GlCount
from tests.support.screen import Picture
from tests.support.vgpu import GpuVm
from tests.support.viewer import Viewer

SIGHTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "virgl": ("virtio-vga-gl", ()),
    "virgl-dmabuf1": ("virtio-vga-gl", ("--no-dmabuf2",)),
    # Guest memory as it is, which devices with virgl do not show.
    "blob": ("virtio-vga,blob=on", ()),
}
"""A GPU, and the options of the viewer that shows it."""


class Dmabuf(NamedTuple):
    """What the kernel says of a dma-buf: which driver exported it, and its length."""

    exporter: str
    size: int


def gl_display() -> str:
    """The value of `-display` for a VM that draws on the machine's first render node."""
    node = min(Path("/dev/dri").glob("renderD*"))
    return f"dbus,p2p=yes,gl=on,rendernode={node}"


def dmabufs(viewer: Viewer) -> list[Dmabuf]:
    """The dma-bufs that a viewer holds descriptors of. (/proc/PID/fdinfo)"""
    numbers = [fd for fd, target in viewer.fds().items() if target.startswith("/dmabuf")]
    told = [_info(Path(f"/proc/{viewer.pid}/fdinfo/{number}")) for number in numbers]
    return [Dmabuf(info["exp_name"], int(info["size"])) for info in told if "exp_name" in info]


def _info(path: Path) -> dict[str, str]:
    try:
        return dict(re.findall(r"(\w+):\s+(\S+)", path.read_text()))
    except FileNotFoundError:  # closed meanwhile
        return {}


@dataclass
class Sight:
    """A GPU and the viewer that shows its first head."""

    vm: GpuVm
    viewer: Viewer
    counter: GlCount

    def wait_shows(self, want: Picture) -> None:
        """Wait for the picture; fail unless it came by no copy but the GPU's, as a dma-buf."""
        self.viewer.wait_shows(want)
        height, width, _ = want.shape
        self.check_zero_copy(width, height)

    def check_zero_copy(self, width: int, height: int) -> None:
        """Fail if anything was uploaded so far, or no dma-buf of that size is there."""
        assert (calls := self.counter.calls()) == {}, calls
        held = dmabufs(self.viewer)
        assert any(buffer.size >= 4 * width * height for buffer in held), held
