"""A QMP session on a connected Unix socket: greeting, capabilities, commands.

Messages are JSON objects, one a line. Events may come at any time, even before the greeting:
QEMU counts a monitor as ready until its thread has seen to the next client (monitor/qmp.c).
Nothing here needs them. (QEMU docs/interop/qmp-spec.rst)
"""

from __future__ import annotations

import array
import json
import socket
import time
from types import TracebackType
from typing import Any, Self

from glview.errors import QmpError, QmpRefusedError
from glview.text import printable

COMMAND_TIMEOUT = 5.0
"""Seconds that QEMU has for the answers to all commands of a session."""

OWN_SOCKET = "give it a QMP socket of its own: -qmp unix:PATH,server=on,wait=off"
NO_P2P_HINT = "start QEMU with -display dbus,p2p=yes"

MAX_LINE = 1 << 20
"""Bytes of a message; QEMU's greeting and answers have some hundred."""

MAX_EVENTS = 10_000
"""Events that may come before the message that is waited for."""

_PART = 1 << 16
_NO_P2P = "D-Bus display is not in use"  # ui/dbus.c; also for a display that is on a bus


class CommandError(QmpRefusedError):
    """QEMU answered a command with an error."""


class Monitor:
    """A QMP session, which owns its socket. Use with `with`.

    All methods raise `QmpError`: `QmpRefusedError` where QEMU refuses, or is no QEMU.
    """

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        """Wait `timeout` seconds for QEMU's greeting, None for ever, and agree on a session."""
        self._sock = sock
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer that hold no end of line
        self._number = 0
        try:
            self._await_greeting(timeout)
            self._deadline = time.monotonic() + COMMAND_TIMEOUT
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. QEMU forgets the descriptors that it was only given by getfd."""
        self._sock.close()

    def execute(self, command: str, *, fd: int | None = None, **arguments: object) -> object:
        """Run a command, with a copy of `fd` attached to it; return what QEMU answers."""
        self._number += 1
        request: dict[str, object] = {"execute": command, "id": self._number}
        if arguments:
            request["arguments"] = arguments
        try:
            self._send(json.dumps(request).encode() + b"\r\n", fd)
            answer = self._answer()
        except TimeoutError as error:
            raise QmpError("QEMU stopped answering on QMP", "is it stopped?") from error
        except OSError as error:
            raise QmpError("QEMU closed the QMP connection") from error
        if answer is None:
            raise QmpError("QEMU closed the QMP connection")
        if "return" in answer:
            return answer["return"]
        raise _refusal(command, answer["error"])

    def _await_greeting(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            greeting = self._next(deadline)
        except TimeoutError as error:
            raise QmpError(
                f"no QMP greeting within {timeout:g} s",
                f"another QMP client may be connected, or QEMU is stopped; {OWN_SOCKET}",
            ) from error
        except OSError as error:
            raise QmpError("the connection was closed before any QMP greeting") from error
        if greeting is None:
            raise QmpError("the connection was closed before any QMP greeting")
        if not isinstance(greeting.get("QMP"), dict):
            raise _no_qmp()

    def _answer(self) -> dict[str, Any] | None:
        """Return the answer to the newest command; None where QEMU hangs up."""
        answer = self._next(self._deadline)
        if answer is None:
            return None
        if answer.get("id") != self._number or ("return" in answer) == ("error" in answer):
            raise QmpRefusedError("QEMU answered a QMP command with something else", OWN_SOCKET)
        return answer

    def _next(self, deadline: float | None) -> dict[str, Any] | None:
        """Return the next message that is no event; None where QEMU hangs up.

        Raises TimeoutError at `deadline` in monotonic seconds, OSError, and QmpRefusedError for
        what is no JSON object.
        """
        for _ in range(MAX_EVENTS):
            line = self._line(deadline)
            if line is None:
                return None
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                raise _no_qmp() from None
            if not isinstance(message, dict):
                raise _no_qmp()
            if "event" not in message:
                return message
        raise QmpRefusedError("QEMU sends QMP events without end, and no answer")

    def _line(self, deadline: float | None) -> bytes | None:
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if self._searched > MAX_LINE:
                raise _no_qmp()
            self._arm(deadline)
            part = self._sock.recv(_PART)
            if not part:
                return None
            self._buffer += part
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _send(self, data: bytes, fd: int | None) -> None:
        """Send all of it, the descriptor with the first byte."""
        fds = array.array("i", () if fd is None else (fd,))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
        while data:
            self._arm(self._deadline)
            data = data[self._sock.sendmsg([data], rights) :]
            rights = []

    def _arm(self, deadline: float | None) -> None:
        """Give the next system call the time that is left. Raises TimeoutError."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


def _no_qmp() -> QmpRefusedError:
    return QmpRefusedError(
        "that socket does not speak QMP",
        "it may be a human monitor (-monitor); glview needs QEMU's -qmp",
    )


def _refusal(command: str, error: object) -> CommandError:
    """Put QEMU's error answer into words."""
    found = error.get("desc") if isinstance(error, dict) else None
    text = printable(found) if isinstance(found, str) else f"{command} failed"
    return CommandError(f"QEMU refuses: {text}", NO_P2P_HINT if _NO_P2P in text else "")
