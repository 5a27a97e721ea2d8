"""Both ends of a connection, and a watch over descriptors."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from glview.dbus.peer import PeerConnection
from tests.support.wait import until

settings.register_profile(  # a busy machine is not a failure
    "glview", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("glview")


def open_fds() -> dict[int, str]:
    """Descriptors of this process and what each points to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the one that read the directory
            continue
    return found


@pytest.fixture(autouse=True)
def no_fd_leak() -> Iterator[None]:
    """Every test here leaves as many descriptors open as it found."""
    before = open_fds()
    yield
    until(
        lambda: len(open_fds()) <= len(before),
        f"descriptors to be closed: {set(open_fds().items()) - set(before.items())}",
        3.0,
    )


@pytest.fixture
def sockets(no_fd_leak: None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets, closed with the test. Reading times out after 5 s."""
    left, right = socket.socketpair()
    with left, right:
        right.settimeout(5)
        yield left, right


@pytest.fixture
def raw(
    sockets: tuple[socket.socket, socket.socket],
) -> Iterator[tuple[PeerConnection, socket.socket]]:
    """A started connection of ours, and the bare socket at its other end."""
    connection = PeerConnection(sockets[0])
    connection.start()
    yield connection, sockets[1]
    _end(connection)


@pytest.fixture
def pair(
    sockets: tuple[socket.socket, socket.socket],
) -> Iterator[tuple[PeerConnection, PeerConnection]]:
    """Two started connections of ours, joined."""
    sockets[1].settimeout(None)
    left, right = (PeerConnection(sock) for sock in sockets)
    for connection in (left, right):
        connection.start()
    yield left, right
    _end(left)
    _end(right)


def _end(connection: PeerConnection) -> None:
    """Close, and wait until the reader has let go of the socket."""
    done = threading.Event()
    connection.on_closed(done.set)
    connection.close()
    assert done.wait(5)
