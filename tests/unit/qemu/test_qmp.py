"""What is said when the other end of a QMP socket is none, or not the right one."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glview.errors import QmpError
from glview.qemu.qmp import _ATTEMPTS, hand_over, hand_over_fd

GREETING = b'{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}\r\n'


@pytest.fixture(autouse=True)
def no_fd_leak() -> Iterator[None]:
    """Every test here leaves as many descriptors open as it found."""
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that runs its argument on the next client of a socket, whose path it returns."""
    path = str(tmp_path / "qmp")
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)

        def start(talk: Callable[[socket.socket], None]) -> str:
            def run() -> None:
                client, _ = server.accept()
                with client:
                    talk(client)

            threads.append(threading.Thread(target=run, daemon=True))
            threads[-1].start()
            return path

        yield start
        for thread in threads:
            thread.join(5)


def until_hung_up(client: socket.socket) -> None:
    """Read until the other side closes."""
    while client.recv(4096):
        pass


def test_no_such_socket(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match=r"no such socket.*-qmp unix:PATH"):
        hand_over(str(tmp_path / "nothing"))


def test_nobody_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "left")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
    with pytest.raises(QmpError, match="nobody listens"):
        hand_over(path)


def test_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(QmpError, match="nobody listens"):
        hand_over(str(path))


def test_a_full_queue_of_clients(tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as other:
        server.bind(path)
        server.listen(0)
        other.connect(path)
        with pytest.raises(QmpError, match="other clients wait"):
            hand_over(path)


def test_silence_hints_at_another_client(serve: Serve) -> None:
    path = serve(until_hung_up)
    with pytest.raises(QmpError, match=r"no QMP greeting within 0\.2 s.*another QMP client"):
        hand_over(path, timeout=0.2)


def test_a_human_monitor(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ")
        until_hung_up(client)

    with pytest.raises(QmpError, match=r"does not speak QMP.*human monitor"):
        hand_over(serve(talk))
    assert caplog.records == [], "the library logs what we raise"


EVENT = b'{"event": "RESET", "data": {"guest": true}, "timestamp": {"seconds": 1}}\r\n'


def before_the_greeting(client: socket.socket) -> None:
    """Greet as a monitor that still takes this client for the one before."""
    client.sendall(EVENT + GREETING)
    until_hung_up(client)


def before_the_answer(client: socket.socket) -> None:
    client.sendall(GREETING)
    client.recv(4096)
    client.sendall(EVENT + b'{"return": {}}\r\n')
    until_hung_up(client)


@pytest.mark.parametrize("disturb", [before_the_greeting, before_the_answer])
def test_an_event_out_of_place_is_no_refusal(
    serve: Serve, disturb: Callable[[socket.socket], None]
) -> None:
    """QEMU may send one before it greets or answers a client: glview tries again."""
    clients = 0

    def disturbed(client: socket.socket) -> None:
        nonlocal clients
        clients += 1
        disturb(client)

    for _ in range(_ATTEMPTS - 1):
        serve(disturbed)
    path = serve(disturbed)
    with pytest.raises(QmpError, match="did not agree to a QMP session"):
        hand_over(path)
    assert clients == _ATTEMPTS


def test_hang_up_before_the_greeting(serve: Serve) -> None:
    path = serve(lambda _client: None)
    with pytest.raises(QmpError, match="closed before any QMP greeting") as caught:
        hand_over(path)
    assert path in str(caught.value)


def test_hang_up_in_the_middle(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        client.recv(4096)
        client.sendall(b'{"return": {}}\r\n')
        client.recv(4096)

    with pytest.raises(QmpError, match="closed the QMP connection"):
        hand_over(serve(talk))
    assert caplog.records == [], "the library logs what we raise"


def test_a_connected_socket_is_closed_also_on_failure() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(QmpError):
        hand_over_fd(ours)
    assert ours.fileno() == -1
