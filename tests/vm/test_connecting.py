"""Finding real VMs on a real bus, and reaching one peer to peer through QMP."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glview.dbus.bus import BusConnection
from glview.dbus.peer import PeerConnection
from glview.errors import AmbiguousVmError, CallError, NoVmError, QmpError
from glview.qemu.discovery import Vm, choose_vm, format_list, list_vms, wait_for_vm
from glview.qemu.display import Console
from glview.qemu.qmp import hand_over
from tests.support.bus import Bus
from tests.support.qemu import Qemu, on_bus
from tests.support.qmp import Qmp
from tests.support.wait import until

UUID = "12345678-9abc-def0-1234-56789abcdef0"
OTHER_UUID = "12345678-ffff-def0-1234-56789abcdef0"

Start = Callable[..., Qemu]


@pytest.fixture
def connection(bus: Bus) -> Iterator[BusConnection]:
    """A connection to `bus`."""
    made = BusConnection.connect(bus.address)
    yield made
    made.close()


@pytest.fixture
def on(start_qemu: Start, bus: Bus) -> Start:
    """A function that starts a VM of that name and UUID on `bus`, and waits until it is there."""

    def start(name: str, uuid: str = "", devices: tuple[str, ...] = ("VGA",)) -> Qemu:
        options = ["-uuid", uuid] if uuid else []
        qemu = start_qemu(display=on_bus(bus.address), name=name, options=options, devices=devices)
        wait_until_there(bus, qemu)
        return qemu

    return start


def wait_until_there(bus: Bus, qemu: Qemu) -> None:
    """QEMU takes its name on the bus a moment after QMP is up."""
    observer = BusConnection.connect(bus.address)
    until(lambda: qemu.pid in [vm.pid for vm in list_vms(observer)], "QEMU on the bus")
    observer.close()


def names(vms: list[Vm]) -> list[str]:
    """Their names, in order."""
    return [vm.name for vm in vms]


def test_no_vm(connection: BusConnection) -> None:
    assert list_vms(connection) == []
    with pytest.raises(NoVmError):
        choose_vm([])


def test_one_vm_with_two_consoles(connection: BusConnection, on: Start) -> None:
    qemu = on("deb", UUID, ("virtio-vga,max_outputs=2",))
    (vm,) = list_vms(connection)
    assert (vm.name, vm.uuid, vm.pid) == ("deb", UUID, qemu.pid)
    assert [(c.id, c.label, c.type) for c in vm.consoles] == [
        (0, "virtio-vga.0", "Graphic"),
        (1, "virtio-vga.1", "Graphic"),
    ]
    assert vm.owner.startswith(":")
    assert f"{qemu.pid}" in format_list([vm])


def test_two_vms(connection: BusConnection, on: Start) -> None:
    on("first", UUID)
    on("second", OTHER_UUID)
    vms = list_vms(connection)
    assert names(vms) == ["first", "second"]
    assert choose_vm(vms, "second").uuid == OTHER_UUID
    assert choose_vm(vms, "12345678-9").name == "first"
    with pytest.raises(AmbiguousVmError, match=f"{UUID}.*{OTHER_UUID}"):
        choose_vm(vms)
    with pytest.raises(AmbiguousVmError):
        choose_vm(vms, "12345678")


def test_a_nameless_vm_is_chosen_by_its_bus_name(connection: BusConnection, on: Start) -> None:
    on("")
    on("")
    vms = list_vms(connection)
    assert [vm.uuid for vm in vms] == ["", ""]
    assert vms[0].name.startswith("QEMU")
    assert choose_vm(vms, vms[1].owner) is vms[1]


def test_a_stopped_vm_does_not_hold_up_the_list(connection: BusConnection, on: Start) -> None:
    stopped, running = on("stopped"), on("running")
    with stopped.paused():
        began = time.monotonic()
        vms = list_vms(connection, timeout=0.3)
        assert time.monotonic() - began < 1.5
        assert [vm.pid for vm in vms] == [stopped.pid, running.pid]
        assert [vm.answering for vm in vms] == [False, True]
        assert "not answering" in format_list(vms)
        assert choose_vm(vms).name == "running"
    assert names(list_vms(connection)) == ["stopped", "running"]


def test_a_vm_that_ends_leaves_the_list(connection: BusConnection, on: Start) -> None:
    on("first").quit()
    on("second")
    assert names(list_vms(connection)) == ["second"]


class Waiter(threading.Thread):
    """Waits for a VM; `found` is what came of it."""

    def __init__(self, connection: BusConnection, wanted: str | None) -> None:
        super().__init__()
        self.found: Vm | None = None
        self._args = (connection, wanted, time.monotonic() + 20, threading.Event())
        self.start()

    def run(self) -> None:
        self.found = wait_for_vm(*self._args)


def test_wait_for_the_first_vm(connection: BusConnection, on: Start) -> None:
    waiter = Waiter(connection, None)
    on("first")
    waiter.join(5)
    assert waiter.found is not None
    assert waiter.found.name == "first"


def test_wait_for_a_vm_behind_another(connection: BusConnection, on: Start) -> None:
    on("first")
    waiter = Waiter(connection, "second")
    on("second")
    began = time.monotonic()
    waiter.join(10)
    assert waiter.found is not None
    assert waiter.found.name == "second"
    assert time.monotonic() - began < 2.0, "found by the slow look only"


def test_wait_again_after_a_vm_was_restarted(connection: BusConnection, on: Start) -> None:
    qemu = on("deb", UUID)
    before = list_vms(connection)
    qemu.kill()
    waiter = Waiter(connection, UUID)
    on("deb", UUID)
    waiter.join(10)
    assert waiter.found is not None
    assert waiter.found.uuid == UUID
    assert waiter.found.owner != before[0].owner


def test_console_on_a_bus(connection: BusConnection, on: Start) -> None:
    on("deb")
    (vm,) = list_vms(connection)
    console = Console(connection, vm.owner, 0)
    assert console.properties()["Label"] == "VGA"
    assert not console.set_ui_info(800, 600), "std VGA cannot be told a size"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        console.register_listener(theirs.fileno())
        theirs.close()
        ours.settimeout(5)
        ours.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        assert ours.recv(6) == b"DATA\r\n", "QEMU has the other end and authenticates on it"


def test_virtio_can_be_asked_for_a_size(connection: BusConnection, on: Start) -> None:
    on("deb", devices=("virtio-vga",))
    (vm,) = list_vms(connection)
    assert Console(connection, vm.owner, 0).set_ui_info(1234, 700, 300, 200)


def test_the_picture_s_size_is_watched(connection: BusConnection, on: Start) -> None:
    """SeaBIOS goes from 640x480 to text of 720x400 once somebody looks."""
    on("deb")
    (vm,) = list_vms(connection)
    sizes: list[dict[str, object]] = []
    changed = threading.Event()

    def handler(changes: dict[str, object]) -> None:
        sizes.append(changes)
        changed.set()

    console = Console(connection, vm.owner, 0)
    console.watch(handler)
    ours, theirs = socket.socketpair()
    console.register_listener(theirs.fileno())
    theirs.close()
    peer = PeerConnection.over(ours)  # answers nothing of a listener, which QEMU bears
    assert changed.wait(10)
    assert sizes[0] == {"Width": 720, "Height": 400}
    peer.close()


def test_qmp_hand_over_gives_a_display(start_qemu: Start) -> None:
    qemu = start_qemu(name="deb")
    peer = PeerConnection.over(hand_over(str(qemu.qmp_path)))
    (vm,) = list_vms(peer)
    assert (vm.name, vm.owner) == ("deb", "")
    assert Console(peer, "", 0).properties()["Label"] == "VGA"
    again = Qmp(qemu.qmp_path)  # QMP is free for the next client, and still works
    assert again("query-name") == {"name": "deb"}
    again.close()
    peer.close()


def test_qmp_with_another_client_connected(start_qemu: Start) -> None:
    qemu = start_qemu()
    other = Qmp(qemu.qmp_path)
    with pytest.raises(QmpError, match=r"no QMP greeting.*another QMP client.*-qmp unix:PATH"):
        hand_over(str(qemu.qmp_path), timeout=0.5)
    other.close()
    hand_over(str(qemu.qmp_path)).close()


def test_qmp_of_a_vm_without_such_a_display(start_qemu: Start) -> None:
    qemu = start_qemu(display="none")
    with pytest.raises(QmpError, match=r"D-Bus display is not in use.*-display dbus,p2p=yes"):
        hand_over(str(qemu.qmp_path))
    Qmp(qemu.qmp_path).close()


def test_qmp_of_a_vm_on_a_bus(start_qemu: Start, bus: Bus) -> None:
    qemu = start_qemu(display=on_bus(bus.address))
    with pytest.raises(QmpError, match="QEMU refuses"):
        hand_over(str(qemu.qmp_path))


def test_qmp_of_a_stopped_vm(start_qemu: Start) -> None:
    qemu = start_qemu()
    with qemu.paused(), pytest.raises(QmpError, match=r"no QMP greeting.*QEMU is stopped"):
        hand_over(str(qemu.qmp_path), timeout=0.3)


def test_hand_over_leaves_no_descriptor_in_either_process(start_qemu: Start) -> None:
    qemu = start_qemu()

    def once() -> None:
        peer = PeerConnection.over(hand_over(str(qemu.qmp_path)))
        list_vms(peer)
        peer.close()
        qemu.status()  # QEMU's main loop went round

    once()
    ours, theirs = len(os.listdir("/proc/self/fd")), len(qemu.fds())
    for _ in range(10):
        once()
    until(lambda: len(os.listdir("/proc/self/fd")) <= ours, "our descriptors to be closed")
    until(lambda: len(qemu.fds()) <= theirs, "QEMU's descriptors to be closed")


def test_a_vm_refuses_an_unknown_console(connection: BusConnection, on: Start) -> None:
    on("deb")
    (vm,) = list_vms(connection)
    with pytest.raises(CallError):
        Console(connection, vm.owner, 7).properties()


def test_libvirt_like_addresses(bus: Bus, on: Start, tmp_path: Path) -> None:
    """A socket path that needs escapes, after an address that leads nowhere."""
    odd = tmp_path / "a b,c;d"
    odd.mkdir()
    (odd / "bus").symlink_to(bus.socket)
    on("deb")
    escaped = str(odd / "bus").replace(" ", "%20").replace(",", "%2c").replace(";", "%3b")
    connection = BusConnection.connect(f"unix:abstract=/nobody/here;unix:path={escaped}")
    assert names(list_vms(connection)) == ["deb"]
    connection.close()
