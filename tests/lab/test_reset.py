"""A guest with gl=on that is reset while a viewer is connected: QEMU lives, the viewer follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.sight import gl_display
from tests.support import guests
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.screen import pattern
from tests.support.vgpu import GpuVm
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

pytestmark = [pytest.mark.lab, requires("dmabuf-export")]


@pytest.mark.parametrize("device", ["VGA", "virtio-vga-gl"])
def test_the_firmware_begins_again(
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
    xvfb: Xvfb,
    tmp_path: Path,
    device: str,
) -> None:
    want = pattern(640, 480)
    splash = guests.splash(tmp_path, want)
    qemu = start_qemu(devices=[device], options=splash, display=gl_display())
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path)
    for _ in range(3):
        viewer.wait_shows(want, timeout=20.0)
        qemu.reset()
        qemu.qmp.wait_event("RESET")
    viewer.wait_shows(want, timeout=20.0)


@pytest.mark.parametrize("kind", ["resource_2d", "resource_3d"])
def test_a_driver_s_scanout_goes(
    start_gpu: Callable[..., GpuVm], start_viewer: Callable[..., Viewer], xvfb: Xvfb, kind: str
) -> None:
    """QEMU drops the texture that it has handed out."""
    vm = start_gpu(device="virtio-vga-gl", display=gl_display())
    viewer = start_viewer(xvfb, "--qmp", vm.qmp_path)
    resource = getattr(vm.gpu, kind)(640, 480)
    want = pattern(640, 480)
    resource.put(want)
    vm.gpu.flip(resource)
    viewer.wait_shows(want)
    for _ in range(3):
        vm.reset()
        vm.qmp.wait_event("RESET")
    assert vm.status()["running"]
    assert viewer.alive
