"""Handing QEMU one end of a socket pair over QMP, for a peer-to-peer display.

`-display dbus,p2p=yes` has no address: its client arrives as a file
descriptor, sent with the QMP commands ``getfd`` and ``add_client`` (QEMU's
``docs/interop/dbus-display.rst``). A QMP socket serves one client at a time,
so ours is closed again as soon as the descriptor is through.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from glview.errors import QmpError, QmpRefusedError

if TYPE_CHECKING:
    from glview.qemu.discovery import Vm

_Found = TypeVar("_Found")

GREETING_TIMEOUT = 5.0
"""Seconds that QEMU has for its greeting."""

_CONNECT_ERRORS = {
    errno.ENOENT: "there is no such socket",
    errno.ECONNREFUSED: "nobody listens there",
    errno.EACCES: "permission denied",
    errno.EAGAIN: "other clients wait there already",
    errno.EPROTOTYPE: "it is not a stream socket",
}
_FD_NAME = "glview"
_ATTEMPTS = 5  # at a session, where QEMU was not ready for the next client yet


def hand_over(path: str, timeout: float = GREETING_TIMEOUT) -> socket.socket:
    """Give QEMU a display connection through the QMP socket at `path`.

    Returns our end, on which D-Bus authentication has not begun. When this
    returns, the QMP socket is free for others again. Raises `QmpError`.
    """
    return _named(path, hand_over_fd, timeout)


def describe(path: str, timeout: float = GREETING_TIMEOUT) -> Vm:
    """Return the VM behind the QMP socket at `path`, with its graphic consoles, sizes unknown.

    Asks by QMP alone: a display connection would take the place of another
    viewer's. Raises `QmpError`.
    """
    from glview.qemu.described import read_vm  # brings asyncio

    return _named(path, read_vm, timeout)


def _named(
    path: str, act: Callable[[socket.socket, float | None], _Found], timeout: float
) -> _Found:
    """Call `act` with a connected QMP socket, which it closes; say in errors which one it was."""
    from glview.qemu.monitor import NotReadyError

    for left in reversed(range(_ATTEMPTS)):
        try:
            return act(_connect(path, timeout), timeout)
        except NotReadyError as error:
            if not left:
                raise QmpRefusedError(f"{path}: {error.args[0]}", error.hint) from error
        except QmpRefusedError as error:
            raise QmpRefusedError(f"{path}: {error.args[0]}", error.hint) from error
        except QmpError as error:
            raise QmpError(f"{path}: {error.args[0]}", error.hint) from error
    raise AssertionError("the last attempt returns or raises")


def hand_over_fd(monitor: socket.socket, timeout: float | None = GREETING_TIMEOUT) -> socket.socket:
    """Do as `hand_over` on a connected QMP socket, which is closed in any case.

    `timeout` None waits for the greeting for as long as QEMU holds the socket
    open. Raises `QmpError`, and `NoDescriptorsError` where none gets through.
    """
    from glview.qemu import forwarded
    from glview.qemu.monitor import Monitor  # brings asyncio

    with monitor:
        ours, theirs = socket.socketpair()
        try:
            with theirs, Monitor(monitor, timeout) as session:
                try:
                    session.execute("getfd", fd=theirs.fileno(), fdname=_FD_NAME)
                except QmpRefusedError as error:
                    raise forwarded.cause(error, None) from error
                session.execute("add_client", protocol="@dbus-display", fdname=_FD_NAME)
        except BaseException:
            ours.close()
            raise
    return ours


def _connect(path: str, timeout: float) -> socket.socket:
    monitor = socket.socket(socket.AF_UNIX)
    monitor.settimeout(timeout)  # with one, a full queue is an error at once
    try:
        monitor.connect(path)
    except OSError as error:
        monitor.close()
        cause = _CONNECT_ERRORS.get(error.errno or 0, str(error))
        for_ever = error.errno in (None, errno.EPROTOTYPE)  # None: a path that is too long
        kind = QmpRefusedError if for_ever and not isinstance(error, TimeoutError) else QmpError
        hint = "PATH is that of QEMU's -qmp unix:PATH,server=on,wait=off"
        raise kind(f"cannot connect to QMP at {path}: {cause}", hint) from error
    return monitor
