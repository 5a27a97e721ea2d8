"""Physical keys to key calls: held keys, repeats, and lifting them all.

QEMU's PS/2 keyboard has no repeat timer: what a real keyboard sends while a key is
held has to come from here, as further presses of the same key. Most window systems
repeat keys themselves (X11 does); where nothing wakes us for it (GLFW on Wayland
counts only while its events are polled), `Repeat` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

from glview.ui.grab import Grab

RELEASE, PRESS, REPEAT = 0, 1, 2
"""Key actions, numbered as by GLFW."""

SILENT = frozenset(
    {
        *(0x1D, 0x9D, 0x2A, 0x36, 0x38, 0xB8, 0xDB, 0xDC),  # Ctrl, Shift, Alt, Super
        *(0x3A, 0x45, 0x46),  # Caps, Num, Scroll Lock: a repeat would toggle them again
        0xC6,  # Pause, which has no typematic repeat on a real keyboard either
    }
)
"""Qnums that never repeat."""


class KeySink(Protocol):
    """Where key calls go."""

    def press_key(self, qnum: int) -> None:
        """A key goes down."""

    def repeat_key(self, qnum: int) -> None:
        """A key that is down repeats; may be dropped."""

    def release_key(self, qnum: int) -> None:
        """A key goes up."""


class Nobody:
    """Takes the keys where there is no guest."""

    def press_key(self, qnum: int) -> None:
        """Do nothing."""

    repeat_key = release_key = press_key


class Repeat:
    """A repeat timer for one key, the last that was pressed.

    `delay` is the time to the first repeat and `interval` the time between further
    ones, both in seconds.
    """

    def __init__(self, delay: float = 0.6, interval: float = 0.04) -> None:
        self.delay = delay
        self.interval = interval
        self.key: int | None = None
        self.deadline: float | None = None

    def start(self, key: int, now: float) -> None:
        """Repeat `key`, a qnum, from `now` on, and no other."""
        self.key, self.deadline = key, now + self.delay

    def stop(self) -> None:
        """Repeat nothing."""
        self.key = self.deadline = None

    def due(self, now: float) -> int | None:
        """The key to repeat at `now`, if it is time.

        After a late call the repeats that were missed stay missed: a burst of them
        would type what nobody meant to type.
        """
        if self.deadline is None or now < self.deadline:
            return None
        self.deadline = max(self.deadline + self.interval, now)
        return self.key


class Keyboard:
    """Which keys the guest believes to be down, and what a key event makes of them.

    `qnum` turns the window system's scancodes into QEMU's key numbers. With `repeat`
    given, that timer repeats keys and the window system's repeats are ignored; the
    main loop then sleeps no longer than `deadline` and calls `tick`.
    """

    def __init__(
        self,
        sink: KeySink,
        qnum: Callable[[int], int | None],
        grab: Grab | None = None,
        repeat: Repeat | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sink = sink
        self._qnum = qnum
        self._grab = grab or Grab()
        self._repeat = repeat
        self._clock = clock
        # Scancode to qnum in the order in which they went down: the keymap may change meanwhile.
        self._held: dict[int, int] = {}
        self._lifted: set[int] = set()

    @property
    def held(self) -> tuple[int, ...]:
        """Qnums of the keys that are down, the first pressed first."""
        return tuple(dict.fromkeys(self._held.values()))

    @property
    def scancodes(self) -> frozenset[int]:
        """Scancodes of the keys that are down."""
        return frozenset(self._held)

    def key(self, scancode: int, action: int) -> int | None:
        """Take one key event; `action` is RELEASE, PRESS or REPEAT.

        Returns the qnum of the key that went down by it, if one did. A key that is
        not down for the guest cannot be released or repeated: after `release_all`,
        what the hand does to the keys it still holds says nothing. After `lift` it
        does: GLFW has missed the release too, and calls the next press a repeat.
        """
        pressed = action == PRESS or (action == REPEAT and scancode in self._lifted)
        self._lifted.discard(scancode)
        if scancode in self._held and not pressed:
            if action == RELEASE:
                self._release(scancode)
            elif self._repeat is None and self._held[scancode] not in SILENT:
                self.sink.repeat_key(self._held[scancode])
            return None
        number = self._qnum(scancode)
        if number is None:
            self._grab.other_input()
        elif pressed:
            self._press(scancode, number)
            return number
        return None

    def _press(self, scancode: int, number: int) -> None:
        self._held[scancode] = number
        if self._repeat is not None and number not in SILENT:
            self._repeat.start(number, self._clock())
        self.sink.press_key(number)
        self._grab.key(number, True)

    def _release(self, scancode: int) -> None:
        number = self._held.pop(scancode)
        if number in self._held.values():
            return  # by another key of the same number
        if self._repeat is not None and self._repeat.key == number:
            self._repeat.stop()
        self.sink.release_key(number)
        self._grab.key(number, False)

    def tap(self, number: int) -> None:
        """Press and let go of a key, a qnum, that nobody pressed."""
        self.sink.press_key(number)
        self.sink.release_key(number)

    def lift(self, scancodes: Collection[int]) -> None:
        """Lift those of the keys that are down: their releases went to somebody else."""
        missed = [code for code in reversed(self._held) if code in scancodes]
        if missed:
            self._grab.other_input()  # Ctrl+Alt and a key that was not for us is no chord
        for scancode in missed:
            self._release(scancode)
            self._lifted.add(scancode)

    def release_all(self) -> None:
        """Lift every key: focus lost, window closed, VM gone, signal to end."""
        for number in reversed(self.held):
            self.sink.release_key(number)
        self.forget()

    def serve(self, sink: KeySink) -> None:
        """Send keys there from now on, to a guest for which no key is down yet."""
        self.sink = sink
        self.forget()

    def forget(self) -> None:
        """Count all keys as up, and tell nobody."""
        self._held.clear()
        self._lifted.clear()
        self._grab.forget_keys()
        if self._repeat is not None:
            self._repeat.stop()

    @property
    def deadline(self) -> float | None:
        """When `tick` is due, on the clock given; None while nothing repeats."""
        return self._repeat.deadline if self._repeat is not None else None

    def tick(self) -> None:
        """Send the repeat that is due, if one is."""
        number = self._repeat.due(self._clock()) if self._repeat is not None else None
        if number is not None:
            self.sink.repeat_key(number)
