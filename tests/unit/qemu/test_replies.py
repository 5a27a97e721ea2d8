"""Calls that ask for a reply get exactly one; a peer that never reads replies is cut off.

QEMU asks for few replies. A connection of GLib's and bare sockets ask for all of them here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from glview.dbus import limits, sasl, wire
from glview.dbus.wire import SIGNAL, Message, Variant, encode
from glview.qemu.listener import PATH, Listener
from glview.scanout.mailbox import Mailbox
from glview.testing import calls
from glview.testing.calls import Call
from glview.testing.link import Reply, encode_call
from glview.testing.listener import FakeListener
from glview.testing.pictures import XRGB8888, fourcc, memfd_picture, unique
from tests.support.gdbus import GdbusServer
from tests.support.wait import until

GOOD: dict[str, tuple[Call, tuple[object, ...]]] = {
    "Scanout": (calls.SCANOUT, (2, 1, 8, XRGB8888, bytes(8))),
    "Update": (calls.UPDATE, (0, 0, 2, 1, 8, XRGB8888, bytes(8))),
    "UpdateMap": (calls.UPDATE_MAP, (0, 0, 2, 1)),
    "UpdateDMABUF": (calls.UPDATE_DMABUF, (0, 0, 2, 1)),
    "Disable": (calls.DISABLE, ()),
    "MouseSet": (calls.MOUSE_SET, (1, 2, 1)),
    "CursorDefine": (calls.CURSOR_DEFINE, (1, 1, 0, 0, bytes(4))),
    "Ping": (Call("org.freedesktop.DBus.Peer", "Ping", ""), ()),
    "GetAll": (calls.GET_ALL, (calls.LISTENER,)),
}
BAD: dict[str, tuple[Call, tuple[object, ...]]] = {
    "Scanout": (calls.SCANOUT, (2, 1, 8, XRGB8888, bytes(7))),
    "Update": (calls.UPDATE, (0, 0, -2, 1, 8, XRGB8888, bytes(8))),
    "UpdateMap": (replace(calls.UPDATE_MAP, signature="s"), ("x",)),
    "ScanoutMap": (calls.SCANOUT_MAP, (0, 0, 2, 1, 8, XRGB8888)),
    "ScanoutDMABUF": (calls.SCANOUT_DMABUF, (0, 2, 1, 8, fourcc("XR24"), 0, False)),
    "ScanoutDMABUF2": (
        calls.SCANOUT_DMABUF2,
        ([], 0, 0, 2, 1, [0], [8], 1, fourcc("XR24"), 2, 1, 0, False),
    ),
    "UpdateDMABUF": (replace(calls.UPDATE_DMABUF, signature="i"), (1,)),
    "Disable": (replace(calls.DISABLE, signature="b"), (True,)),
    "MouseSet": (replace(calls.MOUSE_SET, signature="ii"), (1, 2)),
    "CursorDefine": (calls.CURSOR_DEFINE, (1, 1, 0, 0, bytes(3))),
    "an unknown member": (Call(calls.LISTENER, "NoSuchCall", "s"), ("x" * 9000,)),
    "an unknown interface": (Call("org.example.None", "Scanout", ""), ()),
    "GetAll": (replace(calls.GET_ALL, signature="as"), (["x" * 5000],)),
}


class Served:
    """A listener's thread, and the socket at its other end."""

    def __init__(self) -> None:
        ours, self.sock = socket.socketpair()
        self.news, self.closed = threading.Event(), threading.Event()
        self.reason = ""
        self.mailbox = Mailbox(self.news.set)
        self.listener = Listener(ours, self.mailbox, self._ended)
        self.listener.start()

    def _ended(self, reason: str) -> None:
        self.reason = reason
        self.closed.set()

    def close(self) -> None:
        self.listener.close()
        self.mailbox.close()
        self.sock.close()
        assert self.closed.wait(5)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


@pytest.fixture
def qemu(served: Served) -> Iterator[FakeListener]:
    made = FakeListener(served.sock)
    made.register()
    yield made
    made.close()


def ask(qemu: FakeListener, call: Call, args: tuple[object, ...]) -> Reply:
    """The reply to a call that wants one."""
    return qemu.call(replace(call, waits=True), args).wait()


def settled(qemu: FakeListener) -> bool:
    """Return True if there were no replies but those to calls that wanted one."""
    return ask(qemu, *GOOD["Ping"]).ok and not qemu.strays


@pytest.mark.parametrize("name", GOOD)
def test_a_call_that_is_taken(qemu: FakeListener, name: str) -> None:
    assert ask(qemu, *GOOD[name]).ok
    call, args = GOOD[name]
    qemu.post(replace(call, waits=False), args)
    assert settled(qemu)


@pytest.mark.parametrize("name", BAD)
def test_a_call_that_is_refused(qemu: FakeListener, name: str) -> None:
    assert "Error" in ask(qemu, *BAD[name]).error
    call, args = BAD[name]
    qemu.post(replace(call, waits=False), args)
    assert settled(qemu)


def test_scanouts_with_descriptors(qemu: FakeListener) -> None:
    """Each is sent with NO_REPLY_EXPECTED, and without."""
    with memfd_picture(unique(2, 1)) as shared:
        code, size = fourcc("XR24"), (2, 1)
        given: list[tuple[Call, tuple[object, ...]]] = [
            (calls.SCANOUT_MAP, (0, 0, *size, shared.stride, XRGB8888)),
            (calls.SCANOUT_DMABUF, (0, *size, shared.stride, code, 0, False)),
            (
                calls.SCANOUT_DMABUF2,
                ([0], 0, 0, *size, [0], [shared.stride], 1, code, *size, 0, False),
            ),
        ]
        for call, args in given:
            for waits in (False, True):
                asked = qemu.call(replace(call, waits=waits), args, (shared.fd,), timeout=0.1)
                assert asked.wait().ok == waits
        assert not qemu.late_replies
        assert settled(qemu)


def test_an_update_of_a_dmabuf_that_wants_no_answer(served: Served, qemu: FakeListener) -> None:
    """An UpdateDMABUF that wants no reply is read like any other, and gets none."""
    with memfd_picture(unique(2, 1)) as shared:
        qemu.scanout_dmabuf(shared.fd, 2, 1, shared.stride, fourcc("XR24"), 0, False)
        call, args = GOOD["UpdateDMABUF"]
        for _ in range(3):
            qemu.post(replace(call, waits=False), args)
        asked = qemu.call(call, args)
        assert settled(qemu)
        news = served.mailbox.take()
        assert news.replies[:3] == [0, 0, 0]
        assert news.updated
        assert served.listener.answer(news.replies) == 4
        assert asked.wait().ok
        assert settled(qemu)
        assert news.source is not None
        news.source.close()


def test_a_peer_of_glib(served: Served) -> None:
    """GLib waits for the reply, as its documentation says."""
    qemu = GdbusServer(served.sock)
    given = {
        "Scanout": f"(uint32 2, uint32 1, uint32 8, uint32 {XRGB8888}, {[0] * 8})",
        "Update": f"(0, 0, 2, 1, uint32 8, uint32 {XRGB8888}, {[0] * 8})",
        "UpdateDMABUF": "(0, 0, 2, 1)",
        "MouseSet": "(1, 2, 1)",
        "CursorDefine": f"(1, 1, 0, 0, {[0] * 4})",
        "Disable": "()",
    }
    for member, body in given.items():
        typed = body.replace("[0,", "[byte 0,")
        assert qemu.call(PATH, calls.LISTENER, member, typed, 5.0) == "()", member
    assert qemu.call(PATH, calls.MAP, "UpdateMap", "(0, 0, 2, 1)", 5.0) == "()"
    assert "no method" in qemu.call(PATH, calls.LISTENER, "Nothing", "()", 5.0)
    assert "came with arguments" in qemu.call(PATH, calls.LISTENER, "MouseSet", "('x',)", 5.0)
    qemu.close()


# -- a peer that never reads -----------------------------------------------------------------


def flood(served: Served, data: Callable[[int], bytes]) -> int:
    """Send calls until the connection ends; return the most bytes of answers held."""
    sasl.accept(served.sock)
    served.sock.settimeout(10)
    most = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for serial in range(1, 1 << 20, 64):
            served.sock.sendall(b"".join(map(data, range(serial, serial + 64))))
            most = max(most, len(served.listener._answers.held))
    return most


@pytest.mark.parametrize("name", ["UpdateDMABUF", "GetAll", "Scanout", "an unknown member"])
def test_answers_that_nobody_reads(served: Served, name: str) -> None:
    call, args = {**BAD, **GOOD}[name]
    asked = replace(call, waits=True)
    before = highest(reset=True)
    most = flood(served, lambda serial: encode_call(asked, serial, args))
    assert served.closed.wait(5)
    assert served.reason == "QEMU does not read the answers to its calls"
    assert most <= limits.MAX_UNREAD_ANSWERS + 100_000
    assert highest() - before < 32.0


def highest(*, reset: bool = False) -> float:
    """The most memory that this process had, since the last reset, in MiB."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_a_peer_that_reads_late_loses_nothing(served: Served) -> None:
    """The peer gets all replies while it goes on to send."""
    sasl.accept(served.sock)
    served.sock.settimeout(10)
    asked = replace(calls.UPDATE_DMABUF, waits=True)
    count = 20_000

    def send() -> None:
        for serial in range(1, count + 1):
            served.sock.sendall(encode_call(asked, serial, (0, 0, 1, 1)))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    until(lambda: served.listener._answers.held, "the socket to be full")
    size = len(encode(Message(wire.RETURN, 1, 1, reply_serial=1)))
    data = bytearray()
    while len(data) < count * size:
        data += served.sock.recv(1 << 16)
    sender.join()
    replies = [struct.unpack_from("<I", data, at + size - 4)[0] for at in range(0, len(data), size)]
    assert replies == list(range(1, count + 1))


# -- headers ---------------------------------------------------------------------------------


def header(kind: int, fields: list[tuple[int, Variant]], body: int = 0) -> bytes:
    raw = wire.marshal("a(yv)", (fields,), 12)
    data = struct.pack("<BBBBII", ord("l"), kind, 0, 1, body, 1) + raw
    return data + bytes(-len(data) % 8)


WORDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a member of 8 MiB": (
        lambda: encode(Message(wire.CALL, 1, path="/p", interface="a.b", member="m" * (8 << 20))),
        "bytes of header fields",
    ),
    "a member of 300 bytes": (
        lambda: encode(Message(wire.CALL, 1, path="/p", interface="a.b", member="m" * 300)),
        "no name that D-Bus allows",
    ),
    "a member that clears the screen": (
        lambda: encode(Message(wire.CALL, 1, path="/p", interface="a.b", member="m\x1b[2J")),
        "no name that D-Bus allows",
    ),
    "a signal of 200 KiB": (
        lambda: header(SIGNAL, [(1, Variant("o", "/p"))], body=200 << 10),
        "that is no call",
    ),
    "a reply of 200 MiB": (
        lambda: header(wire.RETURN, [(5, Variant("u", 7))], body=200 << 20),
        "that is no call",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_no_qemu_sends_ends_the_connection_in_few_words(served: Served, name: str) -> None:
    make, words = WORDS[name]
    data = make()
    sasl.accept(served.sock)
    before = highest(reset=True)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        served.sock.sendall(data)
    assert served.closed.wait(5)
    assert words in served.reason
    assert len(served.reason) < 200
    assert highest() - before < 8.0


def test_headers_that_are_all_different(served: Served) -> None:
    """Only some of the headers are kept."""
    sasl.accept(served.sock)
    served.sock.settimeout(10)
    before = highest(reset=True)
    for number in range(3000):
        call = Call("org.example." + "x" * 180, f"M{number}" + "y" * (number % 200), "")
        served.sock.sendall(encode_call(call, number + 1, ()))
    served.sock.sendall(encode_call(replace(calls.UPDATE_MAP, waits=True), 5000, (0, 0, 1, 1)))
    assert served.sock.recv(100)
    assert highest() - before < 16.0
