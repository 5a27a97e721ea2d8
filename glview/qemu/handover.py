"""The asynchronous half of `qmp`, with QEMU's own QMP library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from glview.errors import QmpError
from glview.qemu.qmp import NegotiationBrokenError

COMMAND_TIMEOUT = 5.0
"""Seconds that QEMU has for both commands."""

OWN_SOCKET = "give it a QMP socket of its own: -qmp unix:PATH,server=on,wait=off"

_FD_NAME = "glview"
_NO_P2P = "D-Bus display is not in use"  # ui/dbus.c; also for a display that is on a bus

# The library reports each failure by logging too; ours travel as QmpError.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


def send_display(monitor: socket.socket, fd: int, timeout: float | None) -> None:
    """Give QEMU `fd` as its display client over a connected QMP socket, then close that.

    `timeout` is for the greeting, None for ever. Raises `QmpError`.
    """
    asyncio.run(_send_display(monitor, fd, timeout))


async def _send_display(monitor: socket.socket, fd: int, timeout: float | None) -> None:
    async with _session(monitor, timeout) as client:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                client.send_fd_scm(fd)
                await client.execute("getfd", {"fdname": _FD_NAME})
                await client.execute(
                    "add_client", {"protocol": "@dbus-display", "fdname": _FD_NAME}
                )
        except ExecuteError as error:
            hint = "start QEMU with -display dbus,p2p=yes" if _NO_P2P in str(error) else ""
            raise QmpError(f"QEMU refuses: {error}", hint) from error
        except TimeoutError as error:
            raise QmpError("QEMU stopped answering on QMP", "is it stopped?") from error
        except (QMPError, OSError, EOFError) as error:
            raise QmpError("QEMU closed the QMP connection") from error


@contextlib.asynccontextmanager
async def _session(monitor: socket.socket, timeout: float | None) -> AsyncIterator[QMPClient]:
    """Run a QMP session on `monitor`, and end it whatever happens inside."""
    client = QMPClient()
    try:
        async with asyncio.timeout(timeout):
            await client.connect(monitor)
    except TimeoutError as error:
        raise QmpError(
            f"no QMP greeting within {timeout:g} s",
            f"another QMP client may be connected, or QEMU is stopped; {OWN_SOCKET}",
        ) from error
    except ConnectError as error:
        raise _greeting_error(error) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the socket is closed all the same
            await client.disconnect()


def _is_event(cause: BaseException | None) -> bool:
    """Tell whether an event came where the greeting belongs.

    A monitor whose last client had negotiated still counts as ready until its
    thread has seen to the next one (monitor/qmp.c).
    """
    return isinstance(cause, GreetingError) and isinstance(cause.__cause__, KeyError)


def _greeting_error(error: ConnectError) -> QmpError:
    if isinstance(error.__cause__, NegotiationError) or _is_event(error.__cause__):
        return NegotiationBrokenError("QEMU did not agree to a QMP session", "try again")
    if isinstance(error.__cause__, (EOFError, OSError)):
        return QmpError("the connection was closed before any QMP greeting")
    return QmpError(
        "that socket does not speak QMP",
        "it may be a human monitor (-monitor); glview needs QEMU's -qmp",
    )
