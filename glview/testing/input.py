"""Keyboard, mouse and touch of one fake console: checks calls as QEMU does and logs them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from glview.dbus.exports import Answer, Method
from glview.dbus.wire import Message, Variant
from glview.errors import CallError
from glview.testing.properties import (
    INVALID,
    KEYBOARD,
    MOUSE,
    NAME,
    TOUCH,
    Machine,
    Properties,
    check_types,
)

LAST_BUTTON = 8  # QEMU before 11 aborts on any beyond
TOUCH_SLOTS = 10
TOUCH_KINDS = 4


class InputCall(NamedTuple):
    """A call as it came in: ``InputCall(12.5, "Mouse.Press", (0,))``.

    `seconds` are those of `time.monotonic`; `error` is the text it was refused with.
    """

    seconds: float
    member: str
    args: tuple[Any, ...]
    error: str = ""


class FakeInput:
    """What a client may press and move. `size` tells the console's width and height, pixels.

    `log` only ever grows; `changed` is notified after each entry, then `on_input` called, on
    the thread that read the call. A key release that fits no press is swallowed.
    """

    def __init__(
        self,
        machine: Machine,
        absolute: bool,
        size: Callable[[], tuple[int, int]],
        changed: threading.Condition,
    ) -> None:
        self.log: list[InputCall] = []
        self.keys_down: set[int] = set()
        self.buttons_down: set[int] = set()
        self.on_input: Callable[[InputCall], None] = lambda call: None
        self.properties = {
            KEYBOARD: Properties(machine.main_loop, Modifiers=Variant("u", 0)),
            MOUSE: Properties(machine.main_loop, IsAbsolute=Variant("b", absolute)),
            TOUCH: Properties(machine.main_loop, MaxSlots=Variant("i", TOUCH_SLOTS)),
        }
        self._machine = machine
        self._size = size
        self._changed = changed

    @property
    def absolute(self) -> bool:
        """Whether the guest's pointing device takes positions."""
        return bool(self.properties[MOUSE]["IsAbsolute"].value)

    def methods(self, interface: str) -> dict[str, Method]:
        """The methods of Keyboard, Mouse or MultiTouch, ready to be exported."""
        tables: dict[str, dict[str, tuple[str, Callable[..., None]]]] = {
            KEYBOARD: {"Press": ("u", self._press_key), "Release": ("u", self._release_key)},
            MOUSE: {
                "Press": ("u", self._press_button),
                "Release": ("u", self._release_button),
                "SetAbsPosition": ("uu", self._set_position),
                "RelMotion": ("ii", self._move),
            },
            TOUCH: {"SendEvent": ("utdd", self._touch)},
        }
        return {
            member: self._method(interface, signature, act)
            for member, (signature, act) in tables[interface].items()
        }

    def _method(self, interface: str, signature: str, act: Callable[..., None]) -> Method:
        """`act` behind a check of types; what it raises is logged with the call."""

        def method(message: Message) -> Answer:
            with self._machine.main_loop:
                check_types(message, signature)
                member = f"{interface.removeprefix(f'{NAME}.')}.{message.member}"
                call = InputCall(monotonic(), member, message.body)
                try:
                    act(*message.body)
                except CallError as error:
                    call = call._replace(error=error.text)
                    raise
                finally:
                    self._record(call)
                return "", ()

        return method

    def _record(self, call: InputCall) -> None:
        with self._changed:
            self.log.append(call)
            self._changed.notify_all()
        self.on_input(call)

    def lift_keys(self) -> None:
        """What QEMU does when one of the console's listeners vanishes."""
        with self._changed:
            self.keys_down.clear()
            self._changed.notify_all()

    def _press_key(self, qnum: int) -> None:
        self.keys_down.add(qnum)

    def _release_key(self, qnum: int) -> None:
        self.keys_down.discard(qnum)

    def _press_button(self, button: int) -> None:
        self._check_button(button)
        self.buttons_down.add(button)

    def _release_button(self, button: int) -> None:
        self._check_button(button)
        self.buttons_down.discard(button)

    def _check_button(self, button: int) -> None:
        if button > LAST_BUTTON:
            self._machine.abort(f"mouse button {button} is out of range")

    def _set_position(self, x: int, y: int) -> None:
        if not self.absolute:
            raise CallError(INVALID, "Mouse is not absolute")
        width, height = self._size()
        if x >= width or y >= height:
            raise CallError(INVALID, "Invalid mouse position")

    def _move(self, dx: int, dy: int) -> None:
        if self.absolute:
            raise CallError(INVALID, "Mouse is not relative")

    def _touch(self, kind: int, slot: int, x: float, y: float) -> None:
        if kind >= TOUCH_KINDS:
            raise CallError(INVALID, "Invalid touch event kind")
        if slot >= TOUCH_SLOTS:
            raise CallError(INVALID, "Invalid touch event slot")
