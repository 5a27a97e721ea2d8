"""Calls of Xlib and its XKB part, typed. (Xlib.h, Xlibint.h, XKBlib.h, extensions/XKBstr.h)"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

FOCUS_IN, FOCUS_OUT = 9, 10
KEY_PRESS, KEY_RELEASE = 2, 3
NOTIFY_NORMAL = 0
QUEUED_ALREADY = 0

XKB_USE_CORE_KEYBOARD = 0x100
XKB_NEW_KEYBOARD, XKB_MAP, XKB_NAMES = 0, 1, 6  # numbers of XKB's events
XKB_KEY_NAMES = 1 << 9  # for XkbGetNames

_P, _I, _U, _L, _B = (
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_ulong,
    ctypes.c_ubyte,
)


class KeyEvent(ctypes.Structure):
    """An XKeyEvent, with room for any other XEvent."""

    _fields_ = (
        ("type", _I),
        ("serial", _L),
        ("send_event", _I),
        ("display", _P),
        ("window", _L),
        ("root", _L),
        ("subwindow", _L),
        ("time", _L),
        *((name, _I) for name in ("x", "y", "x_root", "y_root")),
        ("state", _U),
        ("keycode", _U),
        ("rest", ctypes.c_char * 128),
    )


class XkbState(ctypes.Structure):
    """An XkbStateRec."""

    _fields_ = (
        ("group", _B),
        ("locked_group", _B),
        ("base_group", ctypes.c_ushort),
        ("latched_group", ctypes.c_ushort),
        *((name, _B) for name in ("mods", "base_mods", "latched_mods", "locked_mods")),
        ("rest", ctypes.c_char * 16),
    )


class XkbNames(ctypes.Structure):
    """The start of an XkbNamesRec: `keys` has 4 letters for each keycode from 0."""

    _fields_ = (
        ("atoms", _L * 5),
        ("virtual_modifiers", _L * 16),
        ("indicators", _L * 32),
        ("groups", _L * 4),
        ("keys", _P),
    )


class XkbKeyboard(ctypes.Structure):
    """The start of an XkbDescRec."""

    _fields_ = (
        ("display", _P),
        ("flags", ctypes.c_ushort),
        ("device", ctypes.c_ushort),
        ("first_keycode", _B),
        ("last_keycode", _B),
        *((name, _P) for name in ("controls", "server", "map", "indicators")),
        ("names", ctypes.POINTER(XkbNames)),
    )


WireHook = ctypes.CFUNCTYPE(_I, _P, _P, ctypes.POINTER(_B))
"""Turns 32 bytes from the server into an XEvent: (display, event, wire) to a Bool."""

Predicate = ctypes.CFUNCTYPE(_I, _P, ctypes.POINTER(KeyEvent), _P)

_CALLS: dict[str, tuple[Any, ...]] = {
    "XCheckIfEvent": (_I, _P, ctypes.POINTER(KeyEvent), Predicate, _P),
    "XESetWireToEvent": (_P, _P, _I, _P),
    "XEventsQueued": (_I, _P, _I),
    "XQueryKeymap": (_I, _P, ctypes.c_char * 32),
    "XkbFreeKeyboard": (None, _P, _U, _I),
    "XkbGetMap": (ctypes.POINTER(XkbKeyboard), _P, _U, _U),
    "XkbGetNames": (_I, _P, _U, ctypes.POINTER(XkbKeyboard)),
    "XkbGetState": (_I, _P, _U, ctypes.POINTER(XkbState)),
    "XkbKeysymToModifiers": (_U, _P, _L),
    "XkbQueryExtension": (_I, _P, *(ctypes.POINTER(_I),) * 5),
    "XkbSelectEvents": (_I, _P, _U, _U, _U),
}


@cache
def load() -> ctypes.CDLL:
    """Return libX11, which GLFW has loaded. Raises OSError, AttributeError."""
    library = ctypes.CDLL("libX11.so.6")
    for call, (result, *arguments) in _CALLS.items():
        function = getattr(library, call)
        function.restype, function.argtypes = result, arguments
    return library
