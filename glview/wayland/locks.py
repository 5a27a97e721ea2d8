"""Which locks are on, by libxkbcommon: from a keymap and the modifiers that are locked."""

from __future__ import annotations

import ctypes
from functools import cache

from glview.ui.hostkeyboard import Locks

_P, _U = ctypes.c_void_p, ctypes.c_uint32
_TEXT_V1 = 1
_REAL_MODIFIERS = 0xFF
_MODS_LOCKED = 1 << 2  # what changed, xkb_state_component
_FIRST_KEY = 8  # evdev's code 0 in a keymap
_LEDS = (b"Caps Lock", b"Num Lock", b"Scroll Lock")


@cache
def _load() -> ctypes.CDLL:
    library = ctypes.CDLL("libxkbcommon.so.0")
    library.xkb_context_new.restype = _P
    library.xkb_keymap_new_from_string.restype = _P
    library.xkb_keymap_new_from_string.argtypes = (_P, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
    library.xkb_state_new.restype = _P
    library.xkb_state_update_mask.argtypes = (_P, *(_U,) * 6)
    library.xkb_state_led_name_is_active.argtypes = (_P, ctypes.c_char_p)
    library.xkb_state_update_key.argtypes = (_P, _U, ctypes.c_int)
    for name in ("xkb_state_new", "xkb_state_unref", "xkb_keymap_unref", "xkb_context_unref"):
        getattr(library, name).argtypes = (_P,)
    return library


class LockState:
    """The lights of a keyboard with a keymap, given as the text that a compositor sends."""

    def __init__(self, keymap: bytes) -> None:
        """Read the keymap. Raises ValueError where libxkbcommon cannot."""
        self._lib = _load()
        context = self._lib.xkb_context_new(0)
        compiled = self._lib.xkb_keymap_new_from_string(context, keymap, _TEXT_V1, 0)
        self._lib.xkb_context_unref(context)
        if not compiled:
            raise ValueError("not a keymap")
        self._state = self._lib.xkb_state_new(compiled)
        self._lib.xkb_keymap_unref(compiled)
        self._can = self._lit(_REAL_MODIFIERS, 0)

    def locks(self, locked: int, group: int) -> Locks:
        """Return the locks while these modifiers are locked, None for one without a modifier."""
        lit = self._lit(locked, group)
        return Locks(*(on if can else None for on, can in zip(lit, self._can, strict=True)))

    def key_locks(self, key: int, held: int) -> bool:
        """Return True if the key, an evdev code, locks a modifier while `held` are down."""
        self._lib.xkb_state_update_mask(self._state, held, 0, 0, 0, 0, 0)
        changed = 0
        for down in (1, 0):
            changed |= self._lib.xkb_state_update_key(self._state, _FIRST_KEY + key, down)
        return bool(changed & _MODS_LOCKED)

    def _lit(self, locked: int, group: int) -> list[bool]:
        self._lib.xkb_state_update_mask(self._state, 0, 0, locked, 0, 0, group)
        active = self._lib.xkb_state_led_name_is_active
        return [active(self._state, name) == 1 for name in _LEDS]

    def close(self) -> None:
        """Free it."""
        self._lib.xkb_state_unref(self._state)


def key_locks(keymap: bytes, key: int, held: int) -> bool:
    """Return `LockState.key_locks` of that keymap; False for one that cannot be read."""
    try:
        state = LockState(keymap)
    except (OSError, ValueError):
        return False
    try:
        return state.key_locks(key, held)
    finally:
        state.close()
