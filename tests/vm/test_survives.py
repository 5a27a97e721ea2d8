"""A viewer that waits outlasts whatever waiting can mend; one that fails at once does not hurry."""

from __future__ import annotations

import itertools
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from glview.dbus.peer import BUS_NAME, BUS_PATH, PeerConnection
from glview.dbus.wire import SIGNAL, Message, encode
from glview.errors import CallError, GlviewError
from glview.testing import FakeVm
from glview.testing.listener import FakeListener
from tests.support import guests
from tests.support.bus import Bus
from tests.support.notices import dimmed
from tests.support.qemu import Qemu, on_bus
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

StartQemu = Callable[..., Qemu]
StartViewer = Callable[..., Viewer]

PICTURE = pattern(1024, 768)
STANDSTILL = 13.0  # seconds: longer than any call of glview's waits


@pytest.fixture
def vm_on(tmp_path: Path) -> Iterator[Callable[[str, Bus], Qemu]]:
    """A function that starts the VM of that name on a bus, in a folder that is the name's own."""
    with ExitStack() as stack:

        def start(name: str, bus: Bus) -> Qemu:
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            options = guests.splash(folder, PICTURE)
            made = Qemu(folder, display=on_bus(bus.address), options=options, name=name)
            return stack.enter_context(made)

        yield start


VmOn = Callable[[str, Bus], Qemu]


def wait_for_line(viewer: Viewer, text: str) -> None:
    until(lambda: text in viewer.output, f"'{text}' in\n{viewer.output}")


def test_a_bus_that_stands_still(
    bus: Bus, vm_on: VmOn, start_viewer: StartViewer, xvfb: Xvfb, own_xvfb: Xvfb
) -> None:
    """One viewer waits for its first VM, another's window for the VM to come back."""
    vm = vm_on("phoenix", bus)
    window = start_viewer(own_xvfb, "--address", bus.address)
    window.wait_shows(PICTURE)
    vm.kill()
    until(lambda: dimmed(window, PICTURE), "the last picture, dimmed")
    waiting = start_viewer(xvfb, "--address", bus.address, "--wait", "-v", "later")
    wait_for_line(waiting, "waiting for the VM")
    with bus.paused():
        time.sleep(STANDSTILL)
    vm_on("later", bus)
    vm_on("phoenix", bus)
    waiting.wait_shows(PICTURE, timeout=20)
    window.wait_shows(PICTURE, timeout=20)


def test_a_bus_that_stands_still_as_the_viewer_comes(
    bus: Bus, vm_on: VmOn, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    with bus.paused():
        viewer = start_viewer(xvfb, "--address", bus.address, "--wait", "-v")
        time.sleep(STANDSTILL)
    assert viewer.alive
    assert "no answer to D-Bus authentication" in viewer.output
    vm_on("later", bus)
    viewer.wait_shows(PICTURE, timeout=20)


def test_a_bus_that_is_restarted_or_comes_late(
    tmp_path: Path, vm_on: VmOn, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """No bus at the start, one that goes while a VM is waited for, one that goes before its VM."""
    folder = tmp_path / "late"
    folder.mkdir()
    address = f"unix:path={folder}/bus.sock"
    early = start_viewer(xvfb, "--address", address, "--wait", "-v")
    wait_for_line(early, "no such file")
    with Bus(folder) as first:
        time.sleep(1.0)
        first.kill()
    (folder / "bus.sock").unlink(missing_ok=True)
    with Bus(folder) as second:
        vm = vm_on("phoenix", second)
        early.wait_shows(PICTURE, timeout=20)
        second.kill()
        wait_for_line(early, "the message bus has gone")
        vm.kill()
        until(lambda: dimmed(early, PICTURE), "the last picture, dimmed")
    (folder / "bus.sock").unlink(missing_ok=True)
    with Bus(folder) as third:
        vm_on("phoenix", third)
        early.wait_shows(PICTURE, timeout=20)
        early.signal(signal.SIGTERM)
        assert early.wait() == 0


def name_of(client: PeerConnection, process: int) -> str:
    """The unique name that a process has on the bus."""

    def look() -> str | None:
        (names,) = client.call(BUS_NAME, BUS_PATH, BUS_NAME, "ListNames")
        for name in names:
            with suppress(CallError):
                ask = "GetConnectionUnixProcessID"
                if client.call(BUS_NAME, BUS_PATH, BUS_NAME, ask, "s", (name,)) == (process,):
                    return str(name)
        return None

    return until(look, "the process on the bus")


def signals(destination: str) -> bytes:
    """Many signals to one client, such as nobody has asked for."""
    message = Message(
        SIGNAL, 1, path="/x", interface="x.Y", member="Z", destination=destination,
        signature="sas", body=("x" * 100, ["y"] * 10),
    )  # fmt: skip
    return encode(message) * 500


@contextmanager
def flooded(bus: Bus, viewer: Viewer) -> Iterator[None]:
    """Send signals to a viewer as fast as the bus takes them; clients come and go besides."""
    stop = threading.Event()

    def flood() -> None:
        client = PeerConnection.to_bus(bus.address)
        data = signals(name_of(client, viewer.pid))
        while not stop.is_set():
            client._sock.sendall(data)
        client.close()

    def come_and_go() -> None:
        while not stop.is_set():
            with suppress(GlviewError):
                PeerConnection.to_bus(bus.address).close()

    threads = [threading.Thread(target=what) for what in (flood, flood, come_and_go)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.alone  # it leaves others little of the CPU
def test_a_flooded_bus(bus: Bus, vm_on: VmOn, start_viewer: StartViewer, xvfb: Xvfb) -> None:
    viewer = start_viewer(xvfb, "--address", bus.address, "--wait", "-v")
    wait_for_line(viewer, "waiting for the VM")
    with flooded(bus, viewer):
        time.sleep(STANDSTILL)
        assert viewer.alive, viewer.output
        assert viewer.rss < 200 << 20
        vm_on("phoenix", bus)
        viewer.wait_shows(PICTURE, timeout=40)


def test_a_qmp_socket_that_is_busy_and_then_free(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """Another client has it, which is said; it leaves, and the picture comes."""
    qemu = start_qemu(options=guests.splash(tmp_path, PICTURE))
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(qemu.qmp_path))
        assert other.recv(4096)
        viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, "--wait")
        wait_for_line(viewer, "another QMP client may be connected")
    viewer.wait_shows(PICTURE, timeout=20)


@pytest.mark.parametrize("speech", [b"QEMU 7.2 monitor\r\n", b"[]\r\n"])
def test_what_waiting_does_not_mend_ends_it(
    start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path, speech: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "qmp"))
        server.listen()
        viewer = start_viewer(xvfb, "--qmp", tmp_path / "qmp", "--wait")
        client, _ = server.accept()
        with client:
            client.sendall(speech)
            assert viewer.wait() == 12
    assert "does not speak QMP" in viewer.output


def test_a_vm_that_stands_still_while_the_viewer_comes_keeps_its_picture(
    bus: Bus, vm_on: VmOn, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """The listener is registered once, and input comes when the VM goes on."""
    with FakeVm() as vm:
        vm.join_bus(bus.address)
        console = vm.console()
        viewer = start_viewer(xvfb, "--address", bus.address)
        console.wait_listener()
        with vm.main_loop:
            time.sleep(STANDSTILL)
        assert viewer.alive
        assert len(console._begun) == 1


def end_at_once(vm: FakeVm, stop: threading.Event) -> None:
    """End each listener as soon as it is registered."""
    for number in itertools.count():
        while not stop.is_set():
            try:
                vm.console().wait_listener(number, timeout=0.1).close()
                break
            except TimeoutError:
                continue
        else:
            return


@pytest.mark.alone
def test_a_listener_that_ends_at_once_is_registered_more_and_more_seldom(
    bus: Bus, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """Each registration stops the VM for a moment, and QEMU 10.0 to 10.2 never forget one."""
    stop = threading.Event()
    with FakeVm() as vm:
        vm.join_bus(bus.address)
        ender = threading.Thread(target=end_at_once, args=(vm, stop))
        ender.start()
        try:
            viewer = start_viewer(xvfb, "--address", bus.address)
            console = vm.console()
            until(lambda: len(console._begun) >= 4, "four registrations", 20.0)
            before, cpu, began = len(console._begun), viewer.cpu, time.monotonic()
            time.sleep(6.0)
            per_second = (len(console._begun) - before) / (time.monotonic() - began)
            assert per_second < 1.0
            assert (viewer.cpu - cpu) / (time.monotonic() - began) < 0.25
            assert viewer.alive
        finally:
            stop.set()
            ender.join(10)


def test_a_message_too_large_ends_with_its_reason(
    bus: Bus, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    with FakeVm() as vm:
        vm.join_bus(bus.address)
        viewer = start_viewer(xvfb, "--address", bus.address)
        listener: FakeListener = vm.console().wait_listener()
        header = b"l\1\1\1" + (0x7000_0000).to_bytes(4, "little") + b"\1\0\0\0" + b"\0\0\0\0"
        listener._sock.sendall(header)
        assert viewer.wait() == 16
    assert "a message of 1879048208 bytes" in viewer.output
