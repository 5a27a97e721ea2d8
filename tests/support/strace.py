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
    """strace on QEMU's sending thread: `number` comes halfway through the next large message.

    What does not fit the socket's buffer GLib sends with `sendmsg`, and then the rest in parts
    with `sendto`; a message that fits needs none. So the n-th `sendto` lies inside of a body.
    """

    def __init__(self, qemu: Qemu, number: signal.Signals, part: int = 15) -> None:
        self._qemu = qemu
        self._calls = qemu.folder / "strace.log"
        self._calls.unlink(missing_ok=True)
        (thread,) = qemu.thread_ids(SENDER)
        fault = f"inject=sendto:signal={number.name}:when={part}"
        super().__init__(
            [
                *("strace", "-p", str(thread), "-o", str(self._calls), "-xx", "-s", "160"),
                *("-e", "trace=sendmsg,sendto", "-e", fault),
            ],
            qemu.folder / "strace.err",
        )
        until(lambda: "attached" in self.output, "strace on QEMU")

    def progress(self, member: str) -> Progress:
        """Of the newest message, which must be a call of `member`."""
        calls = self._calls.read_text().splitlines()
        first = max(n for n, call in enumerate(calls) if call.startswith("sendmsg("))
        start = _MESSAGE.search(calls[first])
        assert start, calls[first]
        assert member.encode() in bytes.fromhex(start["text"].replace("\\x", ""))
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
