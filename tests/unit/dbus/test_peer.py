"""A connection of ours with another of ours, or with a bare socket that misbehaves."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import select
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from glview.dbus import address, limits, sasl
from glview.dbus.exports import Answer
from glview.dbus.peer import PeerConnection
from glview.dbus.stream import read_message
from glview.dbus.transport import PROPERTIES, TIMEOUT
from glview.dbus.wire import (
    CALL,
    ERROR,
    NO_REPLY_EXPECTED,
    RETURN,
    SIGNAL,
    Message,
    Variant,
    encode,
)
from glview.errors import CallError, ProtocolError, VmGoneError
from tests.support.process import PAGE
from tests.support.wait import until

Pair = tuple[PeerConnection, PeerConnection]
Body = tuple[Any, ...]
Raw = tuple[PeerConnection, socket.socket]

PATH = "/org/glview/Test"
IFACE = "org.glview.Test"
POST = encode(Message(CALL, 1, NO_REPLY_EXPECTED, PATH, IFACE, "Move", signature="u", body=(0,)))


def call(
    connection: PeerConnection, member: str, *arguments: str, timeout: float | None = 5
) -> Body:
    """Call one of the test object's methods; arguments are strings."""
    return connection.call(
        "", PATH, IFACE, member, "s" * len(arguments), arguments, timeout=timeout
    )


def echo(message: Message) -> Answer:
    """A method that returns its arguments."""
    return message.signature, message.body


def read(sock: socket.socket) -> Message:
    """The next message from our connection."""
    message = read_message(sock)
    assert message is not None
    return message


def reply(sock: socket.socket, to: Message, *values: str, big_endian: bool = False) -> None:
    """Answer a call."""
    answer = Message(RETURN, 1, reply_serial=to.serial, signature="s" * len(values), body=values)
    sock.sendall(encode(answer, big_endian))


def wait_closed(connection: PeerConnection) -> None:
    """Return when the connection's end is complete."""
    done = threading.Event()
    connection.on_closed(done.set)
    assert done.wait(5)


# -- calls -------------------------------------------------------------------------------


def test_a_call_and_its_reply(pair: Pair) -> None:
    left, right = pair
    right.export(PATH, IFACE, {}, {"Echo": echo})
    assert call(left, "Echo", "a", "b") == ("a", "b")
    assert call(left, "Echo") == ()


def test_variants_come_back_unwrapped(pair: Pair) -> None:
    left, right = pair
    body = ({"a": Variant("(iv)", (1, Variant("s", "x")))}, Variant("ay", b"\1"))
    right.export(PATH, IFACE, {}, {"Get": lambda _: ("a{sv}v", body)})
    assert call(left, "Get") == ({"a": (1, "x")}, b"\1")


def test_an_error_reply(pair: Pair) -> None:
    def refuse(_: Message) -> Answer:
        raise CallError("org.glview.Error.No", "not today")

    left, right = pair
    right.export(PATH, IFACE, {}, {"Refuse": refuse})
    with pytest.raises(CallError, match="not today") as caught:
        call(left, "Refuse")
    assert caught.value.name == "org.glview.Error.No"


def test_an_error_reply_without_text(raw: Raw) -> None:
    connection, other = raw
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, connection, "Any")
        serial = read(other).serial
        other.sendall(encode(Message(ERROR, 9, error_name="a.b", reply_serial=serial)))
        with pytest.raises(CallError, match=r"^a\.b$"):
            waiting.result(5)


def test_a_call_times_out_and_its_late_reply_is_dropped(raw: Raw) -> None:
    connection, other = raw
    with pytest.raises(CallError, match=r"Slow in 0\.05 s") as caught:
        call(connection, "Slow", timeout=0.05)
    assert caught.value.name == TIMEOUT
    reply(other, read(other), "late")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, connection, "Next")
        reply(other, read(other), "in time")
        assert waiting.result(5) == ("in time",)


def test_replies_out_of_order_find_their_calls(raw: Raw) -> None:
    connection, other = raw
    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(call, connection, "Echo", str(index)) for index in range(20)]
        calls = [read(other) for _ in results]
        for message in reversed(calls):
            reply(other, message, *message.body)
        assert [result.result(5) for result in results] == [(str(i),) for i in range(20)]


def test_calls_from_many_threads_both_ways(pair: Pair) -> None:
    for side in pair:
        side.export(PATH, IFACE, {}, {"Echo": echo})

    def run(side: PeerConnection, name: str) -> bool:
        return all(call(side, "Echo", f"{name}{i}") == (f"{name}{i}",) for i in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, pair * 4, "abcdefgh"))


def test_a_big_endian_peer(raw: Raw) -> None:
    connection, other = raw
    connection.export(PATH, IFACE, {}, {"Echo": echo})
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, connection, "Any")
        reply(other, read(other), "swapped", big_endian=True)
        assert waiting.result(5) == ("swapped",)
    ask = Message(CALL, 5, 0, PATH, IFACE, "Echo", signature="ut", body=(1, 2))
    other.sendall(encode(ask, big_endian=True))
    answer = read(other)
    assert (answer.reply_serial, answer.body) == (5, (1, 2))


def test_calling_on_the_reader_thread_is_a_mistake(pair: Pair) -> None:
    left, right = pair
    caught = []

    def handler(_: Message) -> None:
        try:
            call(left, "Echo")
        except RuntimeError as error:
            caught.append(error)

    left.add_signal_handler(handler)
    right.post(encode(Message(SIGNAL, 1, 0, PATH, IFACE, "Now")))
    until(lambda: caught, "the refusal")


def test_serials_wrap_around_without_zero(raw: Raw) -> None:
    connection, _ = raw
    connection._serials = itertools.count(0xFFFF_FFFE)
    assert [connection.next_serial() for _ in range(2)] == [0xFFFF_FFFF, 1]


def test_a_body_that_does_not_fit_leaves_nothing_behind(pair: Pair) -> None:
    left, _ = pair
    with pytest.raises(ValueError, match="'u'"):
        left.call("", PATH, IFACE, "Set", "u", (-1,))
    assert not left._pending


# -- what we export ----------------------------------------------------------------------


@pytest.fixture
def shown(pair: Pair) -> PeerConnection:
    """The other side of an object with a property and a method."""
    properties = {"Name": Variant("s", "x"), "List": Variant("as", ["a", "b"])}
    pair[1].export(PATH, IFACE, properties, {"Echo": echo})
    return pair[0]


def test_properties(shown: PeerConnection) -> None:
    assert shown.get_all("", PATH, IFACE) == {"Name": "x", "List": ["a", "b"]}
    assert shown.call("", PATH, PROPERTIES, "Get", "ss", (IFACE, "Name")) == ("x",)


def test_the_standard_interfaces(shown: PeerConnection) -> None:
    peer = "org.freedesktop.DBus.Peer"
    assert shown.call("", "/any/path", peer, "Ping") == ()
    assert len(shown.call("", "/", peer, "GetMachineId")[0]) == 32
    introspectable = "org.freedesktop.DBus.Introspectable"
    (xml,) = shown.call("", PATH, introspectable, "Introspect")
    assert f'<interface name="{IFACE}">' in xml
    assert '<property name="List" type="as" access="read"/>' in xml
    assert '<method name="Echo"/>' in xml
    for path, child in (("/", "org"), ("/org", "glview"), ("/org/glview", "Test")):
        (xml,) = shown.call("", path, introspectable, "Introspect")
        assert xml == f'<node>\n<node name="{child}"/>\n</node>'


@pytest.mark.parametrize(
    ("path", "interface", "member", "arguments", "error"),
    [
        (PATH, IFACE, "Nothing", (), "UnknownMethod"),
        (PATH, "a.b", "Echo", (), "UnknownInterface"),
        ("/a", IFACE, "Echo", (), "UnknownObject"),
        (PATH, PROPERTIES, "Get", (IFACE, "Nothing"), "UnknownProperty"),
        (PATH, PROPERTIES, "Get", (IFACE,), "InvalidArgs"),
        (PATH, PROPERTIES, "GetAll", ("a.b",), "UnknownInterface"),
        (PATH, PROPERTIES, "GetAll", (), "InvalidArgs"),
        ("/a", PROPERTIES, "GetAll", (IFACE,), "UnknownObject"),
        (PATH, PROPERTIES, "Set", (), "PropertyReadOnly"),
        ("/a", "org.freedesktop.DBus.Introspectable", "Introspect", (), "UnknownObject"),
    ],
)
def test_what_is_not_there(
    shown: PeerConnection,
    path: str,
    interface: str,
    member: str,
    arguments: tuple[str, ...],
    error: str,
) -> None:
    with pytest.raises(CallError) as caught:
        shown.call("", path, interface, member, "s" * len(arguments), arguments)
    assert caught.value.name == f"org.freedesktop.DBus.Error.{error}"


def test_a_call_without_interface_finds_its_method(raw: Raw) -> None:
    connection, other = raw
    connection.export(PATH, IFACE, {}, {"Echo": echo})
    other.sendall(encode(Message(CALL, 3, path=PATH, member="Echo", sender=":1.5")))
    answer = read(other)
    assert (answer.type, answer.reply_serial, answer.destination) == (RETURN, 3, ":1.5")


def test_no_reply_where_none_is_expected(raw: Raw) -> None:
    connection, other = raw
    connection.export(PATH, IFACE, {}, {"Echo": echo})
    for member in ("Echo", "Nothing"):
        other.sendall(encode(Message(CALL, 3, NO_REPLY_EXPECTED, PATH, IFACE, member)))
    other.sendall(encode(Message(CALL, 4, 0, PATH, IFACE, "Echo")))
    assert read(other).reply_serial == 4


# -- signals -----------------------------------------------------------------------------


def test_signals_reach_their_handlers_until_removed(pair: Pair) -> None:
    left, right = pair
    seen: list[tuple[str, str]] = []
    remove = left.add_signal_handler(lambda message: seen.append(("first", message.member)))
    left.add_signal_handler(lambda message: seen.append(("second", message.member)))

    def send(member: str) -> None:
        right.post(encode(Message(SIGNAL, right.next_serial(), 0, PATH, IFACE, member)))
        assert right.call("", "/", "org.freedesktop.DBus.Peer", "Ping") == ()

    send("One")
    remove()
    remove()
    send("Two")
    assert seen == [("first", "One"), ("second", "One"), ("second", "Two")]
    left.add_match("type='signal'")  # nobody to ask


# -- descriptors -------------------------------------------------------------------------


def read_all(reader: int) -> bytes:
    """What a pipe holds, up to the end that comes when the last writer is closed."""
    found = b""
    with open(reader, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], 5)[0]:
            part = pipe.read(100)
            if not part:
                return found
            found += part
    raise AssertionError("a writer is still open")


def _file(folder: Path, text: str) -> int:
    (folder / text).write_text(text)
    return os.open(folder / text, os.O_RDONLY)


@pytest.mark.parametrize("count", [1, 2, 253])
def test_descriptors_go_with_a_call(pair: Pair, tmp_path: Path, count: int) -> None:
    def content(message: Message) -> Answer:
        texts = []
        for index in message.body[0]:
            fd = message.take_fd(index)
            assert not os.get_inheritable(fd)
            with open(fd, encoding="ascii") as file:
                texts.append(file.read())
        return "as", (texts,)

    left, right = pair
    right.export(PATH, IFACE, {}, {"Read": content})
    fds = tuple(_file(tmp_path, str(index)) for index in range(count))
    body = (list(range(count)),)
    try:
        (texts,) = left.call("", PATH, IFACE, "Read", "ah", body, fds)
    finally:
        for fd in fds:
            os.close(fd)
    assert texts == [str(index) for index in range(count)]


def test_more_descriptors_than_a_message_can_carry(pair: Pair) -> None:
    left, right = pair
    right.export(PATH, IFACE, {}, {"Echo": echo})
    with pytest.raises(OSError, match=r"."):
        left.call("", PATH, IFACE, "Echo", fds=(0,) * 254)
    assert call(left, "Echo", "alive") == ("alive",)


def test_descriptors_that_nobody_takes_are_closed(pair: Pair) -> None:
    left, right = pair
    right.export(PATH, IFACE, {}, {"Echo": echo})
    reader, writer = os.pipe()
    left.call("", PATH, IFACE, "Echo", "h", (0,), (writer,))
    os.close(writer)
    assert read_all(reader) == b""


@pytest.mark.parametrize("kind", [RETURN, SIGNAL, ERROR, 5])
def test_descriptors_of_other_messages_are_closed(raw: Raw, kind: int) -> None:
    connection, other = raw
    reader, writer = os.pipe()
    message = Message(
        kind, 7, 0, PATH, IFACE, "Any", "a.b", 4711, signature="h", body=(0,), fds=(writer,)
    )
    socket.send_fds(other, [encode(message)], [writer])
    os.close(writer)
    assert read_all(reader) == b""
    assert not connection.closed


def test_descriptors_of_a_message_cut_short_are_closed(raw: Raw) -> None:
    connection, other = raw
    reader, writer = os.pipe()
    message = Message(SIGNAL, 7, 0, PATH, IFACE, "Any", fds=(writer,))
    socket.send_fds(other, [encode(message)[:9]], [writer])
    os.close(writer)
    other.close()
    assert read_all(reader) == b""
    wait_closed(connection)


@pytest.mark.parametrize("announced", [0, 2])
def test_a_wrong_number_of_descriptors_ends_the_connection(raw: Raw, announced: int) -> None:
    connection, other = raw
    reader, writer = os.pipe()
    message = Message(SIGNAL, 7, 0, PATH, IFACE, "Any", fds=(writer,) * announced)
    socket.send_fds(other, [encode(message)], [writer])
    os.close(writer)
    assert read_all(reader) == b""
    wait_closed(connection)
    with pytest.raises(VmGoneError, match=f"1 file descriptors came for {announced}"):
        call(connection, "Any")


# -- peers that misbehave ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "closed the connection"),
        (POST[:7], "in the middle"),
        (POST[:16], "in the middle"),
        (POST[:-1], "in the middle"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "begins with the byte 0x48"),
        (b"l\1\0\2" + bytes(12), "version 2"),
        (struct.pack("<BBBBIII", 108, 1, 0, 1, 300 << 20, 1, 8), "bytes"),
        (POST[:60] + b"\xff" * (len(POST) - 60), r"."),
    ],
)
def test_waiting_calls_fail_when_the_stream_breaks(raw: Raw, data: bytes, words: str) -> None:
    connection, other = raw
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, connection, "Any", timeout=10)
        read(other)
        other.sendall(data)
        other.shutdown(socket.SHUT_WR)
        with pytest.raises(VmGoneError, match=words):
            waiting.result(5)
    with pytest.raises(VmGoneError, match=words):
        call(connection, "Any")
    assert connection.closed
    assert not connection.post(POST)


def test_a_message_in_small_pieces(raw: Raw) -> None:
    connection, other = raw
    connection.export(PATH, IFACE, {}, {"Echo": echo})
    ask = encode(Message(CALL, 5, 0, PATH, IFACE, "Echo", signature="s", body=("x" * 50,)))
    for byte in ask:
        other.sendall(bytes((byte,)))
    assert read(other).body == ("x" * 50,)


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_a_flood_of_replies_to_nothing_is_dropped(raw: Raw) -> None:
    connection, other = raw
    connection.export(PATH, IFACE, {}, {"Echo": echo})
    bogus = encode(Message(RETURN, 1, reply_serial=77, signature="ay", body=(bytes(1000),)))
    before = _rss()
    for _ in range(20):
        other.sendall(bogus * 1000)
    other.sendall(encode(Message(CALL, 5, 0, PATH, IFACE, "Echo")))
    assert read(other).reply_serial == 5
    assert _rss() - before < 8 << 20
    assert not connection._pending


def test_a_peer_that_asks_and_never_reads_is_cut_off(raw: Raw) -> None:
    connection, other = raw
    connection.export(PATH, IFACE, {}, {"Echo": echo})
    ask = encode(Message(CALL, 5, 0, PATH, IFACE, "Echo", signature="ay", body=(bytes(100_000),)))
    most = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(1000):
            other.sendall(ask)
            most = max(most, connection._outbox.size)
    wait_closed(connection)
    assert limits.MAX_UNREAD_POSTS < most < limits.MAX_UNREAD_CALLS + 200_000
    with pytest.raises(VmGoneError, match="never reads"):
        call(connection, "Any")


# -- writing to a peer that does not read ------------------------------------------------


def numbered(number: int) -> bytearray:
    """`POST` with another argument."""
    data = bytearray(POST)
    data[-4:] = number.to_bytes(4, "little")
    return data


def test_post_to_a_stopped_peer_never_waits_and_keeps_order(raw: Raw) -> None:
    connection, other = raw
    template = numbered(0)
    taken, longest = [], 0.0
    for number in range(20_000):
        template[-4:] = number.to_bytes(4, "little")
        start = monotonic()
        if connection.post(template):
            taken.append(number)
        longest = max(longest, monotonic() - start)
    assert longest < 0.5
    assert connection.wants_write
    assert 1000 < len(taken) < 20_000
    assert connection._outbox.size < limits.MAX_UNREAD_POSTS + len(POST)
    arrived = [read(other).body[0] for _ in taken]
    assert arrived == taken
    until(lambda: not connection.wants_write, "nothing left to send")  # its thread may be behind
    assert connection.post(POST)


def test_an_idle_connection_does_not_ask_for_writability(raw: Raw) -> None:
    connection, other = raw
    while not connection.wants_write:
        connection.post(POST)

    def drained() -> bool:
        with contextlib.suppress(BlockingIOError):  # the connection may be about to send more
            other.recv(1 << 16, socket.MSG_DONTWAIT)
        return not connection.wants_write

    until(drained, "room for all")
    until(lambda: connection._epoll.poll(0) == [], "the epoll to ask for less")


def _readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def test_a_poll_loop_can_flush_too(sockets: tuple[socket.socket, socket.socket]) -> None:
    connection = PeerConnection(sockets[0])  # no reader that would do it
    sent, received = 0, b""
    while not connection.wants_write:
        sent += connection.post(numbered(sent))
    assert connection.fileno() == sockets[0].fileno()
    while _readable(sockets[1]):
        received += sockets[1].recv(1 << 16)
    assert connection.post(numbered(sent))  # there is room, but others wait
    while len(received) < (sent + 1) * len(POST):
        connection.flush()
        received += sockets[1].recv(1 << 16)
    assert not connection.wants_write
    assert received == b"".join(numbered(number) for number in range(sent + 1))
    connection.close()
    assert connection.fileno() == -1
    connection.flush()


def test_big_calls_with_descriptors_wait_in_order(raw: Raw) -> None:
    connection, other = raw
    while not connection.wants_write:
        connection.post(POST)
    reader, writer = os.pipe()
    with ThreadPoolExecutor() as pool:
        body = (b"x" * 600_000, 0)
        waiting = pool.submit(connection.call, "", PATH, IFACE, "Big", "ayh", body, (writer,))
        until(lambda: connection._outbox.size > 500_000, "the call to wait")
        assert connection.post(numbered(1))
        os.close(writer)  # the outbox has a copy
        while (message := read(other)).member == "Move":
            assert message.body == (0,)
        assert message.body == body
        os.write(message.fds[0], b"through")
        message.close_fds()
        assert read(other).body == (1,)
        reply(other, message)
        assert waiting.result(5) == ()
        assert read_all(reader) == b"through"


def test_what_waits_is_closed_with_the_connection(raw: Raw) -> None:
    connection, _ = raw
    while not connection.wants_write:
        connection.post(POST)
    reader, writer = os.pipe()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(connection.call, "", PATH, IFACE, "Any", "h", (0,), (writer,))
        until(lambda: connection._outbox._queue[-1][1], "the call to wait")
        connection.close()
        with pytest.raises(VmGoneError, match="connection was closed"):
            waiting.result(5)
        os.close(writer)
        assert read_all(reader) == b""


def test_calls_are_refused_when_too_much_waits(raw: Raw) -> None:
    connection, _ = raw
    size = limits.MAX_UNREAD_CALLS
    with ThreadPoolExecutor() as pool:
        first = pool.submit(connection.call, "", PATH, IFACE, "Big", "ay", (bytes(2 * size),))
        until(lambda: connection._outbox.size > size, "the outbox to fill")
        with pytest.raises(CallError, match="LimitsExceeded"):
            call(connection, "Any")
        connection.close()
        with pytest.raises(VmGoneError):
            first.result(5)


def test_a_peer_that_closes_its_reading_side_does_not_keep_us_busy(raw: Raw) -> None:
    connection, other = raw
    while not connection.wants_write:
        connection.post(POST)
    other.shutdown(socket.SHUT_RD)
    while other.recv(1 << 16):  # makes room, for which the reader has waited
        pass
    until(lambda: not connection.wants_write, "the outbox to give up")
    assert not connection.post(POST)
    assert connection._epoll.poll(0) == []


# -- the end -----------------------------------------------------------------------------


def test_close_from_any_thread_wakes_everybody(raw: Raw) -> None:
    connection, other = raw
    ends: list[str] = []
    connection.on_closed(lambda: ends.append("once"))
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(call, connection, "Any", timeout=10) for _ in range(3)]
        for _ in waiting:
            read(other)
        list(pool.map(lambda _: connection.close(), range(3)))
        for result in waiting:
            with pytest.raises(VmGoneError):
                result.result(5)
    wait_closed(connection)
    assert ends == ["once"]
    assert read_message(other) is None


def test_close_on_the_reader_thread(pair: Pair) -> None:
    left, right = pair
    left.add_signal_handler(lambda _: left.close())
    right.post(encode(Message(SIGNAL, 1, 0, PATH, IFACE, "Now")))
    wait_closed(left)
    wait_closed(right)


def test_no_descriptor_is_closed_twice(raw: Raw) -> None:
    connection, _ = raw
    connection.close()
    wait_closed(connection)
    reused = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    connection.close()
    connection.flush()
    connection._finish()
    for fd in reused:
        os.close(fd)  # raises if it is not open any more


def test_a_handler_that_finds_a_wrong_message_ends_the_connection(pair: Pair) -> None:
    left, right = pair
    left.add_signal_handler(lambda message: os.close(message.take_fd(0)))
    right.post(encode(Message(SIGNAL, 1, 0, PATH, IFACE, "Now")))
    wait_closed(left)
    with pytest.raises(VmGoneError, match="Now came without its descriptor"):
        call(left, "Any")


def test_descriptors_lost_to_the_limit_on_open_files(raw: Raw) -> None:
    connection, other = raw
    data = encode(Message(SIGNAL, 7, 0, PATH, IFACE, "Any", fds=(0,)))
    highest = os.dup(0)
    os.close(highest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    try:
        socket.send_fds(other, [data], [0])
        wait_closed(connection)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(VmGoneError, match="limit on open files"):
        call(connection, "Any")


def test_a_fault_in_a_handler_ends_the_connection_with_its_reason(raw: Raw) -> None:
    connection, sock = raw

    def plant(*_: Message) -> None:
        raise RuntimeError("planted")

    ends: list[str] = []
    connection.on_closed(plant)
    connection.on_closed(lambda: ends.append("second"))
    connection.add_signal_handler(plant)
    sock.sendall(encode(Message(SIGNAL, 1, path=PATH, interface=IFACE, member="M")))
    wait_closed(connection)
    assert ends == ["second"], "one that fails does not keep the others from it"
    assert "RuntimeError: planted" in connection.fault
    with pytest.raises(VmGoneError, match="planted"):
        call(connection, "Echo")


def test_an_end_that_somebody_wanted_is_no_fault(raw: Raw) -> None:
    connection, sock = raw
    sock.close()
    wait_closed(connection)
    assert connection.fault == ""


@pytest.mark.parametrize(("signature", "body"), [("", ()), ("u", (1,)), ("ss", ("a", "b"))])
def test_a_bus_that_gives_no_name(
    monkeypatch: pytest.MonkeyPatch,
    sockets: tuple[socket.socket, socket.socket],
    signature: str,
    body: tuple[object, ...],
) -> None:
    ours, theirs = sockets

    def serve() -> None:
        sasl.accept(theirs)
        hello = read(theirs)
        answer = Message(RETURN, 1, reply_serial=hello.serial, signature=signature, body=body)
        theirs.sendall(encode(answer))

    server = threading.Thread(target=serve)
    server.start()
    monkeypatch.setattr(address, "connect", lambda _: socket.socket(fileno=ours.detach()))
    with pytest.raises(ProtocolError, match="Hello"):
        PeerConnection.to_bus("unix:path=/x")
    server.join(5)
    until(lambda: ours.fileno() == -1, "the reader to close its socket")
