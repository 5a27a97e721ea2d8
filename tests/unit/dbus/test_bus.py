"""The connection to a message bus, against a real dbus-daemon."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from glview.dbus.bus import BUS_NAME, BUS_PATH, BusConnection
from glview.dbus.peer import PeerConnection
from glview.dbus.transport import TIMEOUT
from glview.dbus.wire import SIGNAL, Message, Variant, encode
from glview.errors import (
    CallError,
    ConnectError,
    InternalError,
    NotDBusError,
    ResourceError,
    VmGoneError,
)
from tests.support.bus import Bus
from tests.support.wait import until

UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
RULE = "type='signal',interface='test.Signals'"


@pytest.fixture
def connection(bus: Bus) -> Iterator[BusConnection]:
    """A connection to `bus`."""
    made = BusConnection.connect(bus.address)
    yield made
    made.close()


@pytest.fixture
def other(bus: Bus) -> Iterator[PeerConnection]:
    """A second client of `bus`, by our own codec."""
    made = PeerConnection.to_bus(bus.address)
    yield made
    made.close()


def ask_bus(connection: BusConnection, member: str, *body: object) -> object:
    """Call a method of the bus itself whose arguments are strings."""
    (reply,) = connection.call(BUS_NAME, BUS_PATH, BUS_NAME, member, "s" * len(body), body)
    return reply


def test_the_second_address_of_a_list_is_tried(bus: Bus) -> None:
    connection = BusConnection.connect(f"unix:path=/nonexistent;{bus.address}")
    assert connection.is_bus
    assert BUS_NAME in list(ask_bus(connection, "ListNames"))  # type: ignore[call-overload]
    connection.close()
    assert connection.closed


def test_a_reply_has_its_variants_unwrapped(connection: BusConnection) -> None:
    features = connection.get_all(BUS_NAME, BUS_PATH, BUS_NAME)["Features"]
    assert "HeaderFiltering" in features


def test_an_error_reply_is_a_call_error(connection: BusConnection) -> None:
    with pytest.raises(CallError) as caught:
        ask_bus(connection, "ListQueuedOwners", "org.qemu")
    assert caught.value.name == "org.freedesktop.DBus.Error.NameHasNoOwner"
    assert "org.qemu" in caught.value.text


@pytest.mark.parametrize(("signature", "body"), [("s", (5,)), ("ss", ("a",)), ("", ("a",))])
def test_a_wrong_body_fails_its_call_alone(
    connection: BusConnection, signature: str, body: tuple[object, ...]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is dbus-next's
        connection.call(BUS_NAME, BUS_PATH, BUS_NAME, "GetNameOwner", signature, body)
    assert ask_bus(connection, "GetNameOwner", BUS_NAME) == BUS_NAME


def test_a_call_to_somebody_stopped_times_out(connection: BusConnection, bus: Bus) -> None:
    with bus.paused(), pytest.raises(CallError) as caught:
        connection.call(BUS_NAME, BUS_PATH, BUS_NAME, "GetId", timeout=0.1)
    assert caught.value.name == TIMEOUT
    assert (
        ask_bus(connection, "GetNameOwner", BUS_NAME) == BUS_NAME
    )  # and the late reply is no harm


def test_a_full_socket_delays_calls_but_loses_none(connection: BusConnection, bus: Bus) -> None:
    """A stopped bus, and more calls than the socket holds: dbus-next by itself would give up."""
    rule = "x" * 2000
    results: list[Exception | None] = []

    def call() -> None:
        try:
            connection.add_match(rule)
            results.append(None)
        except Exception as error:
            results.append(error)

    with bus.paused():
        callers = [threading.Thread(target=call) for _ in range(200)]
        for caller in callers:
            caller.start()
        until(lambda: _unsent(connection), "the socket to be full")
    for caller in callers:
        caller.join(10)
    assert len(results) == 200
    assert {type(result) for result in results} == {CallError}  # "match rule invalid"
    assert not connection.closed


def _unsent(connection: BusConnection) -> bool:
    return connection._outbox.qsize() > 10


def emit(sender: PeerConnection, signature: str, body: tuple[object, ...], *fds: int) -> None:
    """Send a signal that `RULE` matches."""
    message = Message(
        SIGNAL,
        sender.next_serial(),
        path="/p",
        interface="test.Signals",
        member="M",
        signature=signature,
        body=body,
        fds=fds,
    )
    sender._send_call(encode(message), fds)


def test_signals_keep_their_variants(connection: BusConnection, other: PeerConnection) -> None:
    seen: list[Message] = []
    arrived = threading.Event()

    def handler(message: Message) -> None:
        if message.interface == "test.Signals":
            seen.append(message)
            arrived.set()

    remove = connection.add_signal_handler(handler)
    connection.add_match(RULE)
    body = ([(1, "one")], {"key": Variant("(us)", (7, "x"))}, b"bytes")
    emit(other, "a(us)a{sv}ay", body)
    assert arrived.wait(5)
    assert seen[0].body == body
    assert seen[0].sender == other.unique_name
    assert (seen[0].path, seen[0].member, seen[0].signature) == ("/p", "M", "a(us)a{sv}ay")

    remove()
    done = threading.Event()
    connection.add_signal_handler(lambda _: done.set())
    emit(other, "a(us)a{sv}ay", body)
    assert done.wait(5)
    assert len(seen) == 1


def test_descriptors_nobody_takes_are_closed(
    connection: BusConnection, other: PeerConnection
) -> None:
    arrived = threading.Event()
    taken: list[int] = []

    def handler(message: Message) -> None:
        if message.interface == "test.Signals":
            taken.append(message.take_fd(0))
            arrived.set()

    connection.add_signal_handler(handler)
    connection.add_match(RULE)
    reader, writer = os.pipe()
    emit(other, "hh", (0, 1), reader, writer)
    assert arrived.wait(5)
    os.close(reader)
    os.close(writer)
    with os.fdopen(taken[0], "rb") as ours:
        ended, _, _ = select.select([ours], [], [], 5)
        assert ended, "the writing end was left open"


def test_calls_made_to_us_are_refused(connection: BusConnection, other: PeerConnection) -> None:
    (names,) = other.call(BUS_NAME, BUS_PATH, BUS_NAME, "ListNames")
    us = next(n for n in names if n.startswith(":") and n != other.unique_name)
    with pytest.raises(CallError) as caught:
        other.call(us, "/", "test.Interface", "Method", timeout=5)
    assert caught.value.name == UNKNOWN_METHOD


def test_the_end_of_the_bus(connection: BusConnection, bus: Bus) -> None:
    ended = threading.Event()
    connection.on_closed(ended.set)
    with bus.paused():
        waiting: list[Exception] = []
        caller = threading.Thread(target=_expect_gone, args=(connection, waiting))
        caller.start()
        until(lambda: connection._replies, "the call to be on its way")
        bus.signal(signal.SIGKILL)
        assert ended.wait(5)
    caller.join(5)
    assert [type(error) for error in waiting] == [VmGoneError]
    with pytest.raises(VmGoneError):
        ask_bus(connection, "ListNames")
    at_once = threading.Event()
    connection.on_closed(at_once.set)
    assert at_once.is_set()
    assert connection.closed


def _expect_gone(connection: BusConnection, errors: list[Exception]) -> None:
    try:
        connection.call(BUS_NAME, BUS_PATH, BUS_NAME, "ListNames", timeout=None)
    except Exception as error:
        errors.append(error)


def test_close_ends_waiting_calls_and_may_be_repeated(connection: BusConnection, bus: Bus) -> None:
    with bus.paused():
        waiting: list[Exception] = []
        caller = threading.Thread(target=_expect_gone, args=(connection, waiting))
        caller.start()
        until(lambda: connection._replies, "the call to be on its way")
        connection.close()
        connection.close()
    caller.join(5)
    assert [type(error) for error in waiting] == [VmGoneError]


def test_a_bus_that_hangs_up_at_hello(capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()

    def hang_up() -> None:
        with theirs:
            theirs.recv(1)

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(ConnectError, match="Hello"):
        BusConnection(ours)
    thread.join()
    assert capfd.readouterr() == ("", "")


def test_something_that_is_no_bus(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("no-bus") / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)

        def talk() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                client.recv(100)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(NotDBusError):
            BusConnection.connect(f"unix:path={path}")
        thread.join()


def plant(*_: object) -> None:
    raise RuntimeError("planted")


def test_a_fault_in_a_handler_ends_the_connection_with_its_reason(
    connection: BusConnection, other: PeerConnection, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()
    connection.on_closed(ended.set)
    connection.add_match(RULE)
    connection.add_signal_handler(plant)
    emit(other, "s", ("x",))
    assert ended.wait(5)
    assert "RuntimeError: planted" in connection.fault
    with pytest.raises(VmGoneError, match=r"closed|planted"):
        ask_bus(connection, "ListNames")
    assert {record.levelname for record in caplog.records} <= {"INFO", "DEBUG"}, "library's pages"


@pytest.mark.parametrize(
    ("error", "kind"), [(RuntimeError("planted"), InternalError), (OSError(24, "x"), ResourceError)]
)
def test_a_loop_that_cannot_run_is_an_error_not_a_hang(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    async def fail(_: BusConnection) -> None:
        raise error

    monkeypatch.setattr(BusConnection, "_serve", fail)
    with pytest.raises(kind):
        BusConnection.connect(bus.address)


def test_no_thread_for_the_bus(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    for connect in (BusConnection.connect, PeerConnection.to_bus):
        with pytest.raises(ResourceError, match="no new thread"):
            connect(bus.address)
