"""The control connection of the fake VM: properties, errors, input, signals, replacement."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading

import pytest

from glview.dbus.peer import PeerConnection
from glview.dbus.transport import PROPERTIES
from glview.errors import AuthError, CallError, NotDBusError, VmGoneError
from glview.testing.console import ConsoleOptions, UiInfo
from glview.testing.properties import CONSOLE, KEYBOARD, MOUSE, TOUCH, VM
from glview.testing.vm import FakeVm
from tests.support.bus import Bus
from tests.unit.testing.raw_client import RawListener, begin_listener, connected

CONSOLE_0 = "/org/qemu/Display1/Console_0"
INVALID = "org.qemu.Display1.Error.Invalid"

INPUT_CALLS: list[tuple[str, str, str, tuple[object, ...]]] = [
    (KEYBOARD, "Press", "u", (30,)),
    (KEYBOARD, "Release", "u", (30,)),
    (MOUSE, "Press", "u", (8,)),
    (MOUSE, "Release", "u", (8,)),
    (MOUSE, "SetAbsPosition", "uu", (639, 479)),
    (TOUCH, "SendEvent", "utdd", (0, 9, 1.5, 2.5)),
]


def test_the_vm_tells_what_qemu_tells() -> None:
    heads = (ConsoleOptions(head=0), ConsoleOptions(label="serial0", kind="Text", address=""))
    vm, sock = FakeVm.pair("guest", "11111111-2222-3333-4444-555555555555", heads)
    with vm, contextlib.closing(PeerConnection.over(sock)) as client:
        assert client.get_all("", "/org/qemu/Display1/VM", VM) == {
            "Name": "guest",
            "UUID": "11111111-2222-3333-4444-555555555555",
            "ConsoleIDs": [0, 1],
            "Interfaces": [],
        }
        assert client.get_all("", CONSOLE_0, CONSOLE) == {
            "Label": "VGA",
            "Head": 0,
            "Type": "Graphic",
            "Width": 640,
            "Height": 480,
            "DeviceAddress": "pci/0000/01.0",
            "Interfaces": [KEYBOARD, MOUSE, TOUCH],
        }
        text = client.get_all("", "/org/qemu/Display1/Console_1", CONSOLE)
        assert (text["Label"], text["Type"]) == ("serial0", "Text")
        assert client.get_all("", CONSOLE_0, KEYBOARD) == {"Modifiers": 0}
        assert client.get_all("", CONSOLE_0, MOUSE) == {"IsAbsolute": True}
        assert client.get_all("", CONSOLE_0, TOUCH) == {"MaxSlots": 10}


@pytest.mark.parametrize(("interface", "member", "signature", "args"), INPUT_CALLS)
def test_input_is_logged_as_it_came(
    interface: str, member: str, signature: str, args: tuple[object, ...]
) -> None:
    with connected() as (vm, client):
        client.call("", CONSOLE_0, interface, member, signature, args)
        (logged,) = vm.console().wait_input(1)
        assert logged.member == f"{interface.rpartition('.')[2]}.{member}"
        assert logged.args == args
        assert logged.error == ""


@pytest.mark.parametrize(
    ("absolute", "interface", "member", "signature", "args", "text"),
    [
        (True, MOUSE, "RelMotion", "ii", (1, -1), "Mouse is not relative"),
        (False, MOUSE, "SetAbsPosition", "uu", (1, 1), "Mouse is not absolute"),
        (True, MOUSE, "SetAbsPosition", "uu", (640, 1), "Invalid mouse position"),
        (True, MOUSE, "SetAbsPosition", "uu", (1, 480), "Invalid mouse position"),
        (True, TOUCH, "SendEvent", "utdd", (4, 0, 1.0, 1.0), "Invalid touch event kind"),
        (True, TOUCH, "SendEvent", "utdd", (0, 10, 1.0, 1.0), "Invalid touch event slot"),
    ],
)
def test_input_is_refused_as_by_qemu(
    absolute: bool,
    interface: str,
    member: str,
    signature: str,
    args: tuple[object, ...],
    text: str,
) -> None:
    with connected(ConsoleOptions(absolute=absolute)) as (vm, client):
        with pytest.raises(CallError) as refusal:
            client.call("", CONSOLE_0, interface, member, signature, args)
        assert (refusal.value.name, refusal.value.text) == (INVALID, text)
        assert vm.console().input_log[0].error == text


def test_relative_motion_on_a_mouse() -> None:
    with connected(ConsoleOptions(absolute=False)) as (vm, client):
        client.call("", CONSOLE_0, MOUSE, "RelMotion", "ii", (-5, 7))
        assert vm.console().wait_input(1)[0].args == (-5, 7)


def test_wrong_types_are_refused() -> None:
    with connected() as (vm, client):
        with pytest.raises(CallError, match="does not match expected type") as refusal:
            client.call("", CONSOLE_0, KEYBOARD, "Press", "s", ("a",))
        assert refusal.value.name == "org.freedesktop.DBus.Error.InvalidArgs"
        assert vm.console().input_log == []


def test_a_button_that_aborts_qemu_ends_the_vm() -> None:
    with connected() as (vm, client):
        with pytest.raises(VmGoneError):
            client.call("", CONSOLE_0, MOUSE, "Press", "u", (9,))
        assert vm.aborted == "mouse button 9 is out of range"
        assert vm.disconnected.wait(10)


def test_keys_held_are_known_and_lifted_when_a_listener_vanishes() -> None:
    with connected() as (vm, client):
        console = vm.console()
        raw = begin_listener(client, console)
        raw.register()
        console.wait_listener()
        for qnum in (30, 31):
            client.call("", CONSOLE_0, KEYBOARD, "Press", "u", (qnum,))
        client.call("", CONSOLE_0, KEYBOARD, "Release", "u", (31,))
        assert console.input.keys_down == {30}
        raw.sock.close()
        console.wait_until(lambda: not console.input.keys_down, "keys to be lifted")


# -- SetUIInfo and properties ------------------------------------------------------------


def test_ui_info_is_refused_by_std_vga() -> None:
    with connected() as (_, client):
        with pytest.raises(CallError, match="SetUIInfo is not supported") as refusal:
            client.call("", CONSOLE_0, CONSOLE, "SetUIInfo", "qqiiuu", (300, 200, 0, 0, 800, 600))
        assert refusal.value.name == "org.qemu.Display1.Error.Unsupported"


def test_ui_info_is_kept_once() -> None:
    with connected(ConsoleOptions(resizable=True)) as (vm, client):
        info = UiInfo(300, 200, -1, 2, 800, 600)
        for _ in range(2):
            client.call("", CONSOLE_0, CONSOLE, "SetUIInfo", "qqiiuu", tuple(info))
        assert vm.console().ui_info == [info]


def test_changes_are_signalled_once_each() -> None:
    with connected() as (vm, client):
        signals: queue.SimpleQueue[tuple[object, ...]] = queue.SimpleQueue()
        client.add_signal_handler(
            lambda signal: signals.put((signal.path, signal.interface, signal.member, *signal.body))
        )
        client.get_all("", CONSOLE_0, CONSOLE)  # the VM has adopted the connection
        console = vm.console()
        console.set_size(640, 480)  # nothing new, so nothing sent
        console.set_size(720, 480)
        console.set_absolute(False)
        console.set_modifiers(2)
        seen = [signals.get(timeout=10) for _ in range(3)]
        head = (CONSOLE_0, PROPERTIES, "PropertiesChanged")
        assert seen == [
            (*head, CONSOLE, {"Width": ("u", 720)}, []),
            (*head, MOUSE, {"IsAbsolute": ("b", False)}, []),
            (*head, KEYBOARD, {"Modifiers": ("u", 2)}, []),
        ]
        assert client.get_all("", CONSOLE_0, CONSOLE)["Width"] == 720


# -- RegisterListener --------------------------------------------------------------------


def test_register_without_a_descriptor() -> None:
    with (
        connected() as (_, client),
        pytest.raises(CallError, match="Unknown family") as refusal,
    ):
        client.call("", CONSOLE_0, CONSOLE, "RegisterListener", "h", (0,))
    assert refusal.value.name == "org.qemu.Display1.Error.Failed"


def test_register_with_a_pipe() -> None:
    reader, writer = os.pipe()
    try:
        with (
            connected() as (_, client),
            pytest.raises(CallError, match="Socket operation on non-socket") as refusal,
        ):
            client.call("", CONSOLE_0, CONSOLE, "RegisterListener", "h", (0,), (reader,))
        assert refusal.value.name == "org.qemu.Display1.Error.Failed"
    finally:
        os.close(reader)
        os.close(writer)


def test_main_loop_stands_still_until_the_listener_has_answered() -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        answered = threading.Event()

        def ask() -> None:
            client.get_all("", CONSOLE_0, CONSOLE)
            answered.set()

        with raw.sock:
            thread = threading.Thread(target=ask)
            thread.start()
            assert not answered.wait(0.1)
            raw.register()
            assert answered.wait(10)
            thread.join()


def test_two_listeners_on_one_console() -> None:
    with connected() as (vm, client), contextlib.ExitStack() as stack:
        for index in range(2):
            raw = begin_listener(client, vm.console())
            stack.enter_context(raw.sock)
            raw.register()
            vm.console().wait_listener(index)
        assert len(vm.console().output.listeners) == 2


# -- the life of connections -------------------------------------------------------------


def test_a_newer_client_replaces_the_older_whose_listener_lives_on() -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            raw.register()
            listener = vm.console().wait_listener()
            gone = threading.Event()
            client.on_closed(gone.set)
            ours, theirs = socket.socketpair()
            vm.serve(theirs)
            with contextlib.closing(PeerConnection.over(ours)) as second:
                assert second.get_all("", CONSOLE_0, CONSOLE)["Width"] == 640
                assert gone.wait(10)
                listener.disable()
                raw.expect("Disable")
            assert vm.disconnected.wait(10)
            listener.disable()
            raw.expect("Disable")


def test_a_client_that_cannot_authenticate_is_hung_up_on() -> None:
    vm, sock = FakeVm.pair()
    with vm, sock:
        sock.sendall(b"\0BEGIN\r\n")
        assert vm.disconnected.wait(10)
        assert isinstance(vm.failure, AuthError)
        assert sock.recv(1000) == b""


def test_the_end_of_the_vm_ends_every_socket() -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        raw.register()
        listener = vm.console().wait_listener()
        unauthenticated = begin_listener(client, vm.console())
        gone = threading.Event()
        client.on_closed(gone.set)
        vm.close()
        assert gone.wait(10)
        assert raw.next() is None
        assert unauthenticated.sock.recv(100) == b""
        assert listener.closed.wait(10)
        raw.sock.close()
        unauthenticated.sock.close()


def test_closing_a_vm_that_nobody_authenticated_with() -> None:
    vm, sock = FakeVm.pair()
    with sock:
        vm.close()
        assert sock.recv(10) == b""
        assert vm.disconnected.wait(10)
        assert isinstance(vm.failure, NotDBusError)


# -- on a bus ----------------------------------------------------------------------------


def test_vms_queue_for_the_name(bus: Bus) -> None:
    with FakeVm("one") as one, FakeVm("two") as two:
        assert one.join_bus(bus.address)
        assert not two.join_bus(bus.address)
        with contextlib.closing(PeerConnection.to_bus(bus.address)) as client:
            (owners,) = client.call(
                "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                "ListQueuedOwners", "s", ("org.qemu",),
            )  # fmt: skip
            names = [client.get_all(owner, "/org/qemu/Display1/VM", VM)["Name"] for owner in owners]
            assert names == ["one", "two"]


def test_a_vm_on_a_bus_takes_listeners_and_signals(bus: Bus) -> None:
    with FakeVm() as vm, contextlib.closing(PeerConnection.to_bus(bus.address)) as client:
        vm.join_bus(bus.address)
        signals: queue.SimpleQueue[object] = queue.SimpleQueue()
        client.add_signal_handler(
            lambda signal: signals.put(signal.body) if signal.path == CONSOLE_0 else None
        )
        client.add_match("type='signal',path_namespace='/org/qemu/Display1'")
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                client.call(
                    "org.qemu", CONSOLE_0, CONSOLE, "RegisterListener", "h", (0,),
                    (theirs.fileno(),),
                )  # fmt: skip
            RawListener(ours).register()
            vm.console().wait_listener()
            vm.console().set_size(800, 600)
            assert signals.get(timeout=10) == (
                CONSOLE,
                {"Width": ("u", 800), "Height": ("u", 600)},
                [],
            )
