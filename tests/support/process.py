"""A child process of the laboratory, with what a test asks about one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.wait import PATIENCE, until

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A running program whose stdout and stderr go to the file `log`.

    It dies with the test process (`setpriv --pdeathsig`, which needs no code
    between fork and exec). Use as a context manager: leaving kills it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                pass_fds=pass_fds,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything written to stdout and stderr so far."""
        return self.log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def check_alive(self) -> None:
        """Raise `AssertionError` with the output if the process has ended."""
        if not self.alive:
            code = self.process.returncode
            raise AssertionError(f"{self.argv[0]} ended with {code}:\n{self.output}")

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        return self.process.wait(timeout * PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        self.process.send_signal(number)

    def terminate(self, timeout: float = 10.0) -> int:
        """SIGTERM, then wait; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL, also when it is stopped, and reap."""
        if self.alive:
            self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP on entry, SIGCONT on exit. The process stands still inside."""
        self.signal(signal.SIGSTOP)
        until(lambda: self.stopped, f"{self.argv[0]} to stop")
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    @property
    def stopped(self) -> bool:
        """Whether it stands still, whoever stopped it."""
        return self._stat()[0] == "T"

    @property
    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(self._proc("statm").split()[1]) * PAGE

    @property
    def cpu(self) -> float:
        """CPU time used so far, user and system, in seconds (10 ms steps)."""
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def threads(self) -> int:
        """Number of threads."""
        return int(self._stat()[17])

    def thread_ids(self, name: str) -> list[int]:
        """Ids of the threads of that name."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return [int(task.name) for task in tasks if (task / "comm").read_text().strip() == name]

    def fds(self) -> dict[int, str]:
        """Open file descriptors and what each points to."""
        found = {}
        for entry in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found[int(entry)] = os.readlink(f"/proc/{self.pid}/fd/{entry}")
        return found

    def _stat(self) -> list[str]:
        """Fields of /proc/PID/stat from `state` on; the name may hold spaces."""
        return self._proc("stat").rpartition(")")[2].split()

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()
