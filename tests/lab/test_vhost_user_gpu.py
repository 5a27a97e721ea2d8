"""The GPU in a process of its own: QEMU passes its dma-bufs on, glview imports them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.sight import Sight, gl_display
from tests.support.glcount import GlCount
from tests.support.kms.gpu import EXTERNAL_GPUS
from tests.support.profile import requires
from tests.support.screen import pattern
from tests.support.vgpu import Resource
from tests.support.vgpu.sight import StartGpu
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

pytestmark = [pytest.mark.lab, requires("vhost-user-gpu")]


@pytest.fixture(params=EXTERNAL_GPUS)
def sight(
    request: pytest.FixtureRequest,
    start_gpu: StartGpu,
    start_viewer: Callable[..., Viewer],
    xvfb: Xvfb,
    counter: GlCount,
    tmp_path: Path,
) -> Iterator[Sight]:
    """The device, and a viewer that comes when it is set up: QEMU bears none before."""
    counter.restart()
    kind = EXTERNAL_GPUS[request.param]
    with kind.start_helper(tmp_path):
        options = kind.connection(tmp_path)
        vm = start_gpu(device=kind.device, display=gl_display(), options=options)
        viewer = start_viewer(xvfb, "--qmp", vm.qmp_path, env=counter.environment)
        yield Sight(vm, viewer, counter)


def test_page_flips(sight: Sight) -> None:
    """Three buffers in turn, twice: each is imported once, and changes are seen."""
    gpu = sight.vm.gpu
    resources: list[Resource] = [gpu.resource_2d(640, 480)]
    for y_0_top in (False, True):
        if gpu.virgl:
            resources.append(gpu.resource_3d(640, 480, y_0_top=y_0_top))
        else:
            resources.append(gpu.resource_2d(640, 480))
    imports = 0
    for seed in range(6):
        want = pattern(640, 480, seed)
        resources[seed % 3].put(want)
        gpu.flip(resources[seed % 3])
        sight.wait_shows(want)
        imports = imports if seed > 2 else sight.counter.imports
    assert sight.counter.imports == imports
    want[100:150, 200:333] = change = pattern(133, 50, seed=7)
    resources[2].show(change, 200, 100)
    sight.wait_shows(want)
