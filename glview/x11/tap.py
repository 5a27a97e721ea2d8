"""Events of a connection, looked at while Xlib reads them and before GLFW gets them.

GLFW drops events that it has no use for, and a second connection would get them in
no order with GLFW's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from glview.x11 import xlib


class Tap:
    """Calls `look(wire)` with the 32 bytes of each event of the types given, as they come.

    `look` runs inside any call of Xlib's, and so must call none. (Xlib.h's XEvent
    numbers; X11 protocol, appendix B for the bytes)
    """

    def __init__(self, display: int, types: tuple[int, ...], look: Callable[[bytes], None]) -> None:
        self._display = display
        self._look = look
        self._before: dict[int, int] = {}
        self._pass_on: dict[int, Callable[..., int]] = {}
        self._hook = xlib.WireHook(self._read)
        address = ctypes.cast(self._hook, ctypes.c_void_p).value
        for number in types:
            before = xlib.load().XESetWireToEvent(display, number, address)
            self._pass_on[number] = xlib.WireHook(before)
            self._before[number] = before

    def _read(self, display: int, event: int, wire: ctypes._Pointer[ctypes.c_ubyte]) -> int:
        data = ctypes.string_at(wire, 32)
        self._look(data)
        return self._pass_on[data[0] & 0x7F](display, event, wire)

    def close(self) -> None:
        """Look no more. A second call does nothing."""
        for number, before in self._before.items():
            xlib.load().XESetWireToEvent(self._display, number, before)
        self._before.clear()
