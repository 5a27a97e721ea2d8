"""The X server's keyboard: grabs by others, which keys are down, their names, the locks.

All of it is asked on GLFW's own connection, whose order is the point: when an
answer has come, each event from before it is in Xlib's queue.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection

from glview.ui.hostkeyboard import Locks
from glview.x11 import keynames, xlib
from glview.x11.tap import Tap

_CAPS_LOCK, _NUM_LOCK, _SCROLL_LOCK = 0xFFE5, 0xFF7F, 0xFF14  # keysyms
_LOCK_KEYS = frozenset({0x3A, 0x45, 0x46})  # qnums of the same keys
_XKB_EVENTS = (xlib.XKB_NEW_KEYBOARD, xlib.XKB_MAP, xlib.XKB_NAMES)


class X11Keyboard:
    """See `HostKeyboard`. `display` is the address of GLFW's Display."""

    def __init__(self, display: int) -> None:
        self._lib = xlib.load()
        self._display = display
        self._back = True  # nobody has watched so far
        self._qnums: dict[int, int] | None = None
        self._modifiers: tuple[int, ...] | None = None
        self._seek = xlib.Predicate(self._note_queued)
        self._keys: set[int] = set()
        self._handing_over = False
        self._taps = [Tap(display, (xlib.FOCUS_IN, xlib.FOCUS_OUT), self._focus)]
        self._xkb = self._watch_keymap()

    def _watch_keymap(self) -> bool:
        """Have changes of the keymap told; False where the server knows no XKB."""
        numbers = [ctypes.c_int() for _ in range(5)]
        if not self._lib.XkbQueryExtension(self._display, *map(ctypes.byref, numbers)):
            return False
        self._taps.append(Tap(self._display, (numbers[1].value,), self._xkb_event))
        mask = sum(1 << event for event in _XKB_EVENTS)
        self._lib.XkbSelectEvents(self._display, xlib.XKB_USE_CORE_KEYBOARD, mask, mask)
        return True

    # -- what is read along with GLFW's events -------------------------------

    def _focus(self, wire: bytes) -> None:
        """See a FocusIn or FocusOut; mode 1, 2 and 3 tell of somebody's grab."""
        if wire[8] != xlib.NOTIFY_NORMAL or wire[0] & 0x7F == xlib.FOCUS_IN:
            self._back = True

    def _xkb_event(self, wire: bytes) -> None:
        if wire[1] in _XKB_EVENTS:
            self._qnums = self._modifiers = None

    def dispatch(self) -> None:
        """Do nothing: it has been seen already."""

    def came_back(self) -> bool:
        """See `HostKeyboard`; not before GLFW is past the events that tell of it.

        Keys from before those were meant with all that was held then.
        """
        if not self._back:
            return False
        self._scan()
        if self._handing_over:
            return False
        self._back = False
        return True

    # -- what is asked -------------------------------------------------------

    @property
    def behind(self) -> bool:
        """See `HostKeyboard`."""
        self._scan()
        return bool(self._keys) or self._handing_over

    def missed(self, held: Collection[int]) -> frozenset[int]:
        """See `HostKeyboard`."""
        up = frozenset(held) - self._down()
        if not up:
            return up
        self._scan()
        return frozenset() if self._handing_over else up - self._keys

    def _down(self) -> frozenset[int]:
        """Keycodes of the keys that are down in the X server."""
        bits = ctypes.create_string_buffer(32)
        self._lib.XQueryKeymap(self._display, bits)
        state = int.from_bytes(bits.raw, "little")
        return frozenset(code for code in range(256) if state >> code & 1)

    def _scan(self) -> None:
        """Look through the events that Xlib has read and GLFW has not taken yet.

        Keycodes of key events go to `_keys`; `_handing_over` says whether the keyboard
        goes to somebody, or comes back, among them.
        """
        self._keys = set()
        self._handing_over = False
        if self._lib.XEventsQueued(self._display, xlib.QUEUED_ALREADY):
            event = xlib.KeyEvent()
            self._lib.XCheckIfEvent(self._display, ctypes.byref(event), self._seek, None)

    def _note_queued(self, _display: int, event: ctypes._Pointer[xlib.KeyEvent], _: int) -> int:
        """Look at an event in the queue, and leave it there."""
        kind = event.contents.type
        if kind in (xlib.KEY_PRESS, xlib.KEY_RELEASE):
            self._keys.add(event.contents.keycode)
        elif kind in (xlib.FOCUS_IN, xlib.FOCUS_OUT):
            self._handing_over = True
        return 0

    def locks(self) -> Locks | None:
        """See `HostKeyboard`; not known while a lock key is down, which may change them twice."""
        if not self._xkb:
            return None
        down = self._down()
        state = xlib.XkbState()
        failed = self._lib.XkbGetState(
            self._display, xlib.XKB_USE_CORE_KEYBOARD, ctypes.byref(state)
        )
        self._scan()
        moving = {self.qnum(code) for code in down | self._keys}
        if failed or moving & _LOCK_KEYS:
            return None
        locked = state.locked_mods
        return Locks(*(bool(locked & mask) if mask else None for mask in self._lock_masks()))

    def _lock_masks(self) -> tuple[int, ...]:
        """Modifiers of Caps, Num and Scroll Lock; 0 where the keymap has no such key."""
        if self._modifiers is None:
            keysyms = (_CAPS_LOCK, _NUM_LOCK, _SCROLL_LOCK)
            find = self._lib.XkbKeysymToModifiers
            self._modifiers = tuple(find(self._display, keysym) for keysym in keysyms)
        return self._modifiers

    # -- names of keys -------------------------------------------------------

    def qnum(self, scancode: int) -> int | None:
        """See `HostKeyboard`: by the key's name in the server's keymap."""
        if self._qnums is None:
            self._qnums = keynames.qnums(self._names())
        return self._qnums.get(scancode)

    def _names(self) -> dict[int, str]:
        """Keycodes to XKB key names, as far as the server has any."""
        if not self._xkb:
            return {}
        keyboard = self._lib.XkbGetMap(self._display, 0, xlib.XKB_USE_CORE_KEYBOARD)
        if not keyboard:
            return {}
        try:
            if self._lib.XkbGetNames(self._display, xlib.XKB_KEY_NAMES, keyboard):
                return {}
            return _read_names(keyboard.contents)
        finally:
            self._lib.XkbFreeKeyboard(keyboard, 0, True)

    def close(self) -> None:
        """Look no more at GLFW's events. A second call does nothing."""
        for tap in reversed(self._taps):
            tap.close()
        self._taps.clear()


def _read_names(keyboard: xlib.XkbKeyboard) -> dict[int, str]:
    if not keyboard.names or not keyboard.names.contents.keys:
        return {}
    last = keyboard.last_keycode
    letters = ctypes.string_at(keyboard.names.contents.keys, 4 * (last + 1))
    names = {}
    for code in range(keyboard.first_keycode, last + 1):
        name = letters[4 * code : 4 * code + 4].rstrip(b"\0").decode("latin-1")
        if name:
            names[code] = name
    return names
