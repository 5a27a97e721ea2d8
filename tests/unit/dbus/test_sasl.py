"""Authentication against scripted ends, real servers and real clients."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from glview.dbus import address, sasl
from glview.dbus.peer import PeerConnection
from glview.errors import AuthError, NotDBusError
from tests.support.bus import Bus

Sockets = tuple[socket.socket, socket.socket]

GOOD = b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n"
MESSAGE = b"l\1\0\1 the first message follows at once"


def test_what_the_client_says(sockets: Sockets) -> None:
    client, server = sockets
    server.sendall(GOOD)
    sasl.authenticate(client)
    expected = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
    assert server.recv(1000) == expected


def test_the_client_waits_for_ok_before_it_sends_more(sockets: Sockets) -> None:
    client, server = sockets
    with ThreadPoolExecutor() as pool:
        done = pool.submit(sasl.authenticate, client)
        assert server.recv(1000) == b"\0AUTH EXTERNAL\r\nDATA\r\n"
        server.sendall(GOOD.removesuffix(b"AGREE_UNIX_FD\r\n"))
        assert server.recv(1000) == b"NEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
        server.sendall(b"AGREE_UNIX_FD\r\n")
        done.result(5)


def test_the_client_reads_no_further_than_the_last_line(sockets: Sockets) -> None:
    client, server = sockets
    server.sendall(GOOD + MESSAGE)
    sasl.authenticate(client)
    assert client.recv(1000) == MESSAGE
    assert client.gettimeout() is None


def test_lines_that_come_byte_by_byte(sockets: Sockets) -> None:
    client, server = sockets

    def trickle() -> None:
        for byte in GOOD:
            server.sendall(bytes((byte,)))

    with ThreadPoolExecutor() as pool:
        pool.submit(trickle)
        sasl.authenticate(client)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"REJECTED EXTERNAL DBUS_COOKIE_SHA1\r\n", AuthError, "EXTERNAL DBUS_COOKIE_SHA1"),
        (b"DATA\r\nREJECTED\r\n", AuthError, "refused"),
        (b"ERROR who are you\r\n", AuthError, "who are you"),
        (GOOD.replace(b"AGREE_UNIX_FD", b"ERROR"), AuthError, "descriptors"),
        (b"HTTP/1.1 400 Bad Request\r\n", NotDBusError, "web server"),
        (b'{"QMP": {"version": {}}}\r\n', NotDBusError, "--qmp"),
        (b"RFB 003.008\n", NotDBusError, "VNC"),
        (b"\xff\xfe\r\n", NotDBusError, "does not speak D-Bus"),
        (b"x" * 2000, NotDBusError, "without end"),
        (b"DATA\r\n" * 2000, NotDBusError, "does not speak"),
        (GOOD.replace(b"AGREE_UNIX_FD", b"OK"), NotDBusError, "does not speak"),
    ],
)
def test_servers_that_do_not_let_us_in(
    sockets: Sockets, answer: bytes, kind: type[Exception], words: str
) -> None:
    client, server = sockets
    server.sendall(answer)
    with pytest.raises(kind, match=words):
        sasl.authenticate(client, 5)


@pytest.mark.parametrize("said", [b"", b"DATA\r\n", b"DAT", GOOD[:-2]])
def test_a_server_that_hangs_up(sockets: Sockets, said: bytes) -> None:
    client, server = sockets
    server.sendall(said)
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(NotDBusError, match="hung up"):
        sasl.authenticate(client, 5)


def test_a_server_that_is_gone(sockets: Sockets) -> None:
    client, server = sockets
    server.close()
    with pytest.raises(NotDBusError, match="broke"):
        sasl.authenticate(client, 5)


def test_silence_ends_at_the_deadline(sockets: Sockets) -> None:
    start = monotonic()
    with pytest.raises(NotDBusError, match=r"in 0\.1 s"):
        sasl.authenticate(sockets[0], 0.1)
    assert monotonic() - start < 2
    assert sockets[0].gettimeout() is None


def test_the_deadline_is_for_the_whole_dialogue(sockets: Sockets) -> None:
    client, server = sockets
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.02):
            server.sendall(b"D")

    with ThreadPoolExecutor() as pool:
        pool.submit(trickle)
        start = monotonic()
        try:
            with pytest.raises(NotDBusError, match=r"in 0\.2 s"):
                sasl.authenticate(client, 0.2)
        finally:
            stop.set()
        assert monotonic() - start < 2


def test_a_real_bus(bus: Bus) -> None:
    with address.connect(bus.address) as sock:
        sasl.authenticate(sock, 5)


# -- our server side ---------------------------------------------------------------------

UID = str(os.getuid()).encode().hex().encode()
OTHER = b"393939393939"


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (b"AUTH EXTERNAL " + UID + b"\r\nBEGIN\r\n", [b"OK"]),
        (b"AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", [b"DATA", b"OK"]),
        (b"AUTH EXTERNAL\r\nDATA " + UID + b"\r\nBEGIN\r\n", [b"DATA", b"OK"]),
        (
            b"AUTH\r\nAUTH EXTERNAL " + OTHER + b"\r\nHELO\r\nAUTH EXTERNAL " + UID
            + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
            [b"REJECTED EXTERNAL", b"REJECTED EXTERNAL", b"ERROR", b"OK", b"AGREE_UNIX_FD"],
        ),
        (
            b"AUTH EXTERNAL " + UID + b"\r\nCANCEL\r\nAUTH EXTERNAL " + UID + b"\r\nX\r\nBEGIN\r\n",
            [b"OK", b"REJECTED EXTERNAL", b"OK", b"ERROR"],
        ),
    ],
)  # fmt: skip
def test_accept(sockets: Sockets, said: bytes, answers: list[bytes]) -> None:
    client, server = sockets
    client.sendall(b"\0" + said + MESSAGE)
    sasl.accept(server, 5)
    lines = client.recv(1000).split(b"\r\n")[:-1]
    assert [b"OK" if line.startswith(b"OK ") else line for line in lines] == answers
    assert server.recv(1000) == MESSAGE


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (b"GET / HTTP/1.1\r\n", NotDBusError, "begins with b'G'"),
        (b"\0BEGIN\r\n", AuthError, "without authentication"),
        (b"\0AUTH ANONYMOUS\r\n" * 40, NotDBusError, "without end"),
        (b"\0", NotDBusError, "in 0.2 s"),
    ],
)
def test_accept_refuses(sockets: Sockets, said: bytes, kind: type[Exception], words: str) -> None:
    client, server = sockets
    client.sendall(said)
    with pytest.raises(kind, match=words):
        sasl.accept(server, 0.2)


def test_both_our_sides_agree(sockets: Sockets) -> None:
    with ThreadPoolExecutor() as pool:
        accepted = pool.submit(sasl.accept, sockets[1], 5)
        sasl.authenticate(sockets[0], 5)
        accepted.result(5)


def _libdbus(name: str) -> list[str]:
    method = "org.freedesktop.DBus.Peer.GetMachineId"
    return ["dbus-send", f"--peer={name}", "--print-reply=literal", "/", method]


def _gdbus(name: str) -> list[str]:
    return ["gdbus", "call", "--address", name, "--dest", "a.b", "--object-path", "/", "--method",
            "org.freedesktop.DBus.Peer.GetMachineId"]  # fmt: skip


@pytest.mark.parametrize("command", [_libdbus, _gdbus])
def test_real_clients_are_accepted_and_answered(
    tmp_path: Path, command: Callable[[str], list[str]]
) -> None:
    path = str(tmp_path / "peer")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(5)
        with subprocess.Popen(command(f"unix:path={path}"), stdout=subprocess.PIPE) as client:
            sock, _ = listener.accept()
            sasl.accept(sock, 5)
            connection = PeerConnection(sock)
            bus = {"Hello": lambda call: ("s", (":1.1",))}  # gdbus insists on a bus
            connection.export("/org/freedesktop/DBus", "org.freedesktop.DBus", {}, bus)
            connection.start()
            out, _ = client.communicate(timeout=5)
            connection.close()
    assert client.returncode == 0
    assert len(out.decode().strip(" ()',\n")) == 32
