"""Standard streams that take nothing: a full pipe, a terminal halted by Ctrl+S."""

from __future__ import annotations

import contextlib
import os
import pty
import termios
import threading
from collections.abc import Iterator
from typing import Protocol


class Halted(Protocol):
    """An output whose reader has stopped; `writer` is the descriptor for a child."""

    writer: int

    def resume(self) -> None:
        """Read from here on."""

    @property
    def text(self) -> str:
        """Return everything read so far."""


class _Reader:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._read = bytearray()

    @property
    def text(self) -> str:
        return bytes(self._read).decode(errors="replace")

    def begin(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._fd, 65536):
                self._read += data


class FullPipe(_Reader):
    """A pipe with no room for a single byte."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        super().__init__(reader)
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, bytes(4096))
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"\0")
        os.set_blocking(self.writer, True)

    def resume(self) -> None:
        """Read from here on."""
        self.begin()


class HaltedTerminal(_Reader):
    """A terminal whose user has pressed Ctrl+S."""

    def __init__(self) -> None:
        master, self.writer = pty.openpty()
        super().__init__(master)
        termios.tcflow(self.writer, termios.TCOOFF)

    def resume(self) -> None:
        """Press Ctrl+Q."""
        self.begin()
        termios.tcflow(self.writer, termios.TCOON)


@contextlib.contextmanager
def halted(kind: str) -> Iterator[FullPipe | HaltedTerminal]:
    """A halted output of that kind, "pipe" or "terminal"; closed at the end."""
    made = FullPipe() if kind == "pipe" else HaltedTerminal()
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            os.close(made.writer)
