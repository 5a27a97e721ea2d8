"""Keyboard and mouse calls to QEMU, packed into messages made beforehand.

A mouse reports up to 1000 times a second. So each call is a template in which only
the serial number and the arguments change, motion is sent once for each turn of the
main loop, and nothing here waits for QEMU: all calls are sent with
NO_REPLY_EXPECTED, and while QEMU does not read, motion is added up here.
"""

from __future__ import annotations

from struct import Struct
from typing import Protocol

from glview.dbus.wire import CALL, NO_REPLY_EXPECTED, Message, encode

KEYBOARD = "org.qemu.Display1.Keyboard"
MOUSE = "org.qemu.Display1.Mouse"

LAST_BUTTON = 8
"""The highest button of QEMU's (wheel right). Versions up to 10.0 abort on higher ones."""

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1

_SERIAL = Struct("<I")
_SERIAL_OFFSET = 8  # in the fixed header of a D-Bus message


class Outlet(Protocol):
    """The connection that calls are posted on; `PeerConnection` is one."""

    @property
    def wants_write(self) -> bool:
        """Whether posted messages still wait, because the other side does not read."""

    def next_serial(self) -> int:
        """A serial number for one message."""

    def post(self, data: bytes) -> bool:
        """Send a whole message, or queue it; never waits. False where it was dropped."""


class _Template:
    """One method call in which the serial number and integer arguments are left open."""

    def __init__(self, message: Message) -> None:
        self._data = bytearray(encode(message))
        self._arguments = Struct("<" + message.signature.replace("u", "I"))
        self._offset = len(self._data) - self._arguments.size

    def fill(self, serial: int, *arguments: int) -> bytes:
        """The message with that serial number and those arguments."""
        _SERIAL.pack_into(self._data, _SERIAL_OFFSET, serial)
        self._arguments.pack_into(self._data, self._offset, *arguments)
        return bytes(self._data)


class InputCalls:
    """The keyboard and the mouse of one console.

    `path` is the console's object path; `destination` is QEMU's unique name on a bus,
    and empty peer to peer. All of it belongs to one thread.

    Motion is only noted. It goes out, as one call, with the next `flush`, or before
    the next key or button, so that a click lands where the pointer was.
    """

    def __init__(self, outlet: Outlet, path: str, destination: str = "") -> None:
        def template(interface: str, member: str, signature: str) -> _Template:
            message = Message(
                CALL,
                serial=1,
                flags=NO_REPLY_EXPECTED,
                path=path,
                interface=interface,
                member=member,
                destination=destination,
                signature=signature,
                body=(0,) * len(signature),
            )
            return _Template(message)

        self._outlet = outlet
        self._press_key = template(KEYBOARD, "Press", "u")
        self._release_key = template(KEYBOARD, "Release", "u")
        self._press_button = template(MOUSE, "Press", "u")
        self._release_button = template(MOUSE, "Release", "u")
        self._set_abs_position = template(MOUSE, "SetAbsPosition", "uu")
        self._rel_motion = template(MOUSE, "RelMotion", "ii")
        self._motion: tuple[_Template, int, int] | None = None

    def press_key(self, qnum: int) -> None:
        """A key goes down."""
        self._send(self._press_key, qnum)

    def repeat_key(self, qnum: int) -> None:
        """A key is held: one more press, unless QEMU is behind and would get them all at once."""
        if not self._outlet.wants_write:
            self._send(self._press_key, qnum)

    def release_key(self, qnum: int) -> None:
        """A key goes up."""
        self._send(self._release_key, qnum)

    def press_button(self, button: int) -> None:
        """A button of QEMU's goes down. Raises ValueError for one that QEMU does not have."""
        self._send(self._press_button, _checked(button))

    def release_button(self, button: int) -> None:
        """A button of QEMU's goes up. Raises ValueError for one that QEMU does not have."""
        self._send(self._release_button, _checked(button))

    def abs_position(self, x: int, y: int) -> None:
        """The pointer is at that pixel of the console; replaces motion not sent yet."""
        self._motion = self._set_abs_position, x, y

    def rel_motion(self, dx: int, dy: int) -> None:
        """The pointer moved; adds to relative motion not sent yet."""
        if self._motion is not None and self._motion[0] is self._rel_motion:
            dx, dy = self._motion[1] + dx, self._motion[2] + dy
        self._motion = self._rel_motion, _int32(dx), _int32(dy)

    def drop_motion(self) -> None:
        """Forget motion not sent yet, as when QEMU no longer takes its kind."""
        self._motion = None

    @property
    def pending(self) -> bool:
        """Whether there is motion not sent yet: after `flush`, that QEMU is behind.

        The main loop then flushes again when the connection has become writable.
        """
        return self._motion is not None

    def flush(self) -> None:
        """Send the motion there is, unless QEMU is behind; once for each turn of the main loop."""
        if self._motion is not None and not self._outlet.wants_write:
            self._send_motion()

    def _send_motion(self) -> None:
        if self._motion is not None:
            template, x, y = self._motion
            self._motion = None
            self._outlet.post(template.fill(self._outlet.next_serial(), x, y))

    def _send(self, template: _Template, argument: int) -> None:
        self._send_motion()
        self._outlet.post(template.fill(self._outlet.next_serial(), argument))


def _checked(button: int) -> int:
    if not 0 <= button <= LAST_BUTTON:
        raise ValueError(f"QEMU has no button {button}")
    return button


def _int32(value: int) -> int:
    return min(max(value, INT32_MIN), INT32_MAX)
