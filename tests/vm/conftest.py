"""What tests of real devices share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pytest

from tests.support.desk import Desk
from tests.support.hands import Hands
from tests.support.qemu import Qemu
from tests.support.vgpu.sight import TRANSPORTS, Sight, StartGpu, StartViewer, Watch
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb


class StartDesk(Protocol):
    """Starts a guest in a viewer."""

    def __call__(
        self, focus: str, guest: Sequence[str] = (), args: Sequence[str] = (), memory: int = 64
    ) -> Desk: ...


@pytest.fixture
def watch(start_gpu: StartGpu, start_viewer: StartViewer, xvfb: Xvfb) -> Watch:
    """A function that starts both, for a transport and a device."""

    def start(transport: str, *args: str, device: str = "virtio-gpu-pci") -> Sight:
        vm = start_gpu(device=device)
        viewer = start_viewer(xvfb, "--qmp", vm.qmp_path, *TRANSPORTS[transport], *args)
        return Sight(vm, viewer)

    return start


@pytest.fixture
def hands(own_xvfb: Xvfb) -> Iterator[Hands]:
    """Hands on the keyboard of `own_xvfb`."""
    with Hands(own_xvfb) as made:
        yield made


@pytest.fixture
def start_desk(
    own_xvfb: Xvfb,
    hands: Hands,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
) -> StartDesk:
    """A function that starts a guest in a viewer; a command of xdotool's gives it the focus.

    The guest is words for QEMU's command line, the firmware alone without any.
    """

    def start(
        focus: str, guest: Sequence[str] = (), args: Sequence[str] = (), memory: int = 64
    ) -> Desk:
        qemu = start_qemu(trace=["input_event_*", "ps2_set_ledstate"], options=guest, memory=memory)
        viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path, *args)
        desk = Desk(own_xvfb, qemu, viewer, hands)
        desk.focus(focus)
        return desk

    return start


@pytest.fixture
def desk(start_desk: StartDesk) -> Desk:
    """The same without a window manager."""
    return start_desk("windowfocus")
