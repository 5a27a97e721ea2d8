"""Whose idea a window's new size was: ours, the window manager's, or the user's.

Window systems do not say. What we asked for is ours, however late it comes
(an X server that stood still delivers one size after the other), and so is
what comes in place of a wish just made: a tiling compositor has its own ideas.
"""

from __future__ import annotations

from collections import deque

Size = tuple[int, int]

ANSWER_TIME = 0.5  # seconds within which a window manager answers with another size
_KEPT = 4096  # wishes: a guest may change its mode in a loop while the X server stands still


class SizeWishes:
    """The sizes asked for that were not answered yet, oldest first. Times in seconds."""

    def __init__(self, first: Size, now: float) -> None:
        """`first` is the size the window was made with."""
        self._open: deque[Size] = deque([first], _KEPT)
        self._latest = first
        self._asked_at = now

    def ask(self, size: Size, now: float) -> bool:
        """Note a wish. False where it is the latest one already: do not ask again."""
        if size == self._latest:
            return False
        self._latest, self._asked_at = size, now
        self._open.append(size)
        return True

    def answer(self, size: Size, now: float) -> bool:
        """The window has this size now. True where the user has nothing to do with it."""
        if size in self._open:
            while self._open.popleft() != size:
                pass  # the window manager has skipped these
            return True
        return now < self._asked_at + ANSWER_TIME
