"""QEMU's faults that a viewer sets off: the QEMU here has those that the doctor names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from glview.dbus.peer import PeerConnection
from glview.doctor.faults import FAULTS, known
from glview.errors import GlviewError, VmGoneError
from glview.qemu.discovery import list_vms
from glview.qemu.input import LAST_BUTTON, MOUSE
from glview.qemu.qmp import hand_over
from tests.support import guests, probe
from tests.support.qemu import Qemu
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import Timeout, until
from tests.support.x11 import Xvfb

StartQemu = Callable[..., Qemu]
StartViewer = Callable[..., Viewer]

CONSOLE = "/org/qemu/Display1/Console_0"


@pytest.fixture
def named() -> set[str]:
    """Names of the faults that the doctor names for the QEMU here."""
    version = probe.qemu_version()
    assert version
    return {fault.name for fault in known(".".join(map(str, version)))}


def connect(qemu: Qemu) -> PeerConnection:
    """Return a connection of a viewer, which takes the one place that there is."""
    return PeerConnection.over(hand_over(str(qemu.qmp_path)))


@pytest.mark.parametrize("button", [LAST_BUTTON, 10, 4_000_000_000])
def test_a_button_that_qemu_does_not_have(
    start_qemu: StartQemu, named: set[str], button: int
) -> None:
    """glview sends none above the last one of every version."""
    qemu = start_qemu()
    with contextlib.closing(connect(qemu)) as viewer:
        for member in ("Press", "Release"):
            with contextlib.suppress(GlviewError):
                viewer.call("", CONSOLE, MOUSE, member, "u", (button,))
    if button > LAST_BUTTON and "button" in named:
        assert qemu.wait() != 0
        assert "Assertion" in qemu.output
    else:
        assert qemu.status()["running"]


def test_listeners_that_are_never_released(
    xvfb: Xvfb, start_qemu: StartQemu, start_viewer: StartViewer, named: set[str]
) -> None:
    """One for each viewer that goes; and glview registers one, whatever the guest does."""
    qemu = start_qemu(trace=["displaychangelistener_*"])

    def registered() -> int:
        return len(qemu.trace("^displaychangelistener_register "))

    def gone() -> int:
        return len(qemu.trace("^displaychangelistener_unregister "))

    own = registered()  # those of the display itself
    for turn in range(1, 4):
        viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path)
        viewer.window()
        qemu.reset()
        assert registered() == own + turn
        viewer.close()
        if "listener" not in named:
            wait_for(gone, turn)
    assert registered() == own + 3
    assert gone() == (0 if "listener" in named else 3)


def wait_for(count: Callable[[], int], wanted: int) -> None:
    """Wait until a count is what it should be."""
    until(lambda: count() == wanted, f"{wanted} of them")


def test_a_client_that_is_refused(start_qemu: StartQemu, named: set[str]) -> None:
    qemu = start_qemu()
    with contextlib.closing(connect(qemu)) as viewer:
        assert [vm.name for vm in list_vms(viewer)]
        hand_over(str(qemu.qmp_path)).close()  # it ends before it has said who it is

        def cut_off() -> bool:
            try:
                return not list_vms(viewer)
            except VmGoneError:
                return True

        if "refused client" in named:
            until(cut_off, "the viewer to be cut off")
        else:
            with pytest.raises(Timeout):
                until(cut_off, "nothing", timeout=1.0)
    assert qemu.status()["running"]


@pytest.mark.parametrize("device", ["VGA", "virtio-vga"])
def test_resets_while_a_viewer_is_connected(
    xvfb: Xvfb, start_qemu: StartQemu, start_viewer: StartViewer, tmp_path: Path, device: str
) -> None:
    """Without OpenGL; tests/lab has those with it."""
    want = pattern(640, 480)
    qemu = start_qemu(devices=[device], options=guests.splash(tmp_path, want))
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path)
    for _ in range(5):
        viewer.wait_shows(want, timeout=20.0)
        qemu.reset()
        qemu.qmp.wait_event("RESET")
    viewer.wait_shows(want, timeout=20.0)


def test_faults_are_known_by_version() -> None:
    names = {version: [fault.name for fault in known(version)] for version in VERSIONS}
    assert names == VERSIONS
    assert known("unknown") == []
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


VERSIONS = {
    "7.2.22": ["button", "refused client", "blob"],
    "9.2.4": ["button", "refused client", "blob"],
    "10.0.13": ["button", "listener", "refused client", "blob"],
    "10.1.0": ["button", "listener", "refused client"],
    "10.2.2": ["button", "listener", "refused client", "reset"],
    "11.0.50": [],
    "11.1.3": [],
}
