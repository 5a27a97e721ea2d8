"""The one slot between a listener thread and the main thread.

The listener thread puts the newest state in, the main thread takes it out
when it is ready to draw. Newest wins: sources that were never looked at are
dropped, damage is a union, and the calls that QEMU waits for are collected.
The listener never waits for the main thread here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from glview.scanout.geometry import Rect
from glview.scanout.replies import Replies
from glview.scanout.source import Source
from glview.stats.recorder import OFF, Recorder


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


class Mailbox:
    """See the module. `wake` is called, at most once per look, when something is in it.

    `replies` are the calls that wait for the main thread to read the buffer,
    `recorder` is told how far updates have got.
    """

    def __init__(self, wake: Callable[[], None], recorder: Recorder = OFF) -> None:
        self.recorder = recorder
        self.lock = threading.Lock()
        self._wake = wake
        self._awake = False
        self._news = Snapshot()
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
            self._add_damage(rect)
        self._ring()

    def put_update(self, rect: Rect, serial: int) -> bool:
        """Like `put_damage`, for UpdateDMABUF, which must be answered.

        Returns False where nothing will be drawn: then the caller answers
        at once. Else the main thread does, or the caller when it is overdue.
        """
        with self.lock:
            self._add_damage(rect)
            if not self._hidden:
                self.replies.add(serial)
            hidden = self._hidden
        self._ring()
        return not hidden

    def put_disable(self) -> None:
        """The scanout was switched off, perhaps only for a moment."""
        with self.lock:
            self._news.disabled = True
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
        """Whether nothing is being drawn, so that replies need not wait for it."""
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
        self._news.disabled = False  # Disable meant another buffer
        if self.recorder.on:
            self.recorder.note()

    def _ring(self) -> None:
        with self.lock:
            if self._awake:
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
