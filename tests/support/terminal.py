"""A terminal with an interactive shell in it, as a user's jobs run in one."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
import termios
import time
from collections.abc import Mapping

from tests.support.wait import PATIENCE

PROMPT = "ready> "


class Terminal:
    """A pseudo-terminal whose session a bash with job control leads.

    `type` writes what a keyboard would, `expect` waits for output. Leaving the
    `with` block hangs up: the terminal goes, as when its window is closed.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        self.output = ""
        """Everything that was displayed, as far as `expect` has read it."""
        self._seen = 0
        self._slave = slave
        self.shell = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**env, "PS1": PROMPT, "TERM": "dumb", "HISTFILE": ""},
        )
        self.expect(re.escape(PROMPT))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.shell.wait(5 * PATIENCE)
        self.shell.kill()
        self.shell.wait()

    def hang_up(self) -> None:
        """Close the terminal; its session gets SIGHUP."""
        for fd in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._master = self._slave = -1

    def run(self, *command: str) -> None:
        """Type a command line."""
        self.type(shlex.join(command) + "\n")

    def type(self, text: str) -> None:
        """Write what the keyboard sends; ``\\x03`` is Ctrl+C, ``\\x1a`` Ctrl+Z."""
        os.write(self._master, text.encode())

    def expect(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """Wait for output that matches, after what earlier calls have found."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            if found := re.compile(pattern).search(self.output, self._seen):
                self._seen = found.end()
                return found
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._master], [], [], max(left, 0))
            assert readable, f"{pattern!r} did not come after {self.output[self._seen :]!r}"
            self.output += os.read(self._master, 65536).decode(errors="replace")

    def expect_prompt(self) -> None:
        """Wait until the shell reads the next command."""
        self.expect(re.escape(PROMPT))

    @property
    def is_cooked(self) -> bool:
        """Return whether lines are edited, echoed and Ctrl+C is a signal, as shells want it."""
        flags = termios.tcgetattr(self._slave)[3]
        wanted = termios.ICANON | termios.ECHO | termios.ISIG
        return int(flags) & wanted == wanted
