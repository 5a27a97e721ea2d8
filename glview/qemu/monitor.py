"""A QMP session on a connected Unix socket: plain calls over QEMU's own client library.

The library is asynchronous and reports a broken session in many ways, some of them
assertions. Here every one of them becomes a `QmpError`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from qemu.qmp import ConnectError, ExecuteError, QMPClient
from qemu.qmp.error import ProtocolError
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from glview.errors import QmpError, QmpRefusedError
from glview.text import printable

_T = TypeVar("_T")

COMMAND_TIMEOUT = 5.0
"""Seconds that QEMU has for the answers to all commands of a session."""

OWN_SOCKET = "give it a QMP socket of its own: -qmp unix:PATH,server=on,wait=off"
NO_P2P_HINT = "start QEMU with -display dbus,p2p=yes"

_CLOSE_TIMEOUT = 1.0  # seconds; a peer that does not read may keep the library from closing
_NO_P2P = "D-Bus display is not in use"  # ui/dbus.c; also for a display that is on a bus

# The library logs each failure as well; here failures travel as QmpError.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


class CommandError(QmpRefusedError):
    """QEMU answered a command with an error."""


class NotReadyError(QmpRefusedError):
    """Something else came in place of the greeting or of the answer to qmp_capabilities.

    QEMU counts a monitor as ready until its thread has seen to the next client
    (monitor/qmp.c), so an event may come before the greeting: another attempt may succeed.
    """


class Monitor:
    """A QMP session, which owns its socket. Use with `with`.

    All methods raise `QmpError`: `QmpRefusedError` where QEMU refuses, or is no QEMU. Must not
    be used in a thread that runs an asyncio loop.
    """

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        """Wait `timeout` seconds for QEMU's greeting, None for ever, and agree on a session."""
        self._sock = sock
        self._runner = asyncio.Runner()
        self._client = QMPClient()
        self._client.events.event_filter = lambda _event: False  # else events pile up
        try:
            # A task of the library that fails does so for a reason that is raised here, too.
            self._runner.get_loop().set_exception_handler(lambda _loop, _context: None)
            self._connect(timeout)
            self._deadline = time.monotonic() + COMMAND_TIMEOUT
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
        self._end()
        self._runner.close()
        self._sock.close()

    def execute(self, command: str, *, fd: int | None = None, **arguments: object) -> object:
        """Run a command, with a copy of `fd` attached to it; return what QEMU answers."""

        async def run() -> object:
            if fd is not None:
                self._client.send_fd_scm(fd)
            return await self._client.execute(command, arguments or None)

        try:
            return self._run(run(), max(self._deadline - time.monotonic(), 0.0))
        except ExecuteError as error:
            text = printable(str(error))
            hint = NO_P2P_HINT if _NO_P2P in text else ""
            raise CommandError(f"QEMU refuses: {text}", hint) from error
        except TimeoutError as error:
            raise QmpError("QEMU stopped answering on QMP", "is it stopped?") from error
        except ProtocolError as error:
            raise _unexpected() from error
        except Exception as error:  # also assertions of the library
            raise self._broken(error) from error

    def _run(self, work: Coroutine[Any, Any, _T], timeout: float | None) -> _T:
        return self._runner.run(asyncio.wait_for(work, timeout))

    def _connect(self, timeout: float | None) -> None:
        try:
            self._run(self._client.connect(self._sock), timeout)
        except TimeoutError as error:
            raise QmpError(
                f"no QMP greeting within {timeout:g} s",
                f"another QMP client may be connected, or QEMU is stopped; {OWN_SOCKET}",
            ) from error
        except ConnectError as error:
            raise self._refused(error) from error
        except Exception as error:  # the library asserts where QEMU ends as soon as it has agreed
            raise self._broken(error) from error

    def _refused(self, error: ConnectError) -> QmpError:
        """Put the failure of a greeting, or of qmp_capabilities, into words."""
        cause = error.exc
        if isinstance(cause, (EOFError, OSError)):
            if self._client.greeting is None:
                return QmpError("the connection was closed before any QMP greeting")
            return _closed()
        event = isinstance(cause, GreetingError) and isinstance(cause.exc, KeyError)
        if event or isinstance(cause, NegotiationError):
            return NotReadyError("QEMU did not agree to a QMP session", OWN_SOCKET)
        return _no_qmp()

    def _broken(self, error: Exception) -> QmpError:
        """Put a session that has ended into words, by the reason that the library gives last."""
        reason = self._end() or error
        if isinstance(reason, (ProtocolError, ValueError, RecursionError)):
            return _unexpected()
        return _closed()

    def _end(self) -> Exception | None:
        """End the session; return the reason for which the library had ended it before."""
        try:
            self._run(self._client.disconnect(), _CLOSE_TIMEOUT)
        except Exception as error:
            return error
        return None


def _no_qmp() -> QmpRefusedError:
    return QmpRefusedError(
        "that socket does not speak QMP",
        "it may be a human monitor (-monitor); glview needs QEMU's -qmp",
    )


def _unexpected() -> QmpRefusedError:
    return QmpRefusedError("QEMU answered a QMP command with something else", OWN_SOCKET)


def _closed() -> QmpError:
    return QmpError("QEMU closed the QMP connection")
