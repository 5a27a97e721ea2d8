"""How long QEMU's main loop takes to answer QMP, asked all the time by a process of its own.

`python -m tests.support.chaos.meter SOCKET FILE` asks until it is killed, and connects again
whenever QEMU has been started anew. Each answer is a line of `FILE`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NamedTuple

REST = 0.005
"""Seconds between an answer and the next question."""

_ASK = b'{"execute": "query-status"}'


class Sample(NamedTuple):
    """One answer: Unix time of the question, seconds until the answer, seconds without a CPU.

    `waited` is of all threads of QEMU and of the meter together: a virtual CPU that waits for
    a real one may hold the lock that QEMU's main loop needs.
    """

    asked: float
    took: float
    waited: float

    @property
    def own(self) -> float:
        """Seconds that the answer took less those without a CPU."""
        return max(0.0, self.took - self.waited)


def read(path: Path) -> list[Sample]:
    """Return the samples in a file; the last line may be half written."""
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [Sample(*map(float, line.split())) for line in whole.splitlines()]


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _waits(pid: int) -> dict[Path, int]:
    """Return the nanoseconds that each thread of a process, and the meter, waited for a CPU."""
    waits = {}
    for path in (*Path(f"/proc/{pid}/task").glob("*/schedstat"), Path("/proc/self/schedstat")):
        with contextlib.suppress(OSError):  # threads end
            waits[path] = int(path.read_text().split()[1])
    return waits


def _ask_until_closed(path: str, out: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock, out.open("a", buffering=1) as lines:
        sock.connect(path)
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = struct.unpack("3i", credentials)[0]
        with sock.makefile("rb") as answers:
            answers.readline()  # the greeting
            sock.sendall(b'{"execute": "qmp_capabilities"}')
            answers.readline()
            while True:
                before, asked = _waits(pid), time.time()
                began = time.monotonic()
                sock.sendall(_ASK)
                while b'"return"' not in (line := answers.readline()):
                    if not line:
                        return
                took = time.monotonic() - began
                after = _waits(pid)
                waited = sum(wait - before.get(path, 0) for path, wait in after.items()) / 1e9
                lines.write(f"{asked:.6f} {took:.6f} {waited:.6f}\n")
                time.sleep(REST)


def main() -> None:
    """Ask for ever."""
    while True:
        with contextlib.suppress(OSError):
            _ask_until_closed(sys.argv[1], Path(sys.argv[2]))
        time.sleep(0.05)


if __name__ == "__main__":
    main()
