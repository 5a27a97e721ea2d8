"""Devices without 3D under gl=on: QEMU uploads the guest's picture, glview imports it.

Compared are the pixels that the X server shows and QEMU's own screendump.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import guests
from tests.support.glcount import GlCount
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.screen import assert_same, pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

pytestmark = [pytest.mark.lab, requires("dmabuf-export")]


@pytest.mark.parametrize("device", ["VGA", "virtio-vga", "virtio-vga-gl"])
def test_first(
    device: str,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
    xvfb: Xvfb,
    tmp_path: Path,
    count: GlCount,
) -> None:
    want = pattern(1024, 768)
    qemu = start_qemu(
        devices=[device],
        options=guests.splash(tmp_path, want),
        display="dbus,p2p=yes,gl=on,rendernode=/dev/dri/renderD128",
    )
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, "-vv", env=count.environment)
    viewer.wait_shows(want)
    assert_same(qemu.screendump(), want)
    print(count.calls())
    print(viewer.output)
    for fd, to in viewer.fds().items():
        print(fd, to)
        if "dma" in to:
            print(Path(f"/proc/{viewer.pid}/fdinfo/{fd}").read_text())
    print([l for l in Path(f"/proc/{viewer.pid}/maps").read_text().splitlines() if "dma" in l])
