"""What is shown, and when: the rules in time between a scanout and the screen.

- A new scanout is shown at its first update, or after 50 ms if none comes:
  QEMU announces each mode change with a black picture that nobody wants to
  see flash.
- `Disable` is provisional: with blob resources QEMU sends it after every
  page flip. Blank only after 200 ms without a scanout or an update, and
  come back at the next update.
- A dma-buf is read while QEMU waits for the answer to an update, when the
  guest leaves it alone. What was answered unread - the window was hidden, or
  the time was up - is read at the next update, or once the guest has come to
  rest: else its last frame would never be seen.

Pure: no GL, no clock of its own. Times are monotonic seconds.
"""

from __future__ import annotations

from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Snapshot
from glview.scanout.source import Source

SHOW_AFTER = 0.050
BLANK_AFTER = 0.200
REST = 0.500


class Screen:
    """The scanout that is shown, the one that is about to be, and the blanking.

    Owns the sources given to it by `apply`.
    """

    def __init__(self) -> None:
        self.source: Source | None = None  # shown, or to be shown by the next frame
        self.damage: Rect | None = None  # of `source`, not read yet
        self.rest_at = 0.0  # when it may be read though nobody waits for that
        self.blank = False
        self._next: Source | None = None
        self._next_damage = Rect(0, 0, 0, 0)
        self._show_at = 0.0
        self._blank_at: float | None = None

    def apply(self, news: Snapshot, now: float) -> bool:
        """Take in what the mailbox had. True where there is something new to draw."""
        if news.source is not None:
            self._announce(news.source, news.damage, now)
        if news.source is not None or news.updated:
            self._blank_at = None
        if news.disabled:
            self._blank_at = now + BLANK_AFTER
        if not news.updated:
            return False
        self.blank = False
        self.rest_at = now + REST
        if self._next is not None:
            self._show_next()
        elif news.damage is not None:
            self.damage = news.damage.union(self.damage)
        return self.source is not None

    def tick(self, now: float) -> bool:
        """Let time pass. True where there is something to draw because of it."""
        changed = False
        if self._next is not None and now >= self._show_at:
            self.rest_at = now  # it will not be announced better
            self._show_next()
            self.blank = False
            changed = True
        if self._blank_at is not None and now >= self._blank_at:
            self._blank_at = None
            changed = changed or not self.blank
            self.blank = True
        return changed

    def deadline(self) -> float | None:
        """When `tick` has something to do, or None."""
        times = [self._blank_at] if self._blank_at is not None else []
        if self._next is not None:
            times.append(self._show_at)
        return min(times, default=None)

    def read(self) -> Rect | None:
        """The damage, which is in the renderer's hands from now on."""
        damage, self.damage = self.damage, None
        return damage

    def unread(self, damage: Rect, rest_at: float) -> None:
        """This must be read again: the guest may have drawn meanwhile."""
        self.damage = damage.union(self.damage)
        self.rest_at = rest_at

    def forget(self) -> None:
        """The connection has gone: no source is valid any more (the last picture stays drawn)."""
        for source in (self.source, self._next):
            if source is not None:
                source.close()
        self.source = self._next = self.damage = self._blank_at = None

    def _announce(self, source: Source, damage: Rect | None, now: float) -> None:
        if self._next is not None:
            self._next.close()  # the first one's time still counts
        else:
            self._show_at = now + SHOW_AFTER
        self._next = source
        self._next_damage = damage or Rect(0, 0, source.width, source.height)

    def _show_next(self) -> None:
        assert self._next is not None
        if self.source is not None:
            self.source.close()
        self.source, self._next = self._next, None
        self.damage = self._next_damage.union(self.damage)
