"""QEMU's side of a socket as the kernel sees it, and faults at a chosen moment: strace."""

from __future__ import annotations

import re
import signal
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
