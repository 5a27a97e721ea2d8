"""What tests of real devices share."""

from __future__ import annotations

import pytest

from tests.support.vgpu.sight import TRANSPORTS, Sight, StartGpu, StartViewer, Watch
from tests.support.x11 import Xvfb


@pytest.fixture
def watch(start_gpu: StartGpu, start_viewer: StartViewer, xvfb: Xvfb) -> Watch:
    """A function that starts both, for a transport and a device."""

    def start(transport: str, *args: str, device: str = "virtio-gpu-pci") -> Sight:
        vm = start_gpu(device=device)
        viewer = start_viewer(xvfb, "--qmp", vm.qmp_path, *TRANSPORTS[transport], *args)
        return Sight(vm, viewer)

    return start
