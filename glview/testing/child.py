"""The VM that is no VM, in a process of its own, for where no QEMU is installed."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Self


class FakeProcess:
    """A context manager: the process ends with it."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            command = [sys.executable, "-m", "glview.testing", "--fd", str(fd)]
            self._process = subprocess.Popen(command, pass_fds=[fd])
        self._taken = False

    def take_socket(self) -> socket.socket:
        """Our end of the display's socket, from now on the caller's."""
        self._taken = True
        return self._ours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._taken:
            self._ours.close()
        self._process.terminate()
        self._process.wait()
