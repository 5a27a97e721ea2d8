"""What a busy machine does to a measured time: how long threads waited for a CPU."""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from types import TracebackType
from typing import Self

EVERY = 0.02
"""Seconds between two looks."""


class CpuWait:
    """Looks at the kernel's account of some threads for the length of a `with` block."""

    def __init__(self) -> None:
        self._watched: list[tuple[int, str]] = []
        self._looks: list[tuple[float, dict[str, float]]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def watch(self, pid: int, name: str = "") -> None:
        """Take in the threads of a process, or only those of that name."""
        self._watched.append((pid, name))

    def during(self, start: float, end: float) -> float:
        """Seconds that they waited, all together, between two Unix times at least.

        And by how much the looks themselves came late: a hypervisor's other guests are in no
        account of the kernel's.
        """
        if self._looks[-1][0] < end:
            self._looks.append((time.time(), self._look()))
        times = [at for at, _ in self._looks]
        first, last = bisect_right(times, start) - 1, bisect_left(times, end)
        before, after = self._looks[first][1], self._looks[last][1]
        waits = sum(wait - before.get(thread, 0.0) for thread, wait in after.items())
        return waits + max(0.0, times[last] - times[first] - (last - first) * EVERY)

    def __enter__(self) -> Self:
        self._looks.append((time.time(), self._look()))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        self._looks.append((time.time(), self._look()))

    def _run(self) -> None:
        while not self._end.wait(EVERY):
            self._looks.append((time.time(), self._look()))

    def _look(self) -> dict[str, float]:
        """Nanoseconds in the run queue are the second number (Linux sched-stats)."""
        found = {}
        for pid, name in self._watched.copy():
            with contextlib.suppress(OSError):  # threads end
                for task in Path(f"/proc/{pid}/task").iterdir():
                    if not name or (task / "comm").read_text().strip() == name:
                        waited = int((task / "schedstat").read_text().split()[1])
                        found[task.name] = waited / 1e9
        return found
