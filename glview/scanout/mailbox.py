"""The one slot between a listener thread and the main thread.

The listener thread puts the newest state in, the main thread takes it out
when it is ready to draw. Newest wins: sources that were never looked at are
dropped, damage is a union, and the calls that QEMU waits for are collected.
The listener never waits for the main thread here. What only changes pixels of
a picture that is shown already may take a shorter way, if there is one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import NamedTuple, Protocol

from glview.scanout.geometry import Rect
from glview.scanout.replies import Replies
from glview.scanout.source import Source
from glview.stats.recorder import OFF, Recorder

SETTLE_AFTER = 0.1  # seconds of silence, when waking up for it costs nobody anything


class Cursor(NamedTuple):
    """A pointer sprite: B, G, R, A bytes, premultiplied; the hot spot in pixels."""

    width: int
    height: int
    hot_x: int
    hot_y: int
    pixels: bytes


class Pointer(NamedTuple):
    """Where the guest shows its pointer: the sprite's top left for virtio-gpu."""

    x: int
    y: int
    visible: bool


class Snapshot:
    """What changed since the last look.

    `source` is a scanout that was not seen before, `damage` what changed of
    the newest one, `updated` whether an update came after it was announced,
    `disabled` whether it was switched off after that.
    `replies` are serials of UpdateDMABUF calls that this look covers.
    """

    def __init__(
        self,
        source: Source | None = None,
        damage: Rect | None = None,
        *,
        updated: bool = False,
        disabled: bool = False,
    ) -> None:
        self.source = source
        self.damage = damage
        self.updated = updated
        self.disabled = disabled
        self.cursor: Cursor | None = None
        self.pointer: Pointer | None = None
        self.problem: str | None = None
        self.replies: list[int] = []


class Shortcut(Protocol):
    """A way to the screen for the listener thread, without the main thread."""

    def offer(
        self, source: Source | None, rect: Rect, renew: Callable[[], None] | None = None
    ) -> bool:
        """Show `rect` of `source`, which has changed, at once. False: it is the main thread's.

        It changes by `renew()`, if there is one, which is called only if it is shown.
        """

    def settle(self) -> bool:
        """Let go of sources that have been shown. False where the main thread has to look."""


class Mailbox:
    """See the module. `wake` is called, at most once per look, when something is in it to show.

    `replies` are the calls that wait for the main thread to read the buffer,
    `recorder` is told how far updates have got. `shortcut` is for the main
    thread to set. While there is something `unsettled`, the listener thread calls `settle`
    after SETTLE_AFTER of silence, as nobody else hears of what becomes of it.
    """

    shortcut: Shortcut | None = None
    unsettled = False

    def __init__(self, wake: Callable[[], None], recorder: Recorder = OFF) -> None:
        self.recorder = recorder
        self.lock = threading.Lock()
        self._wake = wake
        self._awake = False
        self._news = Snapshot()
        self._newest: Callable[[], Source | None] = lambda: None  # announced; others keep it
        self._off = False  # switched off since
        self.replies = Replies()
        self._hidden = False

    # -- listener thread ---------------------------------------------------

    def put_source(
        self, source: Source, damage: Rect, *, updated: bool, supersedes: bool = True
    ) -> None:
        """Announce a scanout. `updated` where its content is complete already.

        Not `supersedes`: it is the same picture in other memory, so damage
        not yet looked at still counts.
        """
        with self.lock:
            news = self._news
            dropped, news.source = news.source, source
            self._newest, self._off = weakref.ref(source), False
            news.damage = damage if supersedes else damage.union(news.damage)
            news.updated = updated
            news.disabled = False
            if updated and self.recorder.on:
                self.recorder.note()
        if dropped is not None and dropped is not source:
            dropped.close()
        self._ring()

    def put_damage(self, rect: Rect) -> None:
        """A rectangle of the newest scanout changed."""
        with self.lock:
            if self._has_passed(rect):
                return
            self._add_damage(rect)
        self._ring()

    def renew(self, source: Source, rect: Rect, renew: Callable[[], None]) -> bool:
        """If `source` is shown, have `rect` of it changed by `renew()`. False: nothing was done."""
        with self.lock:
            return source is self._newest() and self._has_passed(rect, renew)

    def _has_passed(self, rect: Rect, renew: Callable[[], None] | None = None) -> bool:
        """Whether it went the short way, which nothing may be overtaken on."""
        if self.shortcut is None or self._awake or self._hidden or self._off:
            return False
        passed = self.shortcut.offer(self._newest(), rect, renew)
        if passed:
            self.unsettled = True
        return passed

    def settle(self) -> None:
        """Let go of what was shown by the short way, or have the main thread see why not."""
        if not self.unsettled:
            return
        self.unsettled = False
        if self.shortcut is not None and not self.shortcut.settle():
            self._wake()

    def put_update(self, rect: Rect, serial: int) -> bool:
        """Like `put_damage`, for UpdateDMABUF, which must be answered.

        Returns False where nothing will be drawn: then the caller answers
        at once. Else the main thread does, or the caller when it is overdue.
        """
        with self.lock:
            self._add_damage(rect)
            if self._hidden:
                return False
            self.replies.add(serial)
        self._ring()
        return True

    def put_disable(self) -> None:
        """The scanout was switched off, perhaps only for a moment."""
        with self.lock:
            self._news.disabled = True
            self._off = True
        self._ring()

    def put_cursor(self, cursor: Cursor) -> None:
        """A new pointer sprite."""
        with self.lock:
            self._news.cursor = cursor
        self._ring()

    def put_pointer(self, pointer: Pointer) -> None:
        """The guest moved, showed or hid its pointer."""
        with self.lock:
            self._news.pointer = pointer
        self._ring()

    def put_problem(self, text: str) -> None:
        """Something came that cannot be shown; `text` says what and why."""
        with self.lock:
            self._news.problem = text
        self._ring()

    # -- main thread -------------------------------------------------------

    def take(self) -> Snapshot:
        """Everything new; ownership of `source` goes with it."""
        with self.lock:
            news, self._news = self._news, Snapshot()
            news.replies = self.replies.waiting()
            self._awake = False
            if self.recorder.on:
                self.recorder.look()
        return news

    def set_hidden(self, hidden: bool) -> None:
        """Whether nothing is being drawn, so that replies need not wait for it.

        What comes meanwhile wakes nobody: who ends it takes a look.
        """
        with self.lock:
            self._hidden = hidden

    def close(self) -> None:
        """Drop a source that nobody took."""
        source = self.take().source
        if source is not None:
            source.close()

    # -- either ------------------------------------------------------------

    def _add_damage(self, rect: Rect) -> None:
        self._news.damage = rect.union(self._news.damage)
        self._news.updated = True
        self._news.disabled = self._off = False  # Disable meant another buffer
        if self.recorder.on:
            self.recorder.note()

    def _ring(self) -> None:
        with self.lock:
            if self._awake or self._hidden:
                return
            self._awake = True
        self._wake()


class WakeUp:
    """A pipe that any thread, and a signal handler, can ring and a poll loop can wait for.

    `fd` is what to poll. `signal_fd` is for `signal.set_wakeup_fd`, which
    wakes a loop that was just about to wait when the signal came.
    """

    def __init__(self) -> None:
        self.fd, self.signal_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._lock = threading.RLock()  # re-entrant: a signal may come in the middle of `close`

    def ring(self) -> None:
        """Make `fd` readable; nothing where nobody waits any more."""
        with self._lock, contextlib.suppress(BlockingIOError):  # full: it rings already
            if self.fd >= 0:
                os.write(self.signal_fd, b"!")

    def clear(self) -> None:
        """Make `fd` unreadable again."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.fd, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            fds = self.fd, self.signal_fd
            self.fd = self.signal_fd = -1
            for fd in fds:
                os.close(fd)
