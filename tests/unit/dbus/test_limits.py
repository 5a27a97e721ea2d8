"""Messages of strangers that are too large, too deep or too many harm nobody.

The messages cross a real dbus-daemon, or come from a bare socket at the other end.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dbus_next.signature import SignatureTree

from glview.dbus import limits, sasl, wire
from glview.dbus.address import connect
from glview.dbus.bus import BusConnection
from glview.dbus.peer import BUS_NAME, BUS_PATH, PeerConnection
from glview.dbus.stream import read_message
from glview.dbus.transport import Transport
from glview.dbus.wire import CALL, ERROR, RETURN, SIGNAL, Message, Variant, encode
from glview.errors import CallError, ProtocolError, VmGoneError
from tests.support.bus import Bus
from tests.unit.dbus.test_peer import Raw, read, wait_closed

PATH, IFACE = "/p", "test.Signals"
LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"
NESTED = "a" + "(" * 32 + "y" + ")" * 32
"""Each byte of such an array, and the padding after it, is 33 values."""


@pytest.fixture
def cheap() -> Iterator[None]:
    """The test may cost 2 s of CPU and 64 MiB of memory, with what it sends itself."""
    Path("/proc/self/clear_refs").write_text("5")  # the highest is what there is now
    cpu, memory = time.process_time(), highest()
    yield
    assert time.process_time() - cpu < 2.0
    assert highest() - memory < 64.0


def highest() -> float:
    """The most memory that this process had, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def nested(count: int) -> bytes:
    """The body of `count` bytes, each in 32 structs."""
    elements = b"\1" + b"\0\0\0\0\0\0\0\1" * (count - 1)
    return struct.pack("<II", len(elements), 0) + elements


def with_body(message: Message, body: bytes) -> bytes:
    """A message whose body is that, of whatever types it says."""
    signature, message.signature = message.signature, ""
    fields = [
        (code, Variant("s" if code in (2, 3, 6) else "o", value))
        for code, value in (
            *((1, message.path), (2, message.interface), (3, message.member)),
            (6, message.destination),
        )
        if value
    ]
    if message.reply_serial:
        fields.append((5, Variant("u", message.reply_serial)))
    fields.append((8, Variant("g", signature)))
    raw = wire.marshal("a(yv)", (fields,), 12)
    head = struct.pack(
        "<BBBBII", ord("l"), message.type, message.flags, 1, len(body), message.serial
    )
    return head + raw + bytes(-len(head + raw) % 8) + body


# -- over a real bus ---------------------------------------------------------------------


Connect = Callable[[str], PeerConnection | BusConnection]


@pytest.fixture(params=[PeerConnection.to_bus, BusConnection.connect], ids=["ours", "dbus-next"])
def us(bus: Bus, request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Either kind of connection to a bus."""
    made = request.param(bus.address)
    ended = threading.Event()
    made.on_closed(ended.set)
    yield made
    made.close()
    assert ended.wait(5)


class Stranger:
    """Another client of the bus, which sends whatever it likes."""

    def __init__(self, bus: Bus, us: Transport) -> None:
        self.sock = connect(bus.address)
        sasl.authenticate(self.sock)
        self.sock.settimeout(20)
        self.name = self.ask("Hello")[0]
        names = self.ask("ListNames")[0]
        self.us = next(name for name in names if name[0] == ":" and name != self.name)

    def ask(self, member: str) -> tuple[Any, ...]:
        hello = Message(CALL, 1, 0, BUS_PATH, BUS_NAME, member, destination=BUS_NAME)
        self.sock.sendall(encode(hello))
        while (answer := read_message(self.sock)) is not None:
            if answer.type == RETURN:
                return answer.body
        raise AssertionError("the bus hung up")

    def send(self, kind: int, signature: str, body: bytes) -> None:
        """Send us a message of that body, unasked."""
        message = Message(*(kind, 7, 0, PATH, IFACE, "M"), destination=self.us, signature=signature)
        if kind == RETURN:
            message = Message(*(kind, 7), reply_serial=1, destination=self.us, signature=signature)
        self.sock.sendall(with_body(message, body))

    def hear(self) -> Message:
        """The next reply."""
        while (answer := read_message(self.sock)) is not None:
            if answer.type in (RETURN, ERROR):
                return answer
        raise AssertionError("the bus hung up")


@pytest.fixture
def stranger(bus: Bus, us: Transport) -> Iterator[Stranger]:
    made = Stranger(bus, us)
    yield made
    made.sock.close()


def works(us: Transport) -> bool:
    """Return True if the connection still calls and hears."""
    return us.call(BUS_NAME, BUS_PATH, BUS_NAME, "NameHasOwner", "s", (BUS_NAME,)) == (True,)


BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "256 KiB of structs in structs": (NESTED, lambda: nested(1 << 15)),
    "100 KiB of structs in structs": (NESTED, lambda: nested(12_000)),
    "8 MiB of bytes": ("ay", lambda: struct.pack("<I", 1 << 23) + bytes(1 << 23)),
    "100 KiB of empty strings": ("as", lambda: struct.pack("<I", 99_997) + bytes(99_997)),
    "signatures": ("ag", lambda: struct.pack("<I", 100_000 // 202 * 202) + signatures()),
}


def signatures() -> bytes:
    """Some hundred, all different, of 200 characters."""
    types = ["".join("yi"[number >> bit & 1] for bit in range(10)) * 20 for number in range(495)]
    return b"".join(b"\xc8" + text.encode() + b"\0" for text in types)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("kind", [SIGNAL, CALL], ids=["signal", "call"])
@pytest.mark.parametrize("name", BODIES)
def test_what_a_stranger_sends_unasked(
    us: Transport, stranger: Stranger, name: str, kind: int
) -> None:
    signature, body = BODIES[name]
    stranger.send(kind, signature, body())
    if kind == CALL:
        answer = stranger.hear()
        assert answer.type == ERROR
        assert len(str(answer.body)) < 300
    assert works(us)


@pytest.mark.usefixtures("cheap")
def test_a_flood_of_them(us: Transport, stranger: Stranger) -> None:
    heard = threading.Event()
    us.add_signal_handler(lambda message: heard.set() if message.signature == "u" else None)
    for _ in range(4):
        stranger.send(SIGNAL, NESTED, nested(12_000))
    stranger.send(SIGNAL, "u", bytes(4))
    assert heard.wait(10)
    assert works(us)


@pytest.fixture
def vm(bus: Bus, us: Transport) -> Iterator[PeerConnection]:
    """A client of the bus that answers with whatever a test says."""
    made = PeerConnection.to_bus(bus.address)
    yield made
    made.close()
    wait_closed(made)


def test_a_long_name_is_cut(us: Transport, vm: PeerConnection) -> None:
    name = "\xe9" * (9 << 20)
    vm.export("/vm", "test.Vm", {"Name": Variant("s", name), "Ids": Variant("au", [0])}, {})
    found = us.get_all(vm.unique_name, "/vm", "test.Vm")
    assert found == {"Name": name[: limits.PROPERTIES_REPLY.text // 2], "Ids": [0]}


def test_a_large_answer_to_our_call(us: Transport, vm: PeerConnection) -> None:
    """As that of a clipboard."""
    text = bytes(range(256)) * (20 << 12)
    vm.export("/vm", "test.Vm", {}, {"Request": lambda _: ("say", ("text/plain", text))})
    assert us.call(vm.unique_name, "/vm", "test.Vm", "Request") == ("text/plain", text)


def test_an_answer_with_too_many_properties(us: Transport, vm: PeerConnection) -> None:
    properties = {f"P{number}": Variant("u", number) for number in range(5000)}
    vm.export("/vm", "test.Vm", properties, {})
    with pytest.raises(CallError, match="more than 8192 values") as caught:
        us.get_all(vm.unique_name, "/vm", "test.Vm")
    assert caught.value.name == LIMITS_EXCEEDED
    assert works(us)


def test_an_answer_larger_than_any(us: Transport, vm: PeerConnection) -> None:
    size = limits.REPLY.size
    vm.export("/vm", "test.Vm", {}, {"Request": lambda _: ("ay", (bytes(size),))})
    with pytest.raises(CallError, match=f"more than {size}"):
        us.call(vm.unique_name, "/vm", "test.Vm", "Request")
    assert works(us)


# -- from a bare socket ------------------------------------------------------------------


def test_an_object_path_of_a_megabyte() -> None:
    """To check one takes long."""
    data = wire.marshal("s", ("/p" * (1 << 19),))
    with pytest.raises(ProtocolError, match="an object path of 1048576 bytes"):
        wire.unmarshal("o", data)


@pytest.mark.usefixtures("cheap")
def test_a_member_of_a_megabyte_ends_the_connection_in_few_words(raw: Raw) -> None:
    """No bus lets it pass, and no QEMU sends it."""
    connection, other = raw
    other.sendall(encode(Message(CALL, 1, path="/p", interface="a.b", member="m" * 5000)))
    wait_closed(connection)
    with pytest.raises(VmGoneError, match="no name that D-Bus allows") as caught:
        connection.call("", "/p", "a.b", "M")
    assert len(str(caught.value)) < 200


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("size", [limits.MAX_FIELDS, 8 << 20])
def test_long_header_fields_are_thrown_away(raw: Raw, size: int) -> None:
    connection, other = raw
    fields = wire.marshal("a(yv)", ([(77, Variant("s", "x" * size))],), 12)
    other.sendall(struct.pack("<BBBBII", ord("l"), SIGNAL, 0, 1, 0, 1) + fields)
    other.sendall(bytes(-len(fields[4:]) % 8))
    other.sendall(encode(Message(CALL, 2, 0, "/", "org.freedesktop.DBus.Peer", "Ping")))
    assert read(other).reply_serial == 2
    assert not connection.closed


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *((2, "a"), (2, "a..b"), (2, "a.b\x1b[2J"), (2, "a." + "b" * 254), (2, "")),
        *(
            (3, "a.b"),
            (3, "1a"),
            (3, "a\n"),
            (3, "m" * 256),
            (4, "e"),
            (6, ":"),
            (6, "a"),
            (7, "\x07"),
        ),
    ],
)
def test_names_that_are_none(field: int, text: str) -> None:
    known = wire.marshal("a(yv)", ([(field, Variant("s", text))],), 12)
    with pytest.raises(ProtocolError, match=f"header field {field} is no name"):
        wire.parse_fields(known[4:], False)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *((2, "org.qemu.Display1.Listener.Unix.ScanoutDMABUF2"), (2, "a." + "b" * 253)),
        *(
            (3, "ScanoutDMABUF2"),
            (3, "_1"),
            (6, ":1.42"),
            (6, "a-b.c-d"),
            (7, "org.freedesktop.DBus"),
        ),
    ],
)
def test_names_at_the_limit(field: int, text: str) -> None:
    known = wire.marshal("a(yv)", ([(field, Variant("s", text))],), 12)
    assert text in wire.parse_fields(known[4:], False)


def test_a_late_part_of_a_message_does_not_keep_back_what_we_send(raw: Raw) -> None:
    """The reader sends what did not fit the socket, also in the middle of a message."""
    connection, other = raw
    other.sendall(encode(Message(SIGNAL, 1, 0, "/p", "a.b", "M"))[:20])
    while not connection.wants_write:
        connection.post(encode(Message(SIGNAL, 1, 0, "/p", "a.b", "M", body=())))
    while connection.wants_write:
        assert other.recv(1 << 16)


def test_a_reply_from_somebody_else_is_none(raw: Raw) -> None:
    connection, other = raw
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(connection.call, ":1.7", "/p", "a.b", "M", timeout=5)
        serial = read(other).serial
        for sender, text in ((":1.8", "wrong"), (":1.7", "right")):
            answer = Message(
                *(RETURN, 1), reply_serial=serial, sender=sender, signature="s", body=(text,)
            )
            other.sendall(encode(answer))
        assert waiting.result(5) == ("right",)


def test_signatures_of_strangers_are_not_kept(bus: Bus) -> None:
    """dbus-next remembers every signature that it is given as text."""
    with closing(BusConnection.connect(bus.address)) as us:
        stranger = Stranger(bus, us)
        known = len(SignatureTree._cache)
        for number in range(300):
            kinds = "".join("yu"[number >> bit & 1] for bit in range(9))
            types = f"va({kinds}s)"
            body = wire.marshal(types, (Variant(f"a({kinds})", []), []))
            stranger.send(SIGNAL, types, body)
        ask = Message(CALL, 9, 0, PATH, IFACE, "M", destination=stranger.us)
        stranger.sock.sendall(encode(ask))
        while (answer := read_message(stranger.sock)) is not None and answer.reply_serial != 9:
            pass
        assert answer is not None
        assert len(SignatureTree._cache) <= known + 20
        stranger.sock.close()
