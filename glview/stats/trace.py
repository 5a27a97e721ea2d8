"""A trace of every update for chrome://tracing and Perfetto, written while glview runs.

(Trace Event Format, the array form: "X" is a slice on a thread's track, "b" and
"e" a slice of its own track by cat and id, "i" an instant, "M" a name. Times are
microseconds of CLOCK_MONOTONIC, with nanoseconds as decimals.)
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from glview.errors import OutputError
from glview.stats.recorder import COPIED, Frame, Update
from glview.threads import Thread

log = logging.getLogger(__name__)

LISTENER, MAIN, SCREEN = 1, 2, 3
_TRACKS = {LISTENER: "listener thread", MAIN: "main thread", SCREEN: "screen"}
BACKLOG = 1024
"""Frames that wait to be written while the disk is slow; older ones are left out."""
MOST_UPDATES = 32 * BACKLOG
"""Updates of such frames together, of some 300 bytes each; newer ones are left out."""

_LAST = 2.0  # seconds that the end of the viewer waits for the disk, or for a reader

Event = dict[str, Any]


class Trace:
    """A trace file, complete once closed. Use with `with`.

    It is written by a thread of its own: neither picture nor answer waits for the disk,
    or for the reader of a FIFO. `failed` is set where the file is not complete.
    """

    def __init__(self, path: Path) -> None:
        """Begin the file. Raises OutputError, and ResourceError where no thread can be had."""
        self._path = path
        self._fd = self._open()
        self._frames: deque[tuple[Frame, list[Update]]] = deque(maxlen=BACKLOG)
        self._left_out = 0
        self._taken = self._gone = 0  # updates so far, each counted by one thread
        self._wake = threading.Event()
        self._closed = False
        self.failed = False
        self._thread = Thread("trace", self._run, self._fail)
        try:
            self._thread.start()
        except BaseException:
            if self._fd is not None:
                os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def put(self, frame: Frame, updates: list[Update]) -> None:
        """This frame is through. Never waits."""
        full = self._taken - self._gone + len(updates) > MOST_UPDATES
        self._left_out += full or len(self._frames) == BACKLOG
        if full:
            return
        if len(self._frames) == BACKLOG:
            with contextlib.suppress(IndexError):  # written just now
                self._taken -= len(self._frames.popleft()[1])
        self._taken += len(updates)
        self._frames.append((frame, updates))
        self._wake.set()

    def close(self) -> None:
        """Write what is left and end the file, in bounded time."""
        self._closed = True
        self._wake.set()
        self._thread.join(_LAST)
        if self._thread.is_alive():
            self._fail("nobody reads it, or the disk is too slow")
        elif self._left_out and not self.failed:
            log.warning("the trace %s lacks %d frames", self._path, self._left_out)

    def _open(self) -> int | None:
        """Open the file; None for a FIFO that nobody reads yet. Raises OutputError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags | os.O_NONBLOCK, 0o666)
        except OSError as error:
            if error.errno == errno.ENXIO and self._path.is_fifo():
                return None
            raise OutputError(
                f"the trace cannot be written: {self._path}: {error.strerror}",
                "choose another file",
            ) from None
        os.set_blocking(fd, True)
        return fd

    def _fail(self, why: str) -> None:
        self.failed = True
        log.warning("the trace %s is not complete: %s", self._path, why)

    def _run(self) -> None:
        try:
            where = self._path if self._fd is None else self._fd
            with open(where, "w", encoding="ascii") as self._file:
                self._write()
        except BrokenPipeError:  # whoever read it has had enough
            log.info("nobody reads the trace %s any more", self._path)
        except OSError as error:
            self._fail(error.strerror or str(error))

    def _write(self) -> None:
        self._file.write("[\n" + ",\n".join(json.dumps(event) for event in names()))
        closed, screen_free = False, 0.0
        while not closed:
            self._wake.wait()
            self._wake.clear()
            closed = self._closed
            while self._frames:
                try:
                    frame, updates = self._frames.popleft()
                except IndexError:  # `put` was faster
                    break
                self._gone += len(updates)
                for event in events(frame, updates, screen_free):
                    self._file.write(",\n" + json.dumps(event))
                screen_free = max(screen_free, frame.shown)
        self._file.write("\n]\n")


def names() -> list[Event]:
    """What the tracks are called."""
    found = [_name("process_name", MAIN, "glview")]
    return found + [_name("thread_name", track, name) for track, name in _TRACKS.items()]


def events(frame: Frame, updates: list[Update], screen_free: float) -> list[Event]:
    """The slices of a frame, and of the updates that it shows.

    `screen_free` is when the frame before was shown.

    The stages of an update meet without a gap: on the track of a thread where
    one worked on it, on the update's own where it waited.
    """
    found = [event for update in updates for event in _update(update, frame)]
    about = {"frame": frame.number, "updates": [frame.first, frame.last]}
    if updates:
        found.append(_slice("upload", MAIN, frame.begun, frame.accepted, about))
    found.append(_slice("draw", MAIN, frame.drawing, frame.drawn, about))
    found.append(_slice("swap", MAIN, frame.drawn, frame.swapped, about))
    if frame.shown:
        begin = max(frame.swapped, screen_free)
        found.append(_slice("to screen", SCREEN, begin, frame.shown, about))
    return found


def _update(update: Update, frame: Frame) -> list[Event]:
    about = {
        "update": update.number,
        "frame": frame.number,
        "transport": update.transport,
        "merged": update.number < frame.last,
    }
    number, copied = update.number, update.transport == COPIED
    taking = update.received, update.noted, about
    found = [
        _slice("receive", LISTENER, update.arrived, update.received, about),
        *([] if copied else [_slice("take in", LISTENER, *taking)]),
        *_wait(f"update by {update.transport}", number, update.arrived, frame.swapped, about),
        *(_wait("waits for the CPU's copy", number, *taking) if copied else []),
        *_wait("waits for the main thread", number, update.noted, update.looked, about),
        *_wait("waits for the presenter", number, update.looked, frame.begun, about),
        *_wait("waits for its frame", number, frame.accepted, frame.drawing, about),
    ]
    if update.serial and update.replied:
        found.append({**_event("reply", "i", update.replied, LISTENER, about), "s": "t"})
    return found


def _name(kind: str, track: int, name: str) -> Event:
    return _event(kind, "M", 0.0, track, {"name": name})


def _slice(name: str, track: int, begin: float, end: float, about: dict[str, Any]) -> Event:
    start = _event(name, "X", begin, track, about)
    return {**start, "dur": (_nanoseconds(end) - _nanoseconds(begin)) / 1000}


def _wait(name: str, number: int, begin: float, end: float, about: dict[str, Any]) -> list[Event]:
    both = {"cat": "update", "id": number}
    return [
        {**_event(name, "b", begin, MAIN, about), **both},
        {**_event(name, "e", end, MAIN, {}), **both},
    ]


def _event(name: str, kind: str, at: float, track: int, about: dict[str, Any]) -> Event:
    ts = _nanoseconds(at) / 1000
    return {"name": name, "ph": kind, "ts": ts, "pid": os.getpid(), "tid": track, "args": about}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
