"""Handing QEMU one end of a socket pair over QMP, for a peer-to-peer display.

`-display dbus,p2p=yes` has no address: its client arrives as a file
descriptor, sent with the QMP commands ``getfd`` and ``add_client`` (QEMU's
``docs/interop/dbus-display.rst``). A QMP socket serves one client at a time,
so ours is closed again as soon as the descriptor is through.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING

from glview.errors import QmpError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from qemu.qmp import QMPClient

ANSWER_TIMEOUT = 5.0
"""Seconds that QEMU has for its greeting, and again for both commands."""

_FD_NAME = "glview"
_OWN_SOCKET = "give it a QMP socket of its own: -qmp unix:PATH,server=on,wait=off"
_P2P_OPTION = "start QEMU with -display dbus,p2p=yes"

_CONNECT_ERRORS = {
    errno.ENOENT: "there is no such socket",
    errno.ECONNREFUSED: "nobody listens there",
    errno.EACCES: "permission denied",
    errno.EAGAIN: "it is busy with other clients",
    errno.EPROTOTYPE: "it is not a stream socket",
}


def hand_over(path: str, timeout: float = ANSWER_TIMEOUT) -> socket.socket:
    """Give QEMU a display connection through the QMP socket at `path`.

    Returns our end, on which D-Bus authentication has not begun. When this
    returns, the QMP socket is free for others again. Raises `QmpError`.
    """
    monitor = _connect(path)
    try:
        return hand_over_fd(monitor, timeout)
    except QmpError as error:
        raise QmpError(f"{path}: {error.args[0]}", error.hint) from error


def hand_over_fd(monitor: socket.socket, timeout: float | None = ANSWER_TIMEOUT) -> socket.socket:
    """Do as `hand_over` on a connected QMP socket, which is closed in any case.

    `timeout` None waits for the greeting for as long as QEMU holds the socket
    open. Must not be called in a thread that runs an asyncio loop.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            asyncio.run(_send_display(monitor, theirs.fileno(), timeout))
    except BaseException:
        ours.close()
        raise
    finally:
        monitor.close()
    return ours


def _connect(path: str) -> socket.socket:
    monitor = socket.socket(socket.AF_UNIX)
    try:
        monitor.connect(path)
    except OSError as error:
        monitor.close()
        cause = _CONNECT_ERRORS.get(error.errno or 0, str(error))
        hint = _OWN_SOCKET if error.errno == errno.EAGAIN else "the PATH of QEMU's -qmp unix:PATH"
        raise QmpError(f"cannot connect to QMP at {path}: {cause}", hint) from error
    return monitor


async def _send_display(monitor: socket.socket, fd: int, timeout: float | None) -> None:
    from qemu.qmp import ExecuteError, QMPError

    async with _session(monitor, timeout) as client:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                client.send_fd_scm(fd)
                await client.execute("getfd", {"fdname": _FD_NAME})
                await client.execute(
                    "add_client", {"protocol": "@dbus-display", "fdname": _FD_NAME}
                )
        except ExecuteError as error:
            raise QmpError(f"QEMU refuses: {error}", _P2P_OPTION) from error
        except TimeoutError as error:
            raise QmpError("QEMU stopped answering on QMP", "is it stopped?") from error
        except (QMPError, OSError, EOFError) as error:
            raise QmpError("QEMU closed the QMP connection") from error


@contextlib.asynccontextmanager
async def _session(monitor: socket.socket, timeout: float | None) -> AsyncIterator[QMPClient]:
    """Run a QMP session on `monitor`, and end it whatever happens inside."""
    from qemu.qmp import ConnectError, QMPClient

    # The library reports each failure by logging too; ours travel as QmpError.
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)
    client = QMPClient()
    try:
        async with asyncio.timeout(timeout):
            await client.connect(monitor)
    except TimeoutError as error:
        raise QmpError(
            f"no QMP greeting within {timeout:g} s",
            f"another QMP client may be connected, or QEMU is stopped; {_OWN_SOCKET}",
        ) from error
    except ConnectError as error:
        raise _greeting_error(error) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the socket is closed all the same
            await client.disconnect()


def _greeting_error(error: Exception) -> QmpError:
    cause = error.__cause__
    if isinstance(cause, (EOFError, OSError)):
        return QmpError("the connection was closed before any QMP greeting")
    return QmpError(
        "that socket does not speak QMP",
        "it may be a human monitor (-monitor); glview needs QEMU's -qmp",
    )
