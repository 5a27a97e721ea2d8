"""What is said when the other end of a QMP socket is none, or not the right one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glview.errors import QmpError, QmpRefusedError
from glview.qemu import monitor
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
    """A function that runs its argument on each client of a socket, whose path it returns."""
    path = str(tmp_path / "qmp")
    threads: list[threading.Thread] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)

        def start(talk: Callable[[socket.socket], None]) -> str:
            def run() -> None:
                with contextlib.suppress(OSError):  # the server is shut down at the end
                    while True:
                        client, _ = server.accept()
                        with client, contextlib.suppress(OSError):
                            talk(client)

            threads.append(threading.Thread(target=run, daemon=True))
            threads[-1].start()
            return path

        yield start
        server.shutdown(socket.SHUT_RDWR)
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


def requests(client: socket.socket) -> Iterator[Any]:
    """Yield the JSON values that a client sends; nothing need stand between them."""
    text, decoder = "", json.JSONDecoder()
    while data := client.recv(4096):
        text += data.decode()
        with contextlib.suppress(ValueError):  # a part is still to come
            while text := text.lstrip():
                request, end = decoder.raw_decode(text)
                text = text[end:]
                yield request


def answer_all(client: socket.socket, before: bytes = b"") -> None:
    """Answer every command with success, `before` each answer something else."""
    for request in requests(client):
        answer = {"return": {}, "id": request.get("id")}
        client.sendall(before + json.dumps(answer).encode() + b"\r\n")
        before = EVENT


def session(greeting: bytes, answer: bytes = b"") -> Callable[[socket.socket], None]:
    """A server that greets so, and sends `answer` before its first answer."""

    def talk(client: socket.socket) -> None:
        client.sendall(greeting)
        answer_all(client, answer)

    return talk


def in_turn(*talks: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """A server that treats each client in its own way, later ones as the last."""
    left = list(talks)

    def talk(client: socket.socket) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(client)

    return talk


@pytest.mark.parametrize("spoiled", [session(EVENT + GREETING), session(GREETING, EVENT)])
def test_an_event_may_come_at_any_time(
    serve: Serve, spoiled: Callable[[socket.socket], None]
) -> None:
    """QEMU may send one even before it greets or answers a client."""
    hand_over(serve(in_turn(spoiled, spoiled, session(GREETING)))).close()


NO_QMP = "does not speak QMP"
NO_SESSION = "did not agree to a QMP session"
HOSTILE = {
    **dict.fromkeys((b"[]", b"5", b"null", b'{"QMP": 5}', b"[" * 100_000, b"\xff\xfe"), NO_QMP),
    **dict.fromkeys((b'{"a": ' + b"9" * 10_000 + b"}", b'"\\ud800"', b" " * (11 << 20)), NO_QMP),
    **dict.fromkeys((b"{}", b'{"return": {}}', b'{"QMP": {}}'), NO_SESSION),
}


@pytest.mark.parametrize(
    ("line", "words"), HOSTILE.items(), ids=[repr(line[:20]) for line in HOSTILE]
)
def test_greetings_that_are_none(serve: Serve, line: bytes, words: str) -> None:
    def talk(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.sendall(line + b"\n")
            until_hung_up(client)

    with pytest.raises(QmpRefusedError, match=words):
        hand_over(serve(talk))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"id": 1}', NO_SESSION),
        (b'{"error": {"desc": "no"}}', NO_SESSION),
        (b"[1]", NO_SESSION),
    ],
)
def test_answers_to_the_capabilities_that_are_none(serve: Serve, answer: bytes, words: str) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        client.recv(4096)
        client.sendall(answer + b"\n")
        until_hung_up(client)

    with pytest.raises(QmpRefusedError, match=words):
        hand_over(serve(talk))


SOMETHING_ELSE = "answered a QMP command with something else"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"id": ID}', SOMETHING_ELSE),
        (b"[1]", SOMETHING_ELSE),
        (b"no JSON", SOMETHING_ELSE),
        (b"[" * 100_000, SOMETHING_ELSE),
        (
            b'{"error": {"class": "X", "desc": "\\u001b[2J no\\n"}, "id": ID}',
            r"refuses: \\x1b\[2J no",
        ),
        (b'{"error": 5, "id": ID}', SOMETHING_ELSE),
        (b'{"error": {"desc": null}, "id": ID}', SOMETHING_ELSE),
        (b'{"error": {"class": "X", "desc": "of no command"}}', SOMETHING_ELSE),
    ],
)
def test_answers_that_are_none(serve: Serve, answer: bytes, words: str) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        asked = requests(client)
        next(asked)
        client.sendall(b'{"return": {}}\n')
        number = json.dumps(next(asked)["id"]).encode()
        client.sendall(answer.replace(b"ID", number) + b"\n")
        until_hung_up(client)

    with pytest.raises(QmpRefusedError, match=words):
        hand_over(serve(talk))


def test_events_without_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "COMMAND_TIMEOUT", 0.3)

    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        client.recv(4096)
        client.sendall(b'{"return": {}}\n')
        while True:
            client.sendall(EVENT * 100)

    with pytest.raises(QmpError, match="stopped answering"):
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


@pytest.mark.parametrize("answer", [b"", b'{"return": {}}\n'], ids=["unanswered", "answered"])
def test_hang_up_right_after_the_capabilities(serve: Serve, answer: bytes) -> None:
    def talk(client: socket.socket) -> None:
        client.sendall(GREETING)
        next(requests(client))
        client.sendall(answer)

    with pytest.raises(QmpError, match="closed the QMP connection"):
        hand_over(serve(talk))


def test_a_connected_socket_is_closed_also_on_failure() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(QmpError):
        hand_over_fd(ours)
    assert ours.fileno() == -1
