"""The pointer grab: who holds it, and the chord that lets go of it.

A relative pointer needs the host's pointer locked to the window. Ctrl+Alt,
pressed and let go with nothing else between, gives it back. The guest sees those
keys too, and Ctrl+Alt+F1 stays a shortcut of the guest's.
"""

from __future__ import annotations

from collections.abc import Callable

CTRL = frozenset({0x1D, 0x9D})
ALT = frozenset({0x38, 0xB8})
SHIFT = frozenset({0x2A, 0x36})


class ReleaseChord:
    """Recognises Ctrl+Alt pressed together and let go, with nothing between.

    Keys are qnums, left and right ones count alike. The chord runs from the first
    key going down to the last one going up: whatever else happens meanwhile makes
    it something else.
    """

    def __init__(self) -> None:
        self._down: set[int] = set()
        self._complete = False  # Ctrl and Alt were down together
        self._spoilt = False  # so was something else

    def key(self, qnum: int, pressed: bool) -> bool:
        """Note a key going down or up; True when this ends the chord."""
        if pressed:
            self._press(qnum)
            return False
        self._down.discard(qnum)
        if self._down:
            return False
        done = self._complete and not self._spoilt
        self.reset()
        return done

    def _press(self, qnum: int) -> None:
        if qnum not in CTRL | ALT:
            self._spoilt = True
        self._down.add(qnum)
        if self._down & CTRL and self._down & ALT:
            self._complete = True

    def spoil(self) -> None:
        """Something other than a key was used: a button, the wheel, an unknown key."""
        self._spoilt = bool(self._down)

    def reset(self) -> None:
        """Forget all keys, as after losing the focus."""
        self._down.clear()
        self._complete = self._spoilt = False


class Grab:
    """Whether the pointer is grabbed, and who wants to know."""

    def __init__(self) -> None:
        self.grabbed = False
        self._watchers: list[Callable[[bool], None]] = []
        self._chord = ReleaseChord()

    def watch(self, watcher: Callable[[bool], None]) -> None:
        """Have `watcher` called with the new state at each change, after earlier watchers.

        The window locks and frees the host's pointer there.
        """
        self._watchers.append(watcher)

    def take(self) -> None:
        """Grab, as a click into a relative-pointer guest does."""
        self._set(True)

    def release(self) -> None:
        """Let go: by the chord, on focus loss, or when the pointer becomes absolute."""
        self._set(False)

    def _set(self, grabbed: bool) -> None:
        if grabbed != self.grabbed:
            self.grabbed = grabbed
            for watcher in self._watchers:
                watcher(grabbed)

    def key(self, qnum: int, pressed: bool) -> None:
        """Watch a key, not its repeats, for the release chord."""
        if self._chord.key(qnum, pressed):
            self.release()

    def other_input(self) -> None:
        """A button, the wheel or an unknown key: Ctrl and Alt now held are no chord."""
        self._chord.spoil()

    def forget_keys(self) -> None:
        """All keys count as up from here on."""
        self._chord.reset()

    def title(self, name: str) -> str:
        """The window's title, which tells how to get the pointer back."""
        return f"{name} (Ctrl+Alt releases the pointer)" if self.grabbed else name
