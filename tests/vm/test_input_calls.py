"""Input calls as real QEMU takes them, by its own trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from glview.dbus.peer import PeerConnection
from glview.errors import CallError
from glview.qemu.input import MOUSE, InputCalls
from glview.qemu.qmp import hand_over
from tests.support.bus import Bus
from tests.support.qemu import P2P, Qemu, on_bus
from tests.support.wait import until

CONSOLE = "/org/qemu/Display1/Console_0"
BUTTONS = ("left", "middle", "right", "wheel-up", "wheel-down", "side", "extra")
WHEEL_SIDEWAYS = ("wheel-left", "wheel-right")


class Rig:
    """A VM with a PS/2 mouse and a tablet, and a connection to its input."""

    def __init__(self, qemu: Qemu, connection: PeerConnection, destination: str) -> None:
        self.qemu = qemu
        self.connection = connection
        self.destination = destination
        self.calls = InputCalls(connection, CONSOLE, destination)

    @property
    def absolute(self) -> bool:
        """`Mouse.IsAbsolute` as QEMU has it now."""
        found = self.connection.get_all(self.destination, CONSOLE, MOUSE)
        return bool(found["IsAbsolute"])

    def settle(self) -> None:
        """Return when QEMU has handled everything that was sent: calls are served in order."""
        assert self.absolute in (True, False)

    def use(self, mouse: str) -> None:
        """Make the first mouse of QEMU's with that word in its name the active one."""
        lines = self.qemu.hmp("info mice").splitlines()
        (line,) = (line for line in lines if mouse in line)
        self.qemu.hmp(f"mouse_set {line.partition('#')[2].partition(':')[0]}")

    def events(self, kind: str) -> list[str]:
        """What the trace says of events of that kind, without `input_event_KIND con 0, `."""
        self.settle()
        lines = self.qemu.trace(f"^input_event_{kind} ")
        return [line.partition(", ")[2] for line in lines]


@pytest.fixture(params=["p2p", "bus"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    trace = ["input_event_*"]
    devices = ["VGA", "virtio-tablet-pci"]
    if request.param == "p2p":
        with Qemu(tmp_path, display=P2P, devices=devices, trace=trace) as qemu:
            connection = PeerConnection.over(hand_over(str(qemu.qmp_path)))
            yield Rig(qemu, connection, "")
            connection.close()
        return
    with (
        Bus(tmp_path) as bus,
        Qemu(tmp_path, display=on_bus(bus.address), devices=devices, trace=trace) as qemu,
    ):
        connection = PeerConnection.to_bus(bus.address)
        name = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")

        def owners() -> list[str]:
            try:
                return list(connection.call(*name, "ListQueuedOwners", "s", ("org.qemu",))[0])
            except CallError:  # nobody has had that name yet
                return []

        (owner,) = until(owners, "QEMU on the bus")
        yield Rig(qemu, connection, owner)
        connection.close()


def test_keys(rig: Rig) -> None:
    rig.calls.press_key(0x1E)
    rig.calls.repeat_key(0x1E)
    rig.calls.repeat_key(0x1E)
    rig.calls.release_key(0x1E)
    rig.calls.press_key(0x9C)
    rig.calls.release_key(0x9C)
    assert rig.events("key_qcode") == [
        "key qcode a, down 1",
        "key qcode a, down 1",
        "key qcode a, down 1",
        "key qcode a, down 0",
        "key qcode kp_enter, down 1",
        "key qcode kp_enter, down 0",
    ]


def test_every_button(rig: Rig) -> None:
    for button in range(9):
        rig.calls.press_button(button)
        rig.calls.release_button(button)
    assert rig.events("btn") == [
        f"button {name}, down {down}" for name in BUTTONS + WHEEL_SIDEWAYS for down in (1, 0)
    ]
    rig.qemu.check_alive()


def test_relative_motion(rig: Rig) -> None:
    rig.use("PS/2")
    assert not rig.absolute
    for _ in range(7):
        rig.calls.rel_motion(1, -2)
    rig.calls.press_button(0)
    rig.calls.rel_motion(-300, 5)
    rig.calls.flush()
    assert rig.events("rel") == [
        "axis x, value 7",
        "axis y, value -14",
        "axis x, value -300",
        "axis y, value 5",
    ]


def test_absolute_motion(rig: Rig) -> None:
    rig.use("Tablet")
    assert rig.absolute
    for position in ((0, 0), (320, 240), (639, 479)):
        rig.calls.abs_position(*position)
        rig.calls.flush()
    # QEMU scales the console, 640x480 here, to 0x7fff
    values = [int(line.rpartition("0x")[2], 16) for line in rig.events("abs")]
    assert values == [
        *(0, 0),
        *(320 * 0x7FFF // 640, 240 * 0x7FFF // 480),
        *(639 * 0x7FFF // 640, 479 * 0x7FFF // 480),
    ]


def test_nothing_is_lost_while_qemu_stands_still(rig: Rig) -> None:
    """More than fits a socket: motion is added up, the click comes at its place."""
    rig.use("PS/2")
    with rig.qemu.paused():
        for _ in range(5000):
            rig.calls.rel_motion(1, -2)
            rig.calls.flush()
        rig.calls.press_button(0)
        rig.calls.rel_motion(10_000, 0)
        rig.calls.release_button(0)
    if not rig.connection.is_bus:  # a bus takes and keeps all of it
        assert len(rig.events("rel")) < 2 * 1000
    rig.settle()
    told = [line.partition(", ")[2] for line in rig.qemu.trace("^input_event_(rel|btn) ")]
    before, after = _split(told, "button left, down 1")
    assert (_sum(before, "x"), _sum(before, "y")) == (5000, -10_000)
    assert after == ["axis x, value 10000", "axis y, value 0", "button left, down 0"]


def _split(lines: list[str], line: str) -> tuple[list[str], list[str]]:
    at = lines.index(line)
    return lines[:at], lines[at + 1 :]


def _sum(lines: list[str], axis: str) -> int:
    start = f"axis {axis}, value "
    return sum(int(line.removeprefix(start)) for line in lines if line.startswith(start))
