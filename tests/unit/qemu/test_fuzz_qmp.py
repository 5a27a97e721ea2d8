"""Hostile QMP answers: greeting, capabilities, getfd, add_client, and what --list asks.

The other end sends its next message for each command that comes, and hangs up where it has none
left or no command comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from glview.errors import GlviewError
from glview.qemu.described import read_vm
from glview.qemu.discovery import Vm, choose_console, format_list
from glview.qemu.qmp import hand_over_fd
from tests.support.fuzzing import COUNTS, fuzz
from tests.support.values import text

GREETING = {"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}
EVENT = {"event": "RESET", "data": {"guest": True}, "timestamp": {"seconds": 1}}
NAMES = [{"name": f"console[{n}]", "type": "child<qemu-graphic-console>"} for n in (0, 1)]
VERSION = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}
HAND_OVER: list[object] = [{}, {}, {}]
DESCRIPTION: list[object] = [
    *({}, {"name": "deb"}, {"UUID": "12345678-9abc-def0-1234-56789abcdef0"}, NAMES),
    *("/machine/peripheral/gpu", 0, "/machine/peripheral/gpu", 1),
]
NAMELESS: list[object] = [
    *(
        {},
        {},
        VERSION,
        {"UUID": "00000000-0000-0000-0000-000000000000"},
        NAMES[:1],
        "/machine/unattached/device[3]",
        0,
        "VGA",
    ),
]
COMMAND = re.compile(  # as the client writes a command
    rb'"execute":"[a-z_-]+"(,"arguments":\{[^{}]*\})?(,"id":"(?P<id>[^"]*)")?\}'
)
PLAIN = (
    *(0, -1, True, None, 1.5, 1 << 31, 10**30, float("inf"), float("nan")),
    *("", "console[0]", "console[99]", "/backend", "/machine/peripheral/", "x" * 5_000),
)


def junk(pick: random.Random, depth: int = 0) -> Any:  # noqa: ANN401 - anything JSON can say
    """Return any value that JSON has."""
    roll = pick.random()
    if depth > 3 or roll < 0.5 + depth / 8:
        return pick.choice(PLAIN) if pick.random() < 0.8 else text(pick)
    if roll < 0.7:
        return [
            junk(pick, depth + 1) for _ in range(pick.choice((0, 1, 2) if depth else (0, 1, 2, 50)))
        ]
    keys = "return", "error", "id", "event", "name", "UUID", "qemu", "QMP", "desc", text(pick)
    return {key: junk(pick, depth + 1) for key in pick.sample(keys, pick.randint(0, 4))}


def spoiled(pick: random.Random, good: Any) -> Any:  # noqa: ANN401
    """Return `good` with something in it replaced."""
    if pick.random() < 0.4 or not isinstance(good, dict | list) or not good:
        return junk(pick)
    if isinstance(good, list):
        at = pick.randrange(len(good))
        return [*good[:at], spoiled(pick, good[at]), *good[at + 1 :]]
    name = pick.choice(list(good))
    if pick.random() < 0.2:
        return {key: value for key, value in good.items() if key != name}
    return {**good, name: spoiled(pick, good[name])}


def line(pick: random.Random, message: object, rate: float) -> bytes:
    """Return a message as it stands on the wire, now and then none at all."""
    if pick.random() < rate:
        message = spoiled(pick, message)
    data = json.dumps(message).encode()
    if pick.random() < rate / 4:
        cut = pick.randrange(len(data) + 1)
        extra = pick.choice((b"", b"\0", b"\xff", b"{", b"[" * 50_000, b"\n\n", b"9" * 5_000))
        data = data[:cut] + extra + data[cut:]
    return data + pick.choice((b"\r\n", b"\r\n", b"\n"))


def script(pick: random.Random, answers: list[object]) -> Iterator[bytes]:
    """Yield the messages of a session, up to some point; `ID` stands for that of the command."""
    rate = pick.choice((0.0, 0.05, 0.3))
    messages: list[object] = [GREETING]
    for answer in answers:
        key = "error" if pick.random() < rate / 4 else "return"
        messages.append({key: answer, "id": "ID"})
    for message in messages[: pick.choice((*[len(messages)] * 5, 1, 3))]:
        event = line(pick, EVENT, rate) if pick.random() < rate else b""
        yield event + line(pick, message, rate)


def answer(client: socket.socket, messages: list[bytes]) -> None:
    """Send one message at once and one for each command, until there is none left."""
    client.settimeout(0.01)  # a command that waits for an answer it never gets
    requests, number = b"", b""
    with client, contextlib.suppress(OSError):
        for message in messages:
            client.sendall(message.replace(b"ID", number))
            while not (found := COMMAND.search(requests)):
                data = client.recv(4096)
                if not data:
                    return
                requests += data
            number = found["id"] or b""
            requests = requests[found.end() :]


@contextlib.contextmanager
def session(pick: random.Random, answers: list[object]) -> Iterator[socket.socket]:
    """A socket whose other end says all that."""
    ours, theirs = socket.socketpair()
    messages = list(script(pick, answers))
    thread = threading.Thread(target=answer, args=(theirs, messages), daemon=True)
    with ours:
        thread.start()
        try:
            yield ours
        finally:
            ours.close()
            thread.join()


def hand_over(pick: random.Random) -> None:
    """Ask for a display connection."""
    with session(pick, HAND_OVER) as monitor:
        hand_over_fd(monitor).close()


def describe(pick: random.Random) -> Vm:
    """Ask for what --list shows."""
    with session(pick, pick.choice((DESCRIPTION, NAMELESS))) as monitor:
        vm = read_vm(monitor, 5.0)
    assert isinstance(vm.name, str)
    format_list([vm])
    choose_console(vm)
    return vm


def either(pick: random.Random) -> None:
    """Do one of the two."""
    pick.choice((hand_over, describe))(pick)


@pytest.mark.parametrize("count", COUNTS)
def test_nothing_but_errors_of_our_own(count: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fuzz(either, count)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_answers_are_good_often_enough() -> None:
    """Both ends of a session are reached; else the fuzzer would prove little."""
    good = bad = 0
    for number in range(400):
        try:
            assert describe(random.Random(number)).consoles
            good += 1
        except GlviewError:
            bad += 1
    assert good > 100
    assert bad > 100
