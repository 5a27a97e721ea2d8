"""What the kernel knows of a process: CPU time, memory; and the load of everything else."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the scheduler's count, in nanoseconds


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, of all threads of a process so far.

    This is clock_getcpuclockid(3), which Python lacks: nanoseconds, where
    /proc/PID/stat counts in steps of 10 ms. Raises OSError once the process is gone.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def rss_mib(pid: int) -> float:
    """Resident memory, shared pages included, in MiB."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return resident * _PAGE / 2**20


def wakeups(pid: int) -> int:
    """How often the threads that a process has now gave up the CPU of their own accord."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text().splitlines()
        count += sum(int(ln.split()[1]) for ln in lines if ln.startswith("voluntary_ctxt"))
    return count


class ForeignLoad:
    """CPU cores used by everything but this process and `pids`, while it is running.

    May be started and stopped several times; the kernel counts in steps of 10 ms, so
    only sums over a second or more mean something.
    """

    def __init__(self, pids: Collection[int]) -> None:
        self._pids = [os.getpid(), *pids]
        self._busy = self._wall = 0.0

    def __enter__(self) -> None:
        self._busy -= self._foreign()
        self._wall -= time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._busy += self._foreign()
        self._wall += time.monotonic()

    def cores(self) -> float:
        """Mean number of cores that other work kept busy."""
        return max(0.0, self._busy / self._wall) if self._wall else 0.0

    def _foreign(self) -> float:
        return _busy_seconds() - sum(map(cpu_seconds, self._pids))


def _busy_seconds() -> float:
    """CPU time of the whole machine, except idle and waiting for disks."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) * _TICK


def machine() -> dict[str, str]:
    """What the figures depend on, in words."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpus if "model name" in line), "?")
    system = os.uname()
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": f"{system.sysname} {system.release} {system.machine}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * _PAGE / 2**30:.1f} GiB",
    }
