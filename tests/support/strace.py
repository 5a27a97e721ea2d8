"""QEMU's side of a socket as the kernel sees it, and faults at a chosen moment: strace."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.process import Child
from tests.support.qemu import Qemu
from tests.support.wait import until

SENDER = "gdbus"
"""The thread through which GLib sends and receives all D-Bus messages of a process."""


class Progress(NamedTuple):
    """How much of a message the kernel has taken, and how long it is, in bytes."""

    sent: int
    length: int


class Interrupted(Child):
    """strace on QEMU's sending thread: `number` comes in the middle of a large message.

    What fits the socket's buffer GLib sends with `sendmsg`, and what is left, in parts, with
    `sendto`. So any `sendto` lies inside of a body; this one finds no room, so that there is
    more to come. Now and then the kernel takes a whole message at once, because the reader is
    fast: the fault waits for the next one.
    """

    def __init__(self, qemu: Qemu, number: signal.Signals, part: int = 8) -> None:
        self._qemu = qemu
        self._calls = qemu.folder / "strace.log"
        self._calls.unlink(missing_ok=True)
        (thread,) = qemu.thread_ids(SENDER)
        fault = f"inject=sendto:error=EAGAIN:signal={number.name}:when={part}"
        super().__init__(
            [
                *("strace", "-p", str(thread), "-o", str(self._calls), "-xx", "-s", "160"),
                *("-e", "trace=sendmsg,sendto", "-e", fault),
            ],
            qemu.folder / "strace.err",
        )
        until(lambda: "attached" in self.output, "strace on QEMU")

    def __enter__(self) -> Interrupted:
        return self

    @property
    def happened(self) -> bool:
        """Whether the signal has had its effect."""
        return not self._qemu.alive or self._qemu.stopped

    def progress(self, member: str) -> Progress:
        """Of the message that was interrupted, which must be a call of `member`."""
        calls = self._calls.read_text().splitlines()
        last = next(call for call in reversed(calls) if call.startswith("sendto("))
        fd = last[len("sendto(") : last.index(",")]
        calls = [call for call in calls if call.startswith((f"sendmsg({fd},", f"sendto({fd},"))]
        first = max(n for n, call in enumerate(calls) if call.startswith("sendmsg("))
        start = _MESSAGE.search(calls[first])
        assert start, calls[first]
        text = bytes.fromhex(start["text"].replace("\\x", ""))
        assert member.encode() in text, text
        parts = (_RESULT.search(call) for call in calls[first:])
        return Progress(sum(int(part[1]) for part in parts if part), int(start["length"]))


def answering(folder: Path) -> list[str]:
    """A program that runs QEMU for `answers`: `under` of `Qemu`. Leaves its logs in `folder`."""
    return [
        *("strace", "-D", "-ff", "--seccomp-bpf", "-o", str(folder / _CALLS), "-ttt"),
        *("-e", "trace=sendmsg,sendto,recvmsg", "-e", "signal=none", "-xx", "-s", "256"),
    ]


class Answer(NamedTuple):
    """An answer of a listener's: to what, when it was asked (Unix time), how long it took."""

    member: str
    asked: float
    took: float


def answers(folder: Path) -> list[Answer]:
    """All answers that QEMU waited for, the last of which may be under way. Raises `Timeout`.

    A wait goes from the beginning of the call that sends the question to that which takes the
    first bytes of the answer: QEMU's own way to wake up is in it.
    """
    return until(lambda: _complete(folder), "all answers")


def _complete(folder: Path) -> list[Answer]:
    """The answers, if each question has one."""
    found, unanswered = questions(folder)
    return [] if unanswered else found


def questions(folder: Path) -> tuple[list[Answer], list[tuple[str, float]]]:
    """Return the answers so far, and the questions without one: of what, and when (Unix time)."""
    asked: dict[tuple[str, int], tuple[str, float]] = {}
    found: list[Answer] = []
    begun: dict[str, float] = {}
    for name, fd, at, data in _messages(folder):
        if name == "sendmsg":
            member = next((m for m in _QUESTIONS if m.encode() + b"\0" in data), "")
            if member and b"/org/qemu/Display1/Listener\0" in data:
                asked[fd, int.from_bytes(data[8:12], "little")] = member, at
        elif len(data) == _HEAD:
            begun[fd] = at
        elif reply := _REPLY_SERIAL.search(data):
            question = asked.pop((fd, int.from_bytes(reply[1], "little")), None)
            if question:
                found.append(Answer(*question, begun[fd] - question[1]))
    return found, list(asked.values())


def _messages(folder: Path) -> Iterator[tuple[str, str, float, bytes]]:
    """Calls of the thread that has to do with messages: name, descriptor, time, first bytes."""
    for log in folder.glob(f"{_CALLS}.*"):
        for line in log.read_text().splitlines():
            call, text = _CALL.match(line), _MESSAGE.search(line)
            if call and text:
                data = bytes.fromhex(text["text"].replace("\\x", ""))
                yield call["name"], call["fd"], float(call["at"]), data


def tracer(process: Child) -> int:
    """Process id of the strace that looks at it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


_CALLS = "calls"
_QUESTIONS = "GetAll", "ScanoutMap"
_HEAD = 16  # what GLib reads first of a message: the fixed header
_REPLY_SERIAL = re.compile(rb"\x05\x01u\0(.{4})", re.DOTALL)
_CALL = re.compile(r"(?P<at>[\d.]+) (?P<name>\w+)\((?P<fd>\d+),")
_MESSAGE = re.compile(r'iov_base="(?P<text>[\\x0-9a-f]*)"(?:\.\.\.)?, iov_len=(?P<length>\d+)')
_RESULT = re.compile(r"\) = (\d+)")


def bytes_awaited(process: Child) -> set[int]:
    """Sizes of what its threads that are blocked in a system call want to read or write.

    Third argument of the call, as `recv` has it.
    """
    found = set()
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        fields = (task / "syscall").read_text().split()
        if len(fields) > 3:
            found.add(int(fields[3], 16))
    return found
