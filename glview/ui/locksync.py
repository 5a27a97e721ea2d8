"""Caps, Num and Scroll Lock of the guest, brought in line with the host's at each focus.

A lock key pressed while another window has the focus leaves the guest's lock behind. One
press of the key puts that right in a guest that heeds it, and upsets one that does not:
firmware never sets the keyboard's lights. So it is pressed only in a guest whose lights
have followed a lock key before, and never again once they did not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from glview.ui.hostkeyboard import Locks

CAPS, NUM, SCROLL = 0x3A, 0x45, 0x46
"""Qnums of the lock keys."""

BITS = {CAPS: 4, NUM: 2, SCROLL: 1}
"""Their bits in QEMU's property Keyboard.Modifiers, the lights of the guest's keyboard."""

ANSWER_TIME = 1.0
"""Seconds that a guest has for changing its lights after a lock key."""


class _Press(NamedTuple):
    """A lock key that went to the guest: until when it may answer, and who pressed it."""

    until: float
    ours: bool


class LockSync:
    """The locks of one guest; `tap` presses and lets go of a key there.

    Has no timer: what a guest has not answered in time is noticed when that matters.
    """

    def __init__(
        self, tap: Callable[[int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tap = tap
        self._clock = clock
        self._lights: int | None = None
        self._followed: set[int] = set()
        self._waiting: dict[int, _Press] = {}
        self.ended = False

    def key(self, number: int) -> None:
        """Note that the user pressed a key in the guest, a qnum."""
        if number in BITS:
            self._expire()
            self._waiting[number] = _Press(self._clock() + ANSWER_TIME, ours=False)

    def told(self, modifiers: int) -> None:
        """Take in the guest's lights, after each change of them."""
        self._expire()
        changed = -1 if self._lights is None else self._lights ^ modifiers
        self._lights = modifiers
        for number in [number for number in self._waiting if BITS[number] & changed]:
            del self._waiting[number]
            self._followed.add(number)

    @property
    def idle(self) -> bool:
        """Return True if `compare` would do nothing whatever the host's locks are."""
        self._expire()
        return self.ended or not (self._followed or self._waiting)

    def compare(self, host: Locks) -> bool:
        """Press each lock key where the guest differs from the host.

        Returns False where that has to wait for the guest's answer to an earlier key.
        """
        if self.idle:
            return True
        if self._waiting:
            return False
        lights = self._lights or 0
        for number, on in zip((CAPS, NUM, SCROLL), host, strict=True):
            if self._may_press(number) and on is not None and on != bool(lights & BITS[number]):
                self._waiting[number] = _Press(self._clock() + ANSWER_TIME, ours=True)
                self._tap(number)
        return True

    def _may_press(self, number: int) -> bool:
        """Scroll Lock means nothing to most desktops, even to those that heed the others."""
        return number != SCROLL or number in self._followed

    def _expire(self) -> None:
        """Draw the conclusion from keys that were not answered in time."""
        now = self._clock()
        for number, press in list(self._waiting.items()):
            if now > press.until:
                del self._waiting[number]
                self._followed.discard(number)
                self.ended = self.ended or press.ours
