"""A stream of calls comes out as it went in, however the kernel cuts it into pieces."""

from __future__ import annotations

import array
import fcntl
import itertools
import os
import random
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest.mock import Mock

import pytest

from glview.dbus import wire
from glview.errors import ProtocolError, VmGoneError
from glview.qemu.answers import Answers
from glview.qemu.framing import Call, Framing
from glview.testing import calls
from glview.testing.link import encode_call


class Sent(NamedTuple):
    """A call on its way: its bytes, what they hold, the inodes of the files that go along."""

    data: bytes
    member: str
    serial: int
    body: bytes
    files: list[int]


class Ends(NamedTuple):
    """The reading end of a stream, and its sender's socket."""

    framing: Framing
    ours: socket.socket
    peer: socket.socket


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        framing = Framing(ours, Answers(ours))
        yield Ends(framing, ours, theirs)
        framing.close()


@pytest.fixture
def files() -> Iterator[list[int]]:
    fds = [os.memfd_create(f"file-{n}", os.MFD_CLOEXEC) for n in range(4)]
    yield fds
    for fd in fds:
        os.close(fd)


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


_CALLS = [
    *(calls.UPDATE_MAP, calls.UPDATE_DMABUF, calls.MOUSE_SET, calls.DISABLE),
    *(calls.SCANOUT_MAP, calls.SCANOUT, calls.UPDATE, calls.CURSOR_DEFINE),
]
_BYTES = {calls.SCANOUT: 4, calls.UPDATE: 6, calls.CURSOR_DEFINE: 4}  # numbers before them


def a_call(random: random.Random, serial: int, fds: list[int]) -> Sent:
    """Any that QEMU sends, of any length, so that some are like the one before."""
    call = random.choice(_CALLS)
    if call in _BYTES:
        size = random.choice([0, 1, 400, 30_000, 32_740, 40_000, 300_000])
        numbers = tuple(random.randrange(100) for _ in range(_BYTES[call]))
        pixels = random.randbytes(size)
        head = encode_call(call, serial, (*numbers, b""), pixel_bytes=size)
        data = head + pixels
        return Sent(data, call.member, serial, data[len(data) - body_length(data) :], [])
    if call is calls.SCANOUT_MAP:
        data = encode_call(call, serial, (0, 0, 5, 5, 20, 1), fds=1)
        return Sent(data, call.member, serial, data[-body_length(data) :], [random.choice(fds)])
    data = encode_call(call, serial, tuple(random.randrange(9) for _ in call.signature))
    length = body_length(data)
    return Sent(data, call.member, serial, data[len(data) - length :], [])


def body_length(data: bytes) -> int:
    return int.from_bytes(data[4:8], "little")


def in_pieces(sent: list[Sent], random: random.Random) -> Iterator[tuple[bytes, list[int]]]:
    """What one `sendmsg` takes: files go with the first byte of their call, which begins it."""
    pending, going = b"", list[int]()
    for call in sent:
        if call.files or random.random() < 0.3:
            if pending:
                yield pending, going
            pending, going = b"", call.files
        pending += call.data
        while len(pending) > 1 and random.random() < 0.4:
            cut = random.randrange(1, len(pending))
            yield pending[:cut], going
            pending, going = pending[cut:], []
    if pending:
        yield pending, going


def send(peer: socket.socket, pieces: Iterator[tuple[bytes, list[int]]]) -> None:
    for data, fds in pieces:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        done = peer.sendmsg([data], rights)
        peer.sendall(data[done:])
    peer.shutdown(socket.SHUT_WR)


def patiently(framing: Framing, seconds: float) -> Callable[[], Call | None]:
    """`framing.next`, called again when nothing came in time."""
    framing.wait_in_next(seconds)

    def ask() -> Call | None:
        while True:
            try:
                return framing.next()
            except BlockingIOError:
                continue

    return ask if seconds else framing.next


@pytest.mark.parametrize("patience", [0.0, 0.001], ids=["for-ever", "in-time"])
@pytest.mark.parametrize("seed", range(12))
def test_a_stream(ends: Ends, files: list[int], seed: int, patience: float) -> None:
    """Bodies read in pieces, or left to be skipped; files kept, or left to be closed."""
    rng = random.Random(seed)
    sent = [a_call(rng, serial, files) for serial in range(1, 200)]
    pieces = in_pieces(sent, random.Random(seed))
    thread = threading.Thread(target=send, args=(ends.peer, pieces), daemon=True)
    before = len(os.listdir("/proc/self/fd"))
    thread.start()
    ask = patiently(ends.framing, patience)
    for expected in sent:
        call = ask()
        assert call is not None
        assert (call.fields.member, call.serial) == (expected.member, expected.serial)
        assert [inode(fd) for fd in call.fds] == [inode(fd) for fd in expected.files]
        got = bytes(ends.framing.read(call, min(rng.choice([0, 4, 20, 28]), call.left)))
        if rng.random() < 0.8:
            rest = bytearray(call.left - rng.choice([0, 0, min(3, call.left)]))
            ends.framing.read_into(call, memoryview(rest))
            got += rest
        assert got == expected.body[: len(got)]
        ends.framing.skip(call)
        call.close()
    assert ask() is None
    thread.join()
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_of_a_call_that_nobody_reads(ends: Ends, files: list[int]) -> None:
    """Are closed, also when they came with what was read of the call before."""
    before = len(os.listdir("/proc/self/fd"))
    update = encode_call(calls.UPDATE_MAP, 1, (0, 0, 1, 1))
    disable = encode_call(calls.DISABLE, 2, ())
    scanout = encode_call(calls.SCANOUT_MAP, 3, (0, 0, 5, 5, 20, 1), fds=1)
    ends.peer.sendall(update)
    assert ends.framing.next() is not None
    ends.peer.sendall(disable)  # shorter, so that some of the next comes with it
    socket.send_fds(ends.peer, [scanout], files[:1])
    call = ends.framing.next()
    assert call is not None
    assert call.fds == []
    assert len(os.listdir("/proc/self/fd")) == before + 1
    ends.framing.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_that_no_call_declares(ends: Ends, files: list[int]) -> None:
    """Do not pile up while each message brings the beginning of the next, which is shorter."""
    before = len(os.listdir("/proc/self/fd"))
    zeros = (0, 0, 0, 0, 0, 0, b"")
    sent = [
        encode_call(calls.UPDATE, 1, zeros, pixel_bytes=n) + bytes(n) for n in range(99, 90, -1)
    ]
    ends.peer.sendall(sent[0])
    assert ends.framing.next() is not None

    def read_all() -> None:
        for number, (data, after) in enumerate(itertools.pairwise(sent[1:])):
            socket.send_fds(ends.peer, [data[min(number, 1) :] + after[:1]], files * 50)
            call = ends.framing.next()
            assert call is not None
            assert call.fds == []

    with pytest.raises(ProtocolError, match="more file descriptors than they declare"):
        read_all()
    ends.framing.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_came_already_is_waited_for_no_more(ends: Ends) -> None:
    """The socket has nothing to tell of it."""
    update = encode_call(calls.UPDATE_MAP, 1, (0, 0, 1, 1))
    disable = encode_call(calls.DISABLE, 2, ())
    ends.peer.sendall(update)
    assert ends.framing.next() is not None
    ends.peer.sendall(disable + disable[: len(update) - len(disable)])
    assert ends.framing.next() is not None
    assert ends.framing.wait(5.0)
    assert ends.framing.wait(0.0)


@pytest.mark.parametrize("cut", [1, 15, 16, 100, -1])
def test_it_breaks_off(ends: Ends, cut: int) -> None:
    update = encode_call(calls.UPDATE_MAP, 1, (0, 0, 1, 1))
    ends.peer.sendall(update + update[:cut])
    ends.peer.shutdown(socket.SHUT_WR)
    assert ends.framing.next() is not None
    with pytest.raises(VmGoneError, match="in the middle of a message"):
        ends.framing.next()


def test_a_slow_peer(ends: Ends) -> None:
    """Keeps nobody from asking again, and loses nothing."""
    data = encode_call(calls.UPDATE_MAP, 1, (0, 0, 1, 1))

    def send_slowly() -> None:
        for at in range(len(data)):
            time.sleep(0.03 if at in (0, 5, 40, len(data) - 1) else 0.001)
            ends.peer.send(data[at : at + 1])

    thread = threading.Thread(target=send_slowly, daemon=True)
    thread.start()
    call = patiently(ends.framing, 0.001)()
    thread.join()
    assert call is not None
    assert ends.framing.read(call, 16) == data[-16:]


def test_pixels_stay_in_the_socket(ends: Ends) -> None:
    """But for those of a frame that is like nothing before it."""
    longer = encode_call(calls.SCANOUT_DMABUF2, 1, ([0], 0, 0, 1, 1, [0], [4], 1, 0, 1, 1, 0, 1))
    numbers = encode_call(calls.SCANOUT, 2, (0, 0, 0, 0, b""), pixel_bytes=40_000)
    ends.peer.sendall(longer + numbers + bytes(40_000) + numbers + bytes(100))
    for skipped in (True, True, False):
        call = ends.framing.next()
        assert call is not None
        ends.framing.read(call, 20)
        if skipped:
            ends.framing.skip(call)
    assert waiting(ends.ours) == 100


def waiting(sock: socket.socket) -> int:
    """Bytes that nobody has received yet."""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_header_is_parsed_once(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the length of the body behind it."""
    parse = Mock(wraps=wire.parse_fields)
    monkeypatch.setattr(wire, "parse_fields", parse)
    for serial, size in enumerate(range(0, 100_000, 997), 1):
        data = encode_call(calls.UPDATE, serial, ((0,) * 6 + (b"",)), pixel_bytes=size)
        sender = threading.Thread(target=ends.peer.sendall, args=(data + bytes(size),), daemon=True)
        sender.start()
        call = ends.framing.next()
        assert call is not None
        assert call.left == 28 + size
        ends.framing.skip(call)
        sender.join()
    assert parse.call_count == 1
