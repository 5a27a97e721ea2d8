"""What the tests of the lab share: QEMU with gl=on, and viewers that are watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.sight import SIGHTS, Sight, gl_display
from tests.support.glcount import GlCount
from tests.support.vgpu import GpuVm
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> GlCount:
    """The counter of what a viewer tells OpenGL; one viewer at a time."""
    return GlCount(tmp_path_factory.mktemp("glcount"))


@pytest.fixture(scope="module")
def sight(
    request: pytest.FixtureRequest,
    xvfb: Xvfb,
    counter: GlCount,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sight]:
    """One of `SIGHTS`, by its name as a parameter, for the tests of a file in turn."""
    device, options = SIGHTS[request.param]
    counter.restart()
    folders = tmp_path_factory.mktemp("gpu"), tmp_path_factory.mktemp("viewer")
    vm = GpuVm(folders[0], device=device, display=gl_display())
    args = "--qmp", str(vm.qmp_path), *options
    with vm, Viewer(folders[1], xvfb, *args, env=counter.environment) as viewer:
        yield Sight(vm, viewer, counter)
