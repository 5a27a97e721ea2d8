"""Reach QEMU over QMP: hand it one end of a socket pair as its display, or ask which VM it is.

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

from glview.errors import QmpError

if TYPE_CHECKING:
    from glview.qemu.discovery import Vm

GREETING_TIMEOUT = 5.0
"""Seconds that QEMU has for its greeting."""

_CONNECT_ERRORS = {
    errno.ENOENT: "there is no such socket",
    errno.ECONNREFUSED: "nobody listens there",
    errno.EACCES: "permission denied",
    errno.EAGAIN: "other clients wait there already",
    errno.EPROTOTYPE: "it is not a stream socket",
}


class NegotiationBrokenError(QmpError):
    """Something came in place of QEMU's greeting or answer; another attempt will do better.

    QEMU counts a client as ready before it answers it, and the next one until it
    greets it, so that an event may get in between (monitor/qmp.c), which the
    library does not expect.
    """


_ATTEMPTS = 5


def hand_over(path: str, timeout: float = GREETING_TIMEOUT) -> socket.socket:
    """Give QEMU a display connection through the QMP socket at `path`.

    Returns our end, on which D-Bus authentication has not begun. When this
    returns, the QMP socket is free for others again. Raises `QmpError`.
    """
    return _attempt(path, timeout, hand_over_fd)


def describe(path: str, timeout: float = GREETING_TIMEOUT) -> Vm:
    """Return the VM behind the QMP socket at `path`, with its graphic consoles, sizes unknown.

    Asks by QMP alone: a display connection would take the place of another
    viewer's. Raises `QmpError`.
    """

    def ask(monitor: socket.socket, timeout: float | None) -> Vm:
        from glview.qemu.handover import read_vm  # brings asyncio

        with monitor:
            return read_vm(monitor, timeout)

    return _attempt(path, timeout, ask)


_Found = TypeVar("_Found")


def _attempt(
    path: str, timeout: float, act: Callable[[socket.socket, float | None], _Found]
) -> _Found:
    """Call `act` with a connected QMP socket, which it closes; again where QEMU was not ready."""
    for attempt in range(1, _ATTEMPTS + 1):
        monitor = _connect(path, timeout)
        try:
            return act(monitor, timeout)
        except NegotiationBrokenError as error:
            if attempt == _ATTEMPTS:
                raise QmpError(f"{path}: {error.args[0]}", error.hint) from error
        except QmpError as error:
            raise QmpError(f"{path}: {error.args[0]}", error.hint) from error
    raise AssertionError("the last attempt returns or raises")


def hand_over_fd(monitor: socket.socket, timeout: float | None = GREETING_TIMEOUT) -> socket.socket:
    """Do as `hand_over` on a connected QMP socket, which is closed in any case.

    `timeout` None waits for the greeting for as long as QEMU holds the socket
    open. Must not be called in a thread that runs an asyncio loop.
    """
    from glview.qemu.handover import send_display  # brings asyncio

    ours, theirs = socket.socketpair()
    try:
        with theirs:
            send_display(monitor, theirs.fileno(), timeout)
    except BaseException:
        ours.close()
        raise
    finally:
        monitor.close()
    return ours


def _connect(path: str, timeout: float) -> socket.socket:
    monitor = socket.socket(socket.AF_UNIX)
    monitor.settimeout(timeout)  # with one, a full queue is an error at once
    try:
        monitor.connect(path)
    except OSError as error:
        monitor.close()
        cause = _CONNECT_ERRORS.get(error.errno or 0, str(error))
        hint = "PATH is that of QEMU's -qmp unix:PATH,server=on,wait=off"
        raise QmpError(f"cannot connect to QMP at {path}: {cause}", hint) from error
    return monitor
