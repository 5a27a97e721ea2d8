"""Calls that QEMU waits for: who answers, and until when."""

from __future__ import annotations

import threading
import time
from collections import deque

# QEMU waits 1000 ms for the answer to UpdateDMABUF with the guest's GPU stopped.
# It has it within 100 ms: what is missing here is for waking up.
REPLY_WITHIN = 0.09


class Replies:
    """Serials of UpdateDMABUF calls whose buffer is still to be read. Any thread.

    Whoever has read the buffer claims them and answers; the listener thread
    answers those whose time is up. `forced` counts these. `due` is when the oldest
    must be answered (monotonic seconds), or None.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, float]] = deque()
        self.forced = 0
        self.due: float | None = None

    def add(self, serial: int) -> None:
        """This call is to be answered within REPLY_WITHIN."""
        with self._lock:
            self._waiting.append((serial, time.monotonic() + REPLY_WITHIN))
            self._set_due()

    def waiting(self) -> list[int]:
        """All that nobody has answered yet. While there is one, the guest leaves its buffer be."""
        with self._lock:
            return [serial for serial, _ in self._waiting]

    def claim(self, serials: list[int]) -> list[int]:
        """Of these, those that nobody has answered yet; the caller answers them now."""
        if not serials:
            return []
        wanted = set(serials)
        with self._lock:
            mine = [serial for serial, _ in self._waiting if serial in wanted]
            self._waiting = deque(r for r in self._waiting if r[0] not in wanted)
            self._set_due()
        return mine

    def pop_overdue(self, now: float) -> list[int]:
        """Those whose time is up; the caller answers them now."""
        overdue = []
        with self._lock:
            while self._waiting and self._waiting[0][1] <= now:
                overdue.append(self._waiting.popleft()[0])
            self.forced += len(overdue)
            self._set_due()
        return overdue

    def _set_due(self) -> None:
        self.due = self._waiting[0][1] if self._waiting else None
