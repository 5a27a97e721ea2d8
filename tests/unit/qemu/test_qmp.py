"""What is said when the other end of a QMP socket is none, or not the right one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glview.errors import QmpError, QmpRefusedError
from glview.qemu.qmp import hand_over, hand_over_fd

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


def test_a_human_monitor(serve: Serve) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ")
        until_hung_up(client)

    with pytest.raises(QmpError, match=r"does not speak QMP.*human monitor"):
        hand_over(serve(talk))


EVENT = b'{"event": "RESET", "data": {"guest": true}, "timestamp": {"seconds": 1}}\r\n'


def answer_all(client: socket.socket, before: bytes = b"") -> None:
    """Answer every command with success, `before` each answer something else."""
    with client.makefile("rb") as lines:
        for line in lines:
            number = json.loads(line)["id"]
            client.sendall(before + b'{"return": {}, "id": %d}\r\n' % number)


def before_the_greeting(client: socket.socket) -> None:
    """Greet as a monitor that still takes this client for the one before."""
    client.sendall(EVENT + GREETING)
    answer_all(client)


def before_the_answers(client: socket.socket) -> None:
    client.sendall(GREETING)
    answer_all(client, EVENT)


@pytest.mark.parametrize("disturb", [before_the_greeting, before_the_answers])
def test_an_event_may_come_at_any_time(
    serve: Serve, disturb: Callable[[socket.socket], None]
) -> None:
    """QEMU may send one even before it greets or answers a client."""
    hand_over(serve(disturb)).close()


HOSTILE = [
    *(b"[]", b"5", b"null", b"{}", b'{"QMP": 5}', b'{"return": {}}', b"[" * 100_000, b"\xff\xfe"),
    *(b'{"QMP": {}}' + b" " * (2 << 20), b'{"a": ' + b"9" * 10_000 + b"}", b'"\\ud800"'),
]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:20]))
def test_greetings_that_are_none(serve: Serve, line: bytes) -> None:
    def talk(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.sendall(line + b"\n")
            until_hung_up(client)

    with pytest.raises(QmpRefusedError, match="does not speak QMP"):
        hand_over(serve(talk))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"return": {}}', "something else"),
        (b'{"return": {}, "id": 7}', "something else"),
        (b'{"return": {}, "error": {}, "id": 1}', "something else"),
        (b'{"id": 1}', "something else"),
        (b"[1]", "does not speak QMP"),
        (b'{"error": {"desc": "\\u001b[2J no\\n"}, "id": 1}', r"QEMU refuses: \\x1b\[2J no\\n"),
        (b'{"error": 5, "id": 1}', "qmp_capabilities failed"),
        (b'{"error": {"desc": null}, "id": 1}', "qmp_capabilities failed"),
    ],
)
def test_answers_that_are_none(serve: Serve, answer: bytes, words: str) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        client.recv(4096)
        client.sendall(answer + b"\n")
        until_hung_up(client)

    with pytest.raises(QmpRefusedError, match=words):
        hand_over(serve(talk))


def test_events_without_end(serve: Serve) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        with contextlib.suppress(OSError):
            while True:
                client.sendall(EVENT * 100)

    with pytest.raises(QmpError, match="events without end"):
        hand_over(serve(talk))


def test_a_path_that_no_socket_can_have() -> None:
    with pytest.raises(QmpRefusedError, match="too long"):
        hand_over("/" + "x" * 200)


def test_hang_up_before_the_greeting(serve: Serve) -> None:
    path = serve(lambda _client: None)
    with pytest.raises(QmpError, match="closed before any QMP greeting") as caught:
        hand_over(path)
    assert path in str(caught.value)


def test_hang_up_in_the_middle(serve: Serve) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        client.recv(4096)
        client.sendall(b'{"return": {}, "id": 1}\r\n')
        client.recv(4096)

    with pytest.raises(QmpError, match="closed the QMP connection"):
        hand_over(serve(talk))


def test_hang_up_right_after_the_capabilities(serve: Serve) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        client.recv(4096)

    with pytest.raises(QmpError, match="closed the QMP connection"):
        hand_over(serve(talk))


def test_a_connected_socket_is_closed_also_on_failure() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(QmpError):
        hand_over_fd(ours)
    assert ours.fileno() == -1
