"""Devices without 3D under gl=on: QEMU uploads the guest's picture, glview imports that.

Compared are the pixels that the X server shows and QEMU's own screendump.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.sight import dmabufs, gl_display
from tests.support import guests
from tests.support.glcount import GlCount
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.screen import assert_same, pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

pytestmark = [pytest.mark.lab, requires("dmabuf-export")]


@pytest.mark.parametrize("option", ["", "--no-dmabuf2"], ids=["dmabuf2", "dmabuf1"])
@pytest.mark.parametrize("device", ["VGA", "virtio-vga"])
def test_splash_and_text(
    device: str,
    option: str,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
    xvfb: Xvfb,
    counter: GlCount,
    tmp_path: Path,
) -> None:
    """A picture of ours in 1024x768, then the firmware's boot menu in text."""
    counter.restart()
    want = pattern(1024, 768)
    splash = guests.splash(tmp_path, want)
    qemu = start_qemu(devices=[device], options=splash, display=gl_display())
    args = "--qmp", qemu.qmp_path, *filter(None, [option])
    viewer = start_viewer(xvfb, *args, env=counter.environment)
    viewer.wait_shows(want)
    assert_same(qemu.screendump(), want, "what QEMU shows")
    assert any(buffer.size >= want.nbytes for buffer in dmabufs(viewer))
    qemu.send_keys("esc")
    until(lambda: qemu.screendump().shape == (400, 720, 3), "text")
    qemu.wait_firmware("Select boot device")
    qemu.stop()
    viewer.wait_shows(qemu.screendump())
    assert counter.calls() == {}
