"""The type and range of each property of QEMU's objects, to check values from a peer.

Any client of a bus may claim QEMU's name, and what answers on a socket need not be QEMU.
Values come as `Transport.call` returns them, with variants unwrapped. (QEMU ui/dbus-display1.xml)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from glview.errors import ProtocolError
from glview.text import printable

VM = "org.qemu.Display1.VM"
CONSOLE = "org.qemu.Display1.Console"
KEYBOARD = "org.qemu.Display1.Keyboard"
MOUSE = "org.qemu.Display1.Mouse"

MAX_SIDE = 0xFFFF
"""Pixels; QEMU's surfaces have at most 16384 or 32767, depending on the device."""

MAX_TEXT = 4096
"""Characters of a name or label; what is longer is cut."""

MAX_CONSOLES = 64
"""Consoles of a VM; QEMU's largest device has 16."""

MAX_INTERFACES = 64

Value = Any  # of a D-Bus type; see the table in `glview.dbus.values`


class Property(NamedTuple):
    """A property: its D-Bus signature, and a function from a raw value to a checked one.

    `check` raises ValueError or TypeError. Not every QEMU has an `optional` property.
    """

    signature: str
    check: Callable[[Value], Value]
    optional: bool = False


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value[:MAX_TEXT]


def _flag(value: Value) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _number(value: Value, most: int = 0xFFFF_FFFF) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    if not 0 <= value <= most:
        raise ValueError
    return value


def _side(value: Value) -> int:
    return _number(value, MAX_SIDE)


def _list_of(check: Callable[[Value], Value], most: int) -> Callable[[Value], list[Value]]:
    def checked_list(value: Value) -> list[Value]:
        if not isinstance(value, list):
            raise TypeError
        if len(value) > most:
            raise ValueError
        return [check(item) for item in value]

    return checked_list


TABLE: dict[str, dict[str, Property]] = {
    VM: {
        "Name": Property("s", _text),
        "UUID": Property("s", _text),
        "ConsoleIDs": Property("au", _list_of(_number, MAX_CONSOLES)),
    },
    CONSOLE: {
        "Label": Property("s", _text),
        "Head": Property("u", _number),
        "Type": Property("s", _text),
        "Width": Property("u", _side),
        "Height": Property("u", _side),
        "Interfaces": Property("as", _list_of(_text, MAX_INTERFACES), optional=True),  # QEMU 8.0
    },
    KEYBOARD: {"Modifiers": Property("u", _number)},
    MOUSE: {"IsAbsolute": Property("b", _flag)},
}
"""The properties that are used here; others are passed over."""


def checked(interface: str, values: Value) -> dict[str, Value]:
    """Return the properties of an interface that the table has, as an answer to GetAll brings them.

    Raises ProtocolError where one is missing, or is not what it must be.
    """
    found = checked_changes(interface, values)
    for name, known in TABLE[interface].items():
        if name not in found and not known.optional:
            raise ProtocolError(f"{interface} came without its property {name}")
    return found


def checked_changes(interface: Value, values: Value) -> dict[str, Value]:
    """Do as `checked` for some of an interface's properties, as a signal brings them.

    An interface that the table does not have has none.
    """
    if not isinstance(interface, str) or not isinstance(values, Mapping):
        raise ProtocolError("properties came as something else")
    found = {}
    for name, known in TABLE.get(interface, {}).items():
        if name in values:
            found[name] = _checked_one(name, known, values[name])
    return found


def _checked_one(name: str, known: Property, value: Value) -> Value:
    try:
        return known.check(value)
    except TypeError:
        kind = type(value).__name__
        raise ProtocolError(
            f"the property {name} has the type {kind} where '{known.signature}' belongs"
        ) from None
    except ValueError:
        shown = printable(str(value), 40) if isinstance(value, int) else f"{len(value)} values"
        raise ProtocolError(f"the property {name} is {shown}") from None
