"""Keyboard, mouse and grab of one window, and the guest that they act on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from glview.qemu.input import InputCalls
from glview.scanout.geometry import Rect
from glview.ui import keymap
from glview.ui.grab import Grab
from glview.ui.keyboard import RELEASE, Keyboard, Nobody, Repeat
from glview.ui.keymap import Platform
from glview.ui.mouse import Mouse, Viewport

if TYPE_CHECKING:
    from glview.ui.hostkeyboard import HostKeyboard
    from glview.ui.locksync import LockSync

GAP = 0.1
"""Seconds without a key event in which somebody else may have had the keyboard, unnoticed."""


class Controls:
    """Passes input on while a guest is connected, and keeps quiet otherwise.

    `pointer` is where the host's pointer is, in framebuffer pixels, None
    outside the window. `on_grab` is called when the grab was taken or let go,
    `open_keyboard` at the first key: it finds the keyboard that `HostKeyboard`
    tells of, or None where there is no way to look at it. With `lock_sync` the guest's
    locks follow the host's, see `LockSync`.
    """

    def __init__(
        self,
        platform: Platform,
        on_grab: Callable[[bool], None],
        open_keyboard: Callable[[], HostKeyboard | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        *,
        lock_sync: bool = True,
    ) -> None:
        self._platform: Platform = platform
        self._open_keyboard = open_keyboard
        self._clock = clock
        self._host: HostKeyboard | None = None
        self._opened = False
        self._unsure = False  # keys may be down for the guest that are up
        self._last_key = 0.0
        self._lock_sync = lock_sync
        self._locks: LockSync | None = None
        self._locks_unsure = False  # they may differ from the host's
        self.grab = Grab()
        self.grab.watch(on_grab)
        # Wayland leaves repeating to clients, and GLFW's timer needs its own event loop.
        repeat = Repeat() if platform == "wayland" else None
        self._keyboard = Keyboard(Nobody(), self._qnum, self.grab, repeat)
        self._calls: InputCalls | None = None
        self._mouse: Mouse | None = None
        self._viewport: Viewport | None = None
        self._scale = (1.0, 1.0)
        self.pointer: tuple[float, float] | None = None

    def connect(self, calls: InputCalls, absolute: bool) -> None:
        """Act on this guest from now on."""
        self.grab.release()
        self._calls = calls
        self._keyboard.serve(calls)
        if self._lock_sync:
            from glview.ui.locksync import LockSync  # not needed for the first picture

            self._locks = LockSync(self._keyboard.tap, self._clock)
        self._mouse = Mouse(calls, self.grab)
        self._mouse.viewport = self._viewport
        self._mouse.absolute = absolute

    def disconnect(self) -> None:
        """The guest has gone, and with it what it believed to be pressed."""
        self._calls = self._mouse = self._locks = None
        self._keyboard.serve(Nobody())
        self.grab.release()

    @property
    def absolute(self) -> bool:
        """Whether the guest's pointer follows the host's."""
        return self._mouse is not None and self._mouse.absolute

    @absolute.setter
    def absolute(self, absolute: bool) -> None:
        if self._mouse is not None:
            self._mouse.absolute = absolute

    @property
    def held(self) -> tuple[int, ...]:
        """Qnums of the keys that are down, the first pressed first."""
        return self._keyboard.held

    def place(self, place: Rect, guest: tuple[int, int], scale: tuple[float, float]) -> None:
        """The picture of `guest` pixels is drawn there; `scale` framebuffer pixels per unit."""
        self._scale = scale
        self._viewport = Viewport(*place, *guest, scale=scale)
        if self._mouse is not None:
            self._mouse.viewport = self._viewport

    # -- the host's keyboard -----------------------------------------------

    def _qnum(self, scancode: int) -> int | None:
        if self._host is not None:
            return self._host.qnum(scancode)
        return keymap.qnum(scancode, self._platform)

    def events_delivered(self) -> None:
        """Look at the host's keyboard after all events that were there have been passed on.

        Where `HostKeyboard.behind` was true, more of them follow at once.
        """
        if self._host is not None:
            self._host.dispatch()
            self._note_return()
            if self._unsure:
                self._compare()
            self._compare_locks()

    def guest_locks(self, modifiers: int) -> None:
        """Take in which locks are on in the guest: bit 0 Scroll, 1 Num, 2 Caps Lock."""
        if self._locks is not None:
            self._locks.told(modifiers)
            self._compare_locks()

    def _compare_locks(self) -> None:
        """Once after the keyboard has come back, bring the guest's locks in line.

        Not while keys are down for the guest, to which a lock key may be part of a chord.
        """
        if not self._locks_unsure or self._locks is None or self._host is None:
            return
        if self._locks.idle:
            self._locks_unsure = False
        elif not self.held:
            host = self._host.locks()
            self._locks_unsure = host is None or not self._locks.compare(host)

    def _note_return(self) -> None:
        if self._host is not None and self._host.came_back():
            self._unsure = self._locks_unsure = True

    def _compare_first(self) -> None:
        """Before a key or button goes down: make up for what somebody else's grab has swallowed."""
        if self._host is None:
            return
        self._note_return()
        if self._unsure or self._clock() - self._last_key >= GAP:
            self._compare()
        self._compare_locks()

    def _compare(self) -> None:
        """Lift the keys that the host no longer holds; never press any."""
        assert self._host is not None
        self._unsure = False
        held = self._keyboard.scancodes
        if held:
            self._keyboard.lift(self._host.missed(held))
            self._unsure = self._host.behind

    # -- what the window reports -------------------------------------------

    def key(self, scancode: int, action: int) -> int | None:
        """Take a key: action 0 release, 1 press, 2 repeat. Returns the qnum that went down."""
        if not self._opened:
            self._opened = True
            self._host = self._open_keyboard()
        if action != RELEASE:
            self._compare_first()
        self._last_key = self._clock()
        number = self._keyboard.key(scancode, action)
        if number is not None and self._locks is not None:
            self._locks.key(number)
        return number

    def motion(self, x: float, y: float) -> None:
        """The pointer is there, in window units."""
        self.pointer = x * self._scale[0], y * self._scale[1]
        if self._mouse is not None:
            self._mouse.motion(x, y)

    def button(self, number: int, pressed: bool) -> None:
        """A pointer button of GLFW's."""
        if pressed:
            self._compare_first()
        if self._mouse is not None:
            self._mouse.button(number, pressed)

    def scroll(self, x: float, y: float) -> None:
        """The wheel: x left, y up."""
        if self._mouse is not None:
            self._mouse.scroll(x, y)

    def left(self) -> None:
        """The pointer left the window."""
        self.pointer = None

    def focus_lost(self) -> None:
        """Keys are let go elsewhere from here on."""
        self.release_all()
        self.grab.release()

    # -- time --------------------------------------------------------------

    def release_all(self) -> None:
        """Lift every key and button."""
        self._keyboard.release_all()
        if self._mouse is not None:
            self._mouse.release_all()
        self.flush()

    def flush(self) -> None:
        """Send the motion of this turn of the loop, as one call."""
        if self._calls is not None:
            self._calls.flush()

    @property
    def has_motion(self) -> bool:
        """Whether motion waits because QEMU is behind: flush again soon."""
        return self._calls is not None and self._calls.pending

    @property
    def deadline(self) -> float | None:
        """When `tick` is due."""
        return self._keyboard.deadline

    def tick(self) -> None:
        """Repeat the held key if it is time."""
        self._keyboard.tick()

    def close(self) -> None:
        """Lift everything, and let go of the host's keyboard."""
        self.release_all()
        if self._host is not None:
            self._host.close()
            self._host = None
