"""A VM behind a socket that ssh forwards can be listed, but not shown: said in words, once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from glview.dbus.peer import PeerConnection
from glview.errors import NoDescriptorsError, VmGoneError
from glview.qemu import forwarded
from glview.qemu.qmp import describe, hand_over
from tests.support.bus import Bus
from tests.support.qemu import Qemu, on_bus
from tests.support.relay import Relay, join
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

StartViewer = Callable[..., Viewer]


def complains(viewer: Viewer) -> None:
    """Wait for the end, which names the reason and the way out on one line."""
    assert viewer.wait(20) == NoDescriptorsError.exit_code
    (line,) = (line for line in viewer.output.splitlines() if line.startswith("glview: the"))
    assert "passes no descriptors" in line
    assert "ssh -L" in line
    assert "qemu-vnc" in line


@pytest.mark.parametrize("options", [(), ("--wait",), ("--no-reconnect",)])
def test_a_bus(
    xvfb: Xvfb,
    bus: Bus,
    start_qemu: Callable[..., Qemu],
    start_viewer: StartViewer,
    tmp_path: Path,
    options: tuple[str, ...],
) -> None:
    """No attempt follows, whatever was asked for: none could do better."""
    qemu = start_qemu(display=on_bus(bus.address), name="far")
    with Relay(tmp_path / "forwarded", bus.socket) as relay:
        complains(start_viewer(xvfb, "--address", f"unix:path={relay.path}", *options))
    near = start_viewer(xvfb, "--address", bus.address, *options)
    assert near.window()
    assert qemu.alive


def test_a_qmp_socket(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], start_viewer: StartViewer, tmp_path: Path
) -> None:
    qemu = start_qemu(name="far")
    with Relay(tmp_path / "forwarded", qemu.qmp_path) as relay:
        complains(start_viewer(xvfb, "--qmp", relay.path, "--wait"))
        assert describe(str(relay.path)).name == "far"


def test_a_display_of_one_s_own(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], start_viewer: StartViewer
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, hand_over(str(start_qemu().qmp_path)) as display:
        join(theirs, display)
        complains(start_viewer(xvfb, "--fd", str(ours.fileno()), pass_fds=(ours.fileno(),)))


def test_a_bus_that_has_gone_is_no_forwarded_one(bus: Bus) -> None:
    """The other reason for which it hangs up."""
    gone = VmGoneError("the D-Bus connection was closed")
    assert forwarded.cause(gone, lambda: PeerConnection.to_bus(bus.address)) is gone
    bus.kill()
    assert forwarded.cause(gone, lambda: PeerConnection.to_bus(bus.address)) is gone
    assert forwarded.cause(gone, None) is gone
