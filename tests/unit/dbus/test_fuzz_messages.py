"""Control messages of any size and nesting, right and wrong, read by all that read them.

Nothing but the project's own errors comes out, at little cost, and no descriptor stays open.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from glview.dbus.bus import BusConnection
from glview.dbus.exports import Answer
from glview.dbus.peer import PeerConnection
from glview.dbus.pending import PendingCalls
from glview.dbus.stream import Refused, Stream, read_message
from glview.dbus.wire import CALL, RETURN, Message, encode, unwrap
from glview.errors import ProtocolError
from tests.support.fuzzing import COUNTS, fuzz
from tests.support.messages import AWAITED, INTERFACE, MEMBER, PATH, Case, any_message

PROPERTIES = "org.freedesktop.DBus.Properties"
_LAST = encode(Message(CALL, 77, path=PATH, interface=INTERFACE, member="M"))
_NULL = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """No records: thousands of them would be the test's memory, not the code's."""
    caplog.set_level(logging.CRITICAL, "glview")


def open_files() -> int:
    """Count the descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def send(sock: socket.socket, case: Case) -> None:
    """Send all of it, with its descriptors."""
    done = socket.send_fds(sock, [case.data], [_NULL] * case.fds)
    sock.sendall(memoryview(case.data)[done:])


# -- the reader alone ------------------------------------------------------------------------


def read_alone(pick: random.Random) -> None:
    """Whole messages, as they come in parts."""
    case = any_message(pick)
    before = open_files()
    ours, theirs = socket.socketpair()
    calls = PendingCalls()
    calls.add(AWAITED, ":1.1", pick.choice((PROPERTIES, INTERFACE)))
    stream = Stream(ours, partial(calls.judge, is_bus=pick.random() < 0.5))
    with ours, theirs, contextlib.closing(stream):
        found = list(_pump(stream, theirs, case))
    if case.right is not None:
        check(found, case.right)
    assert open_files() == before


def _pump(stream: Stream, sock: socket.socket, case: Case) -> Iterator[Message | Refused]:
    """Yield the messages read while a case is sent piece by piece."""
    left, fds = memoryview(case.data), [_NULL] * case.fds
    while True:
        if left:
            with contextlib.suppress(BlockingIOError):
                part = left[: 1 << 16]
                left = left[socket.send_fds(sock, [part], fds, socket.MSG_DONTWAIT) :]
                fds = []
        else:
            sock.shutdown(socket.SHUT_WR)
        try:
            message = stream.next()
        except BlockingIOError:
            continue
        if message is None:
            return
        if isinstance(message, Message):
            message.close_fds()
        yield message


def check(found: list[Message | Refused], right: Message) -> None:
    """Fail unless that one message was read, or refused by its size."""
    (message,) = found
    if isinstance(message, Refused):
        assert "more than" in message.reason
        return
    cut = any(len(text.encode()) > 4000 for text in _texts(message.body))
    assert cut or repr(message) == repr(right)  # by its text: NaN is not equal to itself


def _texts(value: object) -> Iterator[str]:
    value = unwrap(value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


# -- connections -----------------------------------------------------------------------------


def echo(message: Message) -> Answer:
    """A method that returns its arguments."""
    return message.signature, message.body


def to_a_peer(pick: random.Random) -> None:
    """Our own connection, peer to peer and on a bus."""
    case = any_message(pick)
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    connection = PeerConnection(ours)
    connection.is_bus = pick.random() < 0.5
    connection.export(PATH, INTERFACE, {}, {MEMBER: echo})
    connection.add_signal_handler(lambda message: unwrap(message.body))
    connection._pending.add(AWAITED, ":1.1", pick.choice((PROPERTIES, INTERFACE)))
    ended = threading.Event()
    connection.on_closed(ended.set)
    connection.start()
    with theirs:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send(theirs, case)
            theirs.shutdown(socket.SHUT_WR)
        assert ended.wait(10)
    assert "glview failed" not in connection.fault, connection.fault


class ThroughDBusNext:
    """A connection by dbus-next, made anew when a message has ended the one before."""

    def __init__(self) -> None:
        self._made: tuple[BusConnection, socket.socket] | None = None

    def __call__(self, pick: random.Random) -> None:
        """Have it read a message, and answer the call after it."""
        connection, bus = self._made = self._made or self._make()
        connection._loop.call_soon_threadsafe(
            connection._bus.awaited.add, AWAITED, ":1.1", pick.choice((PROPERTIES, INTERFACE))
        )
        try:
            send(bus, any_message(pick, framed=True))
            send(
                bus, Case(encode(Message(CALL, 77, path=PATH, interface=INTERFACE, member="M")), 0)
            )
            while (answer := read_message(bus)) is not None and answer.reply_serial != 77:
                pass
        except (BrokenPipeError, ConnectionResetError):
            answer = None
        if answer is None:
            self.close()
            assert not connection.fault, connection.fault

    @staticmethod
    def _make() -> tuple[BusConnection, socket.socket]:
        ours, bus = socket.socketpair()
        bus.settimeout(10)
        thread = threading.Thread(target=_answer_hello, args=(bus,), daemon=True)
        thread.start()
        connection = BusConnection(ours)
        thread.join()
        connection.add_signal_handler(lambda message: unwrap(message.body))
        return connection, bus

    def close(self) -> None:
        """Close the connection there is."""
        if self._made is not None:
            connection, bus = self._made
            self._made = None
            bus.close()
            connection.close()


def _answer_hello(bus: socket.socket) -> None:
    hello = read_message(bus)
    assert hello is not None
    name = Message(RETURN, 1, reply_serial=hello.serial, signature="s", body=(":1.9",))
    bus.sendall(encode(name))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", [read_alone, to_a_peer])
def test_messages_of_any_size_and_nesting(
    case: Callable[[random.Random], None], count: int
) -> None:
    fuzz(case, count)


@pytest.mark.parametrize("count", COUNTS)
def test_messages_over_dbus_next(count: int) -> None:
    through = ThroughDBusNext()
    try:
        fuzz(through, count)
    finally:
        through.close()


def test_the_messages_are_of_many_kinds() -> None:
    """Right and wrong, accepted and refused: enough of each for the fuzzers to mean something."""
    seen = dict.fromkeys(("read", "refused", "wrong", "large", "right"), 0)
    for number in range(2000):
        case = any_message(random.Random(number))
        seen["large"] += len(case.data) > 1 << 20
        seen["right"] += case.right is not None
        ours, theirs = socket.socketpair()
        calls = PendingCalls()
        calls.add(AWAITED, ":1.1", INTERFACE)
        stream = Stream(ours, partial(calls.judge, is_bus=True))
        with ours, theirs, contextlib.closing(stream):
            try:
                for message in _pump(stream, theirs, case):
                    seen["refused" if isinstance(message, Refused) else "read"] += 1
            except ProtocolError:
                seen["wrong"] += 1
    assert min(seen.values()) >= 5, seen
    assert seen["read"] > 500, seen
