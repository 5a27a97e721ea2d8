"""Our own connection against a real dbus-daemon and a real QEMU."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from glview.dbus import address, sasl
from glview.dbus.exports import Answer
from glview.dbus.peer import BUS_NAME, BUS_PATH, PeerConnection
from glview.dbus.stream import read_message
from glview.dbus.wire import CALL, NO_REPLY_EXPECTED, RETURN, Message, Variant, encode
from glview.errors import CallError, ConnectError, VmGoneError
from glview.qemu.qmp import hand_over
from tests.support.bus import Bus
from tests.support.qemu import Qemu
from tests.support.wait import until

PATH = "/org/glview/Test"
IFACE = "org.glview.Test"
VM = ("/org/qemu/Display1/VM", "org.qemu.Display1.VM")
CONSOLE = "/org/qemu/Display1/Console_0"
LISTENER = "org.qemu.Display1.Listener"


def wait_closed(connection: PeerConnection) -> None:
    """Return when the connection's end is complete."""
    done = threading.Event()
    connection.on_closed(done.set)
    assert done.wait(5)


# -- the bus -----------------------------------------------------------------------------


@pytest.fixture
def client(bus: Bus, no_fd_leak: None) -> Iterator[PeerConnection]:
    connection = PeerConnection.to_bus(bus.address)
    yield connection
    connection.close()
    wait_closed(connection)


@pytest.fixture
def other(bus: Bus, no_fd_leak: None) -> Iterator[PeerConnection]:
    """A second client, with an object that others can call."""
    connection = PeerConnection.to_bus(bus.address)
    connection.export(PATH, IFACE, {"Name": Variant("s", "x")}, {"Read": _read})
    yield connection
    connection.close()
    wait_closed(connection)


def _read(message: Message) -> Answer:
    """Read all that comes out of the descriptors."""
    texts = []
    for index in message.body[0]:
        with open(message.take_fd(index), encoding="ascii") as file:
            texts.append(file.read())
    return "as", (texts,)


def ask_bus(connection: PeerConnection, member: str, *arguments: str) -> object:
    """Call a method of the bus itself that returns one value."""
    signature = "s" * len(arguments)
    (value,) = connection.call(BUS_NAME, BUS_PATH, BUS_NAME, member, signature, arguments)
    return value


def test_hello_gives_a_name(client: PeerConnection, other: PeerConnection) -> None:
    assert client.is_bus
    assert client.unique_name != other.unique_name
    names = ask_bus(client, "ListNames")
    assert isinstance(names, list)
    assert {BUS_NAME, client.unique_name, other.unique_name} <= set(names)


def test_the_bus_answers_with_an_error(client: PeerConnection) -> None:
    with pytest.raises(CallError, match="no such name") as caught:
        ask_bus(client, "GetNameOwner", "org.qemu")
    assert caught.value.name == "org.freedesktop.DBus.Error.NameHasNoOwner"


def test_clients_call_each_other(client: PeerConnection, other: PeerConnection) -> None:
    assert client.get_all(other.unique_name, PATH, IFACE) == {"Name": "x"}
    with pytest.raises(CallError, match="UnknownMethod"):
        client.call(other.unique_name, PATH, IFACE, "Nothing")


@pytest.mark.parametrize("count", [1, 16])  # the most a bus lets pass if not told otherwise
def test_descriptors_pass_the_bus(
    client: PeerConnection, other: PeerConnection, tmp_path: Path, count: int
) -> None:
    (tmp_path / "file").write_text("content")
    fds = tuple(os.open(tmp_path / "file", os.O_RDONLY) for _ in range(count))
    body = (list(range(count)),)
    try:
        (texts,) = client.call(other.unique_name, PATH, IFACE, "Read", "ah", body, fds)
    finally:
        for fd in fds:
            os.close(fd)
    # one file, one position: the first reader gets it all
    assert texts == ["content"] * count


def test_concurrent_calls(client: PeerConnection) -> None:
    def run(_: int) -> bool:
        owner = client.unique_name
        return all(ask_bus(client, "GetNameOwner", owner) == owner for _ in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(8)))


def test_signals_need_a_match(bus: Bus, client: PeerConnection) -> None:
    seen: list[str] = []
    arrived = threading.Event()

    def handler(message: Message) -> None:
        seen.append(message.member)
        if message.member == "NameOwnerChanged":
            arrived.set()

    client.add_signal_handler(handler)
    client.add_match(f"type='signal',sender='{BUS_NAME}',member='NameOwnerChanged'")
    late = PeerConnection.to_bus(bus.address)
    assert arrived.wait(5)
    late.close()
    wait_closed(late)


def test_the_bus_understands_our_big_endian(bus: Bus) -> None:
    with address.connect(bus.address) as sock:
        sasl.authenticate(sock)
        hello = Message(CALL, 1, 0, BUS_PATH, BUS_NAME, "Hello", destination=BUS_NAME)
        sock.sendall(encode(hello, big_endian=True))
        name = Message(
            CALL, 2, 0, BUS_PATH, BUS_NAME, "NameHasOwner", destination=BUS_NAME,
            signature="s", body=(BUS_NAME,),
        )  # fmt: skip
        sock.sendall(encode(name, big_endian=True))
        answers: list[Message] = []
        while len(answers) < 2:
            message = read_message(sock)
            assert message is not None
            if message.type == RETURN:
                answers.append(message)
    assert answers[0].body[0].startswith(":1.")
    assert answers[1].body == (True,)


def test_a_dead_bus(bus: Bus, client: PeerConnection) -> None:
    bus.kill()
    wait_closed(client)
    with pytest.raises(VmGoneError):
        ask_bus(client, "ListNames")
    with pytest.raises(ConnectError, match="nobody listens there"):
        PeerConnection.to_bus(bus.address)


# -- QEMU, peer to peer ------------------------------------------------------------------


@pytest.fixture
def qemu(start_qemu: Callable[..., Qemu]) -> Qemu:
    return start_qemu()


@pytest.fixture
def direct(qemu: Qemu, no_fd_leak: None) -> Iterator[PeerConnection]:
    """A connection straight to QEMU."""
    connection = PeerConnection.over(hand_over(str(qemu.qmp_path)))
    yield connection
    connection.close()
    wait_closed(connection)


def test_qemu_answers(direct: PeerConnection) -> None:
    found = direct.get_all("", *VM)
    assert found["ConsoleIDs"] == [0]
    assert found["Name"].startswith("QEMU ")
    assert not direct.is_bus


def test_qemu_refuses(direct: PeerConnection) -> None:
    size = (1, 1, 0, 0, 640, 480)
    with pytest.raises(CallError, match="SetUIInfo is not supported") as caught:
        direct.call("", CONSOLE, "org.qemu.Display1.Console", "SetUIInfo", "qqiiuu", size)
    assert caught.value.name == "org.qemu.Display1.Error.Unsupported"
    with pytest.raises(CallError, match="UnknownMethod"):
        direct.call(BUS_NAME, BUS_PATH, BUS_NAME, "Hello")


def test_qemu_calls_our_listener(direct: PeerConnection) -> None:
    """A descriptor goes out, QEMU authenticates us on it, asks, and sends the picture."""
    pictures: list[tuple[int, ...]] = []
    arrived = threading.Event()

    def scanout(message: Message) -> Answer:
        *geometry, data = message.body
        pictures.append((*geometry, len(data)))
        arrived.set()
        return "", ()

    ours, theirs = socket.socketpair()
    with theirs:
        body, fds = (0,), (theirs.fileno(),)
        direct.call("", CONSOLE, "org.qemu.Display1.Console", "RegisterListener", "h", body, fds)
    sasl.authenticate(ours)
    listener = PeerConnection(ours)
    properties = {"Interfaces": Variant("as", [])}
    listener.export(f"/{LISTENER.replace('.', '/')}", LISTENER, properties, {"Scanout": scanout})
    listener.start()
    try:
        assert arrived.wait(10)
    finally:
        listener.close()
        wait_closed(listener)
    width, height, stride, _, length = pictures[0]
    assert (width, height, length) == (640, 480, stride * height)


def motion(connection: PeerConnection) -> bytes:
    """A relative motion that asks for no answer."""
    message = Message(
        CALL, connection.next_serial(), NO_REPLY_EXPECTED, CONSOLE, "org.qemu.Display1.Mouse",
        "RelMotion", signature="ii", body=(1, 0),
    )  # fmt: skip
    return encode(message)


@pytest.mark.alone
def test_posting_to_a_stopped_qemu_does_not_wait(qemu: Qemu, direct: PeerConnection) -> None:
    data = motion(direct)
    longest = 0.0
    with qemu.paused():
        for _ in range(10_000):
            start = monotonic()
            direct.post(data)
            longest = max(longest, monotonic() - start)
        assert direct.wants_write
        with pytest.raises(CallError, match="Timeout"):
            direct.call("", "/", "org.freedesktop.DBus.Peer", "Ping", timeout=0.1)
    assert longest < 0.5
    assert direct.get_all("", *VM)["ConsoleIDs"] == [0]
    assert not direct.wants_write


def test_qemu_killed_while_a_call_waits(qemu: Qemu, direct: PeerConnection) -> None:
    with ThreadPoolExecutor() as pool, qemu.paused():
        call = pool.submit(direct.get_all, "", *VM)
        until(lambda: direct._pending, "the call to be sent")
        qemu.signal(signal.SIGKILL)
        with pytest.raises(VmGoneError):
            call.result(5)
    wait_closed(direct)


def test_a_newer_client_replaces_us(qemu: Qemu, direct: PeerConnection) -> None:
    newer = PeerConnection.over(hand_over(str(qemu.qmp_path)))
    wait_closed(direct)
    assert newer.get_all("", *VM)["ConsoleIDs"] == [0]
    newer.close()
    wait_closed(newer)


@pytest.mark.alone
def test_authentication_takes_two_round_trips(qemu: Qemu) -> None:
    """QEMU's main loop stands still meanwhile; the best of five is free of the scheduler."""
    times = []
    for _ in range(5):
        sock = hand_over(str(qemu.qmp_path))
        start = monotonic()
        sasl.authenticate(sock)
        times.append(monotonic() - start)
        sock.close()
    assert min(times) < 0.02
