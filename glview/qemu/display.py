"""QEMU's consoles on a control connection: ``org.qemu.Display1.Console``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from glview.dbus.transport import PROPERTIES, Transport
from glview.dbus.wire import Message, unwrap
from glview.errors import CallError, ProtocolError
from glview.qemu.properties import CONSOLE, checked, checked_changes

ROOT = "/org/qemu/Display1"
VM_PATH = f"{ROOT}/VM"

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
MOST_COMPLAINTS = 16

UNSUPPORTED = "org.qemu.Display1.Error.Unsupported"

PropertyHandler = Callable[[dict[str, Any]], None]


def console_path(number: int) -> str:
    """Object path of the console with that id."""
    return f"{ROOT}/Console_{number}"


def get_all(
    transport: Transport, destination: str, path: str, interface: str, timeout: float
) -> dict[str, Any]:
    """Read the properties of an interface of QEMU's, checked by `properties.checked`.

    `timeout` is in seconds, for a QEMU that may be stopped. Raises as `Transport.call`
    does, and ProtocolError.
    """
    reply = transport.call(
        destination, path, PROPERTIES, "GetAll", "s", (interface,), timeout=timeout
    )
    if len(reply) != 1 or not isinstance(reply[0], dict):
        raise ProtocolError(f"GetAll({interface}) was answered without properties")
    return checked(interface, reply[0])


class Console:
    """One console of a VM. `destination` is its unique bus name, "" peer to peer.

    All methods but `watch` wait for QEMU, and raise as `Transport.call` does.
    """

    def __init__(self, transport: Transport, destination: str, number: int) -> None:
        self.number = number
        self.path = console_path(number)
        self._transport = transport
        self._destination = destination
        self._resizable = True

    def register_listener(self, fd: int, timeout: float = 10.0) -> None:
        """Give QEMU its end of a listener socket; `fd` stays the caller's to close.

        QEMU answers, then stands still until somebody authenticates on the other
        end and answers its questions there.
        """
        self._transport.call(
            self._destination,
            self.path,
            CONSOLE,
            "RegisterListener",
            "h",
            (0,),
            fds=(fd,),
            timeout=timeout,
        )

    def properties(self, interface: str = CONSOLE) -> dict[str, Any]:
        """Read the properties of one of the console's interfaces, checked. Raises ProtocolError."""
        return get_all(self._transport, self._destination, self.path, interface, TIMEOUT_SECONDS)

    def set_ui_info(self, width: int, height: int, width_mm: int = 0, height_mm: int = 0) -> bool:
        """Ask the guest for a size in pixels; mm are the monitor's, 0 if unknown.

        0 x 0 unplugs the monitor. Returns False where the device has no such
        thing (VGA, bochs, qxl and others), and then does not ask QEMU again.
        """
        if not self._resizable:
            return False
        body = (width_mm, height_mm, 0, 0, width, height)
        try:
            self._transport.call(self._destination, self.path, CONSOLE, "SetUIInfo", "qqiiuu", body)
        except CallError as error:
            if error.name != UNSUPPORTED:
                raise
            self._resizable = False
        return self._resizable

    def watch(self, handler: PropertyHandler) -> Callable[[], None]:
        """Have `handler(changes)` called, names to values; returns the remover.

        Names are Width, Height, IsAbsolute of the mouse, Modifiers of the
        keyboard. It runs on the connection's reader, so it must not wait. Changes
        are not ordered against the calls on a listener socket. A signal with values
        that cannot be is left out, which is logged once.
        """
        complaints: set[str] = set()

        def on_signal(message: Message) -> None:
            if not self._is_change(message):
                return
            try:
                changes = checked_changes(message.body[0], unwrap(message.body[1]))
            except ProtocolError as error:
                _complain(str(error), complaints)
                return
            if changes:
                handler(changes)

        remove = self._transport.add_signal_handler(on_signal)
        sender = f"sender='{self._destination}'," if self._destination else ""
        try:
            self._transport.add_match(
                f"type='signal',{sender}path='{self.path}',"
                f"interface='{PROPERTIES}',member='PropertiesChanged'"
            )
        except BaseException:
            remove()
            raise
        return remove

    def _is_change(self, message: Message) -> bool:
        from_us = not self._destination.startswith(":") or message.sender == self._destination
        return (
            from_us
            and message.path == self.path
            and message.interface == PROPERTIES
            and message.member == "PropertiesChanged"
            and message.signature == "sa{sv}as"
        )


def _complain(text: str, said: set[str]) -> None:
    """Tell the user, once for each text and not without end."""
    if text not in said and len(said) < MOST_COMPLAINTS:
        said.add(text)
        log.warning("the VM sent a property that cannot be: %s", text)
