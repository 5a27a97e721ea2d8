"""The standard streams: writing to them never makes glview wait, and fails in words.

Whoever reads our standard error may stop doing so: a pipe is full, a terminal was halted
by Ctrl+S. Threads that QEMU waits for write there too, so what is written goes into a
queue of bounded size, and a thread of its own passes it on and may wait. What does not
fit is counted, and the count is written once there is room again.

Standard output is written by commands whose only work that is; they wait for it.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
import time
from collections import deque

from glview.errors import OutputError, ResourceError
from glview.text import printable_lines
from glview.threads import Thread

CAPACITY = 256 * 1024
"""Bytes that wait for whoever reads; more is dropped."""

FLUSH = 2.0
"""Seconds that the end of the process waits for the reader."""

_STDOUT, _STDERR = 1, 2
_MOST_CHARACTERS = 16 * 1024  # of one text: a traceback is shorter
_AT_ONCE = select.PIPE_BUF  # bytes that fit where `poll` says that there is room


class Outlet:
    """A queue of bytes for a descriptor, and the thread that writes them.

    The thread starts with the first bytes. All methods may be called from any thread.
    """

    def __init__(self, fd: int, capacity: int = CAPACITY) -> None:
        self._fd = fd
        self._capacity = capacity
        self._changed = threading.Condition(threading.Lock())
        self._queue: deque[bytes] = deque()
        self._held = 0  # bytes in the queue or being written
        self._lost = 0  # lines
        self._started = False
        self._broken = False  # the thread failed, for a reason that nobody foresaw
        self.failure: OSError | None = None
        """The first error of a write; later bytes are tried all the same."""

    def put(self, data: bytes) -> None:
        """Have `data` written, or count its lines as lost where there is no room. Never waits."""
        with self._changed:
            if self._held + len(data) > self._capacity:
                self._lost += max(1, data.count(b"\n"))
                return
            self._tell_of_loss()
            self._append(data)
            if self._started or self._start():
                self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until everything is written, but no longer than that. False if it is not."""
        deadline = time.monotonic() + seconds
        with self._changed:
            if self._started:
                self._tell_of_loss()
                self._changed.notify_all()
            while self._held:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _append(self, data: bytes) -> None:
        self._queue.append(data)
        self._held += len(data)

    def _tell_of_loss(self) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            lines = "a line was" if lost == 1 else f"{lost} lines were"
            self._append(f"glview: {lines} lost here: nobody read this output\n".encode())

    def _start(self) -> bool:
        try:
            if self._broken:
                raise ResourceError("the thread would fail again")
            Thread("output", self._run, self._failed).start()
        except ResourceError:  # write what surely does not wait
            self._write_what_fits()
            return False
        self._started = True
        return True

    def _failed(self, line: str) -> None:
        with self._changed:
            self._started, self._broken, self._held = False, True, 0
            self._queue.clear()
            self._changed.notify_all()
        self.put(f"glview: {line}\n".encode("ascii", "backslashreplace"))

    def _write_what_fits(self) -> None:
        room = select.poll()
        room.register(self._fd, select.POLLOUT)
        while self._queue and room.poll(0):
            data = self._queue.popleft()
            self._held -= len(data)
            self._try(data[:_AT_ONCE])
        self._queue.clear()
        self._held = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                data = b"".join(self._queue)
                self._queue.clear()
            self._try(data)
            with self._changed:
                self._held -= len(data)
                self._changed.notify_all()

    def _try(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._write(data) :]
        except OSError as error:
            self.failure = self.failure or error

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # whoever shares the descriptor has made it non-blocking
            room = select.poll()
            room.register(self._fd, select.POLLOUT)
            room.poll()
            return 0


class Stderr(io.TextIOBase):
    """Stand in for `sys.stderr` while glview runs: pass whole printable lines to an outlet."""

    def __init__(self, outlet: Outlet, encoding: str) -> None:
        self._outlet = outlet
        self._encoding = encoding
        self._begun = threading.local()  # each thread's line, as far as it has got

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the locale."""
        return self._encoding

    def fileno(self) -> int:
        """Return the descriptor of the standard error."""
        return _STDERR

    def writable(self) -> bool:
        """Return that it can be written."""
        return True

    def write(self, text: str) -> int:
        """Hand on the lines that are complete. Never waits."""
        whole, line_feed, rest = text.rpartition("\n")
        if line_feed:
            self._hand_on(getattr(self._begun, "text", "") + whole + line_feed)
            self._begun.text = rest
        else:
            self._begun.text = getattr(self._begun, "text", "") + rest
        return len(text)

    def _hand_on(self, text: str) -> None:
        body = printable_lines(text, _MOST_CHARACTERS)
        if not body.endswith("\n"):
            body += "\n"
        self._outlet.put(body.encode(self._encoding, "backslashreplace"))


_stderr = Outlet(_STDERR)


def take_over() -> None:
    """Have `sys.stderr` write through the queue, and `sys.stdout` take any character.

    What the locale's encoding lacks is escaped.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    sys.stderr = Stderr(_stderr, encoding)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def pass_on(data: bytes) -> None:
    """Write bytes of another program's to our standard error, in turn. Never waits."""
    _stderr.put(data)


def flush(seconds: float = FLUSH) -> bool:
    """Write what is left, within that time. False where something could not be written.

    That is an error such as a full disk; no error is a reader that has had enough.
    """
    _stderr.flush(seconds)
    return _stderr.failure is None or isinstance(_stderr.failure, BrokenPipeError)


def finish(code: int) -> int:
    """Write what is left of all output, in bounded time; return the exit code.

    Nothing that was written at the end may fail silently, so `code` becomes OutputError's
    where the standard output could not be written and nothing else was wrong.
    """
    try:
        if sys.stdout is not None:
            write("")
    except BrokenPipeError:
        pass
    except OutputError as error:
        print(f"glview: {error}", file=sys.stderr)
        code = code or error.exit_code
    flush()
    return code


def write(text: str) -> None:
    """Write to the standard output. Raises OutputError, and BrokenPipeError at a reader's end."""
    if sys.stdout is None:
        raise OutputError("the standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = None  # what it still holds is not tried again
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"the standard output cannot be written: {error.strerror}") from None


def keep_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed: what is opened later must not take their place.

    A message meant for the standard error would else go into a socket.
    """
    for fd in (0, _STDOUT, _STDERR):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
                os.set_inheritable(fd, True)
