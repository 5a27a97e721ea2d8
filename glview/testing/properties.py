"""The live properties of one exported interface, and the names on the control connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from glview.dbus.wire import Message, Variant
from glview.errors import CallError

ROOT = "/org/qemu/Display1"
NAME = "org.qemu.Display1"
VM = f"{NAME}.VM"
CONSOLE = f"{NAME}.Console"
KEYBOARD = f"{NAME}.Keyboard"
MOUSE = f"{NAME}.Mouse"
TOUCH = f"{NAME}.MultiTouch"

FAILED = f"{NAME}.Error.Failed"
INVALID = f"{NAME}.Error.Invalid"
UNSUPPORTED = f"{NAME}.Error.Unsupported"
INVALID_ARGS = "org.freedesktop.DBus.Error.InvalidArgs"


class Machine(Protocol):
    """What an object needs of its VM."""

    @property
    def main_loop(self) -> AbstractContextManager[object]:
        """Held while QEMU's main loop would stand still."""

    def emit(self, path: str, interface: str, changed: dict[str, Variant]) -> None:
        """Send PropertiesChanged."""

    def abort(self, reason: str) -> None:
        """Die as QEMU does on a failed assertion."""


class Properties(Mapping[str, Variant]):
    """Properties that a client can only read while the main loop runs."""

    def __init__(self, main_loop: AbstractContextManager[object], **values: Variant) -> None:
        self._main_loop = main_loop
        self._values = values

    def __getitem__(self, name: str) -> Variant:
        with self._main_loop:
            return self._values[name]

    def __iter__(self) -> Iterator[str]:
        with self._main_loop:
            return iter(tuple(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def change(self, **values: object) -> dict[str, Variant]:
        """Set values, keeping their types; returns those that are new."""
        changed = {
            name: Variant(self._values[name].signature, value)
            for name, value in values.items()
            if self._values[name].value != value
        }
        self._values.update(changed)
        return changed


def check_types(message: Message, signature: str) -> None:
    """Refuse a call with other types, in GDBus's words."""
    if message.signature != signature:
        given = f"Type of message, “({message.signature})”"
        raise CallError(INVALID_ARGS, f"{given}, does not match expected type “({signature})”")
