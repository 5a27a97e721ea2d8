"""The compositor's keyboard: which keys are down, and which locks are on.

GLFW keeps its keyboard to itself, ignores the keys that `enter` lists, and is told
nothing when a compositor keeps a release to itself (weston's window switcher). A
compositor describes its keyboard to each new `wl_keyboard` of a client that has the
focus: so a new one, on a queue of our own, is the question. (wayland.xml, wl_keyboard)
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Collection

from glview.ui import keymap as keynumbers
from glview.ui.hostkeyboard import Locks
from glview.wayland import client
from glview.wayland.client import Argument, Array, Listener, Queue
from glview.wayland.locks import LockState, key_locks

_GET_KEYBOARD, _SEAT_RELEASE, _KEYBOARD_RELEASE = 1, 3, 0
_HAS_KEYBOARD = 2  # a capability of a seat
_SEAT_VERSION = 5
_LOCK_KEYS = frozenset({58, 69, 70})  # Caps, Num, Scroll Lock: evdev codes


class _Keys:
    """One wl_keyboard: what it has told. `down` are evdev codes."""

    def __init__(self, seat: int) -> None:
        self.down: set[int] = set()
        self.entered = self.focused = False
        self.locked = self.group = self._last = self._held = 0
        self.keymap = b""
        self._listener = Listener(
            (self._keymap, "uiu"),
            (self._enter, "upp"),
            (self._leave, "up"),
            (self._key, "uuuu"),
            (self._modifiers, "uuuuu"),
            (lambda *_: None, "ii"),
        )
        self._proxy = client.request(seat, _GET_KEYBOARD, "wl_keyboard", 0, [Argument()])
        if self._proxy:
            self._listener.listen(self._proxy)

    def _keymap(self, _format: int, fd: int, size: int) -> None:
        try:
            with mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ) as text:
                self.keymap = text[:].rstrip(b"\0")
        except (OSError, ValueError):
            self.keymap = b""
        finally:
            os.close(fd)

    def _enter(self, _serial: int, _surface: int, keys: int) -> None:
        array = Array.from_address(keys)
        raw = ctypes.string_at(array.data, array.size) if array.size else b""
        self.down = set(memoryview(raw).cast("I"))
        self._last = 0
        self.entered = self.focused = True

    def _leave(self, _serial: int, _surface: int) -> None:
        self.down.clear()
        self.focused = False

    def _key(self, _serial: int, _time: int, key: int, state: int) -> None:
        self._last = key
        (self.down.add if state else self.down.discard)(key)

    def _modifiers(self, _serial: int, down: int, _latched: int, locked: int, group: int) -> None:
        if locked != self.locked and not self._last_locks():
            self.entered = True  # no key of this keyboard did that, so somebody else had one
        self._held, self.locked, self.group = down, locked, group

    def _last_locks(self) -> bool:
        """Return True if the last key may have changed the locks; a keymap lets any key do so."""
        if not self._last or self._last in _LOCK_KEYS:
            return bool(self._last)
        return key_locks(self.keymap, self._last, self._held)

    def follow(self, old: _Keys) -> None:
        """Take over from an older one: the modifiers of its last key may be still to come."""
        self.entered = False
        self._last = self._last or old._last

    def close(self) -> None:
        """Destroy it."""
        if self._proxy:
            client.release(self._proxy, _KEYBOARD_RELEASE, 3)
            self._proxy = 0


class WaylandKeyboard:
    """See `HostKeyboard`. `display` is the address of GLFW's wl_display."""

    def __init__(self, display: int) -> None:
        self._display = display
        self._seat = self._seat_name = 0
        self._keys: _Keys | None = None
        self._back = True  # nobody has watched so far
        self._locks: LockState | None = None
        self._locks_of = b""
        self._seat_listener = Listener((self._capabilities, "u"), (lambda *_: None, "s"))
        self._registry_listener = Listener((self._global, "usu"), (self._removed, "u"))
        self._queue: Queue | None = Queue(display)
        self._registry_listener.listen(self._queue.registry)
        for _ in range(3):  # seats, what they have, and what their keyboards are like
            self._queue.roundtrip()

    # -- seats ---------------------------------------------------------------

    def _global(self, name: int, kind: bytes, version: int) -> None:
        """Take the first seat, as GLFW does."""
        if kind != b"wl_seat" or self._seat or self._queue is None:
            return
        version = min(version, _SEAT_VERSION)
        words = [Argument(u=name), Argument(s=b"wl_seat"), Argument(u=version), Argument()]
        self._seat = client.request(self._queue.registry, 0, "wl_seat", version, words)
        self._seat_name = name
        if self._seat:
            self._seat_listener.listen(self._seat)

    def _removed(self, name: int) -> None:
        if self._seat and name == self._seat_name:
            self._drop_seat()

    def _capabilities(self, there: int) -> None:
        if not there & _HAS_KEYBOARD:
            self._drop_keys()
        elif self._keys is None:
            self._keys = _Keys(self._seat)

    def _drop_keys(self) -> None:
        if self._keys is not None:
            self._keys.close()
            self._keys = None
            self._back = True  # its keys will never go up

    def _drop_seat(self) -> None:
        self._drop_keys()
        if self._seat:
            client.release(self._seat, _SEAT_RELEASE, 5)
            self._seat = 0

    # -- what is read along with GLFW's events -------------------------------

    def dispatch(self) -> None:
        """See `HostKeyboard`."""
        if self._queue is not None:
            self._queue.dispatch()
            self._note_enter()

    def _note_enter(self) -> None:
        if self._keys is not None and self._keys.entered:
            self._keys.entered = False
            self._back = True

    def came_back(self) -> bool:
        """See `HostKeyboard`."""
        back, self._back = self._back, False
        return back

    @property
    def behind(self) -> bool:
        """See `HostKeyboard`."""
        return client.has_events(self._display)

    # -- what is asked -------------------------------------------------------

    def missed(self, held: Collection[int]) -> frozenset[int]:
        """See `HostKeyboard`.

        A release that is still on its way to GLFW has come to the older keyboard too;
        one that the compositor has kept has come to none, but the newer one knows.
        """
        held = frozenset(held)
        before, now = self._ask()
        if now is None:
            return held  # the keyboard has gone, and nothing will come from it any more
        if before is None or not now.focused:
            return frozenset()
        return (held & before) - now.down

    def _ask(self) -> tuple[frozenset[int] | None, _Keys | None]:
        """Return the keys that are down by all events so far, and a new description."""
        if self._queue is None or self._keys is None:
            return None, self._keys
        old, new = self._keys, _Keys(self._seat)
        self._queue.roundtrip()
        self._note_enter()
        if self._keys is not old:  # the seat has lost its keyboard meanwhile
            new.close()
            return None, self._keys
        before = frozenset(old.down)
        old.close()
        new.follow(old)
        self._keys = new
        return before, new

    def locks(self) -> Locks | None:
        """See `HostKeyboard`; not known while a lock key is down, which may change them twice."""
        if self._keys is None or self._keys.down & _LOCK_KEYS:
            return None
        _, keys = self._ask()
        if keys is None or not keys.focused or keys.down & _LOCK_KEYS or not self._read(keys):
            return None
        assert self._locks is not None
        return self._locks.locks(keys.locked, keys.group)

    def _read(self, keys: _Keys) -> bool:
        """Read the keymap, if it is another one; True where it can be read."""
        if keys.keymap != self._locks_of:
            self._forget_locks()
            self._locks_of = keys.keymap
            try:
                self._locks = LockState(keys.keymap)
            except (OSError, ValueError):
                self._locks = None
        return self._locks is not None

    def _forget_locks(self) -> None:
        if self._locks is not None:
            self._locks.close()
            self._locks = None

    def qnum(self, scancode: int) -> int | None:
        """See `HostKeyboard`: codes are evdev's on Wayland."""
        return keynumbers.qnum(scancode, "wayland")

    def close(self) -> None:
        """Destroy everything. A second call does nothing."""
        if self._queue is None:
            return
        self._drop_seat()
        self._forget_locks()
        self._queue.close()
        self._queue = None
