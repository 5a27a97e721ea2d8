"""Requests and events of MIT-SHM on a socket, as no X server can be made to take and send them."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from glview.errors import NoDisplayError
from glview.present import xshm
from glview.present.xshm import Connection

OPCODE, COMPLETION = 130, 65
PIXELS = 7, 0, 640, 480


class Display:
    """What `xcb.Display` has found, but that another end than an X server's is there."""

    opcode, completion, gc = OPCODE, COMPLETION, 5

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._ids = 100

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def close(self) -> None:
        os.close(self.fd)


class Ends(NamedTuple):
    connection: Connection
    server: socket.socket


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    monkeypatch.setattr(xshm, "Display", lambda _window: Display(ours.detach()))
    connection = Connection(9)
    with theirs:
        yield Ends(connection, theirs)
        connection.close()


def event(kind: int, *rest: int) -> bytes:
    return bytes((kind, *rest)).ljust(32, b"\0")


def test_a_put(ends: Ends) -> None:
    """Field by field. (shmproto.h, xShmPutImageReq)"""
    ends.connection.put(PIXELS, (1, 2, 3, 4), 6, last=True)
    ends.connection.flush()
    fields = struct.unpack("=BBHII6H2hBBBxII", ends.server.recv(99))
    assert fields == (OPCODE, 3, 10, 9, 5, 640, 480, 1, 2, 3, 4, 1, 6, 24, 2, 1, 7, 0)


def test_events_in_pieces(ends: Ends) -> None:
    stream = event(COMPLETION) + event(34) + event(COMPLETION | 0x80) + event(COMPLETION)
    done = []
    for at in range(0, len(stream), 20):
        ends.server.send(stream[at : at + 20])
        done.append(ends.connection.poll()[0])
    assert done == [0, 1, 0, 0, 1, 0, 1]


def test_many_events(ends: Ends) -> None:
    ends.server.sendall(event(COMPLETION) * 300)
    done = 0
    while more := ends.connection.poll()[0]:
        done += more
    assert done == 300


def test_an_error(ends: Ends) -> None:
    ends.server.send(event(0, 128, 0, 0, 0, 0, 0, 0, 3, 0, OPCODE) + event(COMPLETION))
    assert ends.connection.poll() == (1, f"X error 128 for request {OPCODE}.3")


@pytest.mark.parametrize("at_once", [7, 10_000])
def test_a_full_socket(ends: Ends, at_once: int) -> None:
    """Nothing is lost, and nothing sent twice."""
    count = 30_000
    sent = threading.Event()

    def put_many() -> None:
        for number in range(count):
            ends.connection.put(PIXELS, (number % 640, 0, 1, 1), 0, last=False)
            if number % at_once == 0:
                ends.connection.flush()
        ends.connection.flush()
        sent.set()

    thread = threading.Thread(target=put_many, daemon=True)
    thread.start()
    assert not sent.wait(0.3)
    data = bytearray()
    while len(data) < 40 * count:
        data += ends.server.recv(1 << 20)
    thread.join(5.0)
    left = [fields[7] for fields in struct.iter_unpack("=BBHII6H2hBBBxII", data)]
    assert left == [number % 640 for number in range(count)]


def test_ids_are_used_again(ends: Ends) -> None:
    """There are only so many, and a guest may change its mode for ever."""
    with open("/dev/null", "rb") as file:
        first, other = ends.connection.attach(file.fileno()), ends.connection.attach(file.fileno())
        ends.connection.detach(first)
        assert ends.connection.attach(file.fileno()) == first
        assert len({first, other, ends.connection.attach(file.fileno())}) == 3
    data, fds, _, _ = socket.recv_fds(ends.server, 12, 4)
    assert struct.unpack("=BBHIB3x", data) == (OPCODE, 6, 3, first, 1)
    assert len(fds) == 1
    os.close(fds[0])


def test_the_x_server_goes(ends: Ends) -> None:
    """Asking what became of puts says so; to put more does no harm."""
    ends.server.close()
    ends.connection.put(PIXELS, (0, 0, 1, 1), 0, last=True)
    ends.connection.flush()
    with pytest.raises(NoDisplayError, match="the X server has gone"):
        ends.connection.poll()
