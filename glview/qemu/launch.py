"""Running QEMU as a child with a private display: `glview run`."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from glview.errors import InternalError, LaunchError, QmpError
from glview.qemu.command import with_display
from glview.qemu.qmp import hand_over_fd
from glview.threads import Thread, describe

log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that QEMU has for ending in order, disk images written back, before it is killed."""

_CHILD = Path(__file__).with_name("child.py")
_LAST_WORDS = 2.0  # seconds from a broken QMP connection to QEMU's end, if it is one
_KEPT_LINES = 4
_STDERR = 2
_NO_PROGRAM = "on Debian and Ubuntu: apt install qemu-system-x86"
NO_DBUS_MODULE = (
    "this QEMU lacks its D-Bus display, ui-dbus.so: package qemu-system-common on Debian 12, "
    "qemu-system-modules-opengl on Debian 13, qemu-ui-dbus on Fedora and Arch"
)
_NO_GL = "glview doctor tells on which render nodes gl=on works; gl=off needs none"


class QemuProcess:
    """A QEMU child process; `start` makes one. All methods may be called from any thread.

    It never outlives this process: the kernel sends it SIGTERM when we die,
    however that happens. Use as a context manager: leaving stops it.
    """

    def __init__(self, argv: Sequence[str], monitor: socket.socket, fds: Sequence[int]) -> None:
        """Run `argv` with `fds` inherited; own `monitor`, our end of its QMP connection."""
        self._monitor: socket.socket | None = monitor
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._stopping = False
        self._ended = threading.Event()
        self._child = _fork(argv, fds, self._ended)
        assert self._child.stderr is not None
        stderr = self._child.stderr
        self._pump = Thread("qemu stderr", lambda: self._pass_on(stderr), _warn)
        try:
            self._pump.start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> QemuProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """As a shell gives it: 128 + n for signal n. None while QEMU runs."""
        code = self._child.returncode if self._ended.is_set() else None
        return code if code is None or code >= 0 else 128 - code

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for QEMU's end, at most `timeout` seconds; return `exit_code`."""
        self._ended.wait(timeout)
        return self.exit_code

    def open_display(self) -> socket.socket:
        """Wait until QEMU is up; return its display socket, not authenticated. Call once.

        Ends early when another thread calls `stop`. Raises `LaunchError` with
        QEMU's own last words if it ends, and `QmpError` if it refuses.
        """
        monitor, self._monitor = self._monitor, None
        assert monitor is not None, "the display was opened before"
        try:
            return hand_over_fd(monitor, timeout=None)
        except QmpError as error:
            if self.wait(_LAST_WORDS) is None:
                raise
            raise self._failure() from error

    def stop(self, grace: float = GRACE) -> int:
        """End QEMU: SIGTERM, and SIGKILL after `grace` seconds. Return its exit code."""
        self._stopping = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._child.send_signal(number)
            if self._ended.wait(grace):
                break
        self._ended.wait()
        if self._monitor is not None:
            self._monitor.close()
        return self.exit_code or 0

    def _failure(self) -> LaunchError:
        """Put QEMU's end during start into words."""
        self._pump.join(_LAST_WORDS)
        words = "; ".join(line for line in self._tail if line)
        hint = NO_DBUS_MODULE if _lacks_dbus(words) else _NO_GL if _lacks_gl(words) else ""
        said = f": {words}" if words else ", without a word and without a display"
        return LaunchError(f"QEMU ended with exit code {self.exit_code}{said}", hint)

    def _pass_on(self, stderr: IO[bytes]) -> None:
        """Copy QEMU's stderr to ours, all but its report of the signal that we send."""
        with stderr:
            for line in stderr:
                if self._stopping and b"terminating on signal" in line:
                    continue
                self._tail.append(line.decode(errors="replace").strip())
                with contextlib.suppress(OSError):  # ours may be closed; QEMU goes on
                    os.write(_STDERR, line)


def start(argv: Sequence[str], pass_fds: Sequence[int] = ()) -> QemuProcess:
    """Run the QEMU command line `argv` with a private display added.

    `pass_fds` are inherited by QEMU under the same numbers. Returns as soon as
    the process exists. Raises `LaunchError` if the program or an option rules it out.
    """
    if not argv or shutil.which(argv[0]) is None:
        raise LaunchError(f"no such program: {argv[0] if argv else '(none)'}", _NO_PROGRAM)
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        try:
            return QemuProcess(with_display(argv, fd), ours, [fd, *pass_fds])
        except BaseException:
            ours.close()
            raise


def _fork(
    argv: Sequence[str], fds: Sequence[int], ended: threading.Event
) -> subprocess.Popen[bytes]:
    """Run `argv` in a child that ends with this process; set `ended` once it is reaped.

    The kernel ties the child to the *thread* that forked it. So a thread of
    its own forks, and lives on to wait for the end.
    """
    forked = threading.Event()
    result: list[subprocess.Popen[bytes] | Exception] = []

    def run() -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *argv],
                stderr=subprocess.PIPE,
                pass_fds=fds,
            )
        except Exception as error:
            result.append(error)
            return
        else:
            result.append(process)
        finally:
            forked.set()
        try:
            process.wait()
        finally:
            ended.set()

    Thread("qemu", run, _warn).start()
    forked.wait()
    match result[0]:
        case OSError() as error:
            raise LaunchError(f"cannot run {argv[0]}: {error.strerror}") from error
        case Exception() as error:
            raise InternalError(describe("starting QEMU", error)) from error
        case process:
            return process


def _warn(line: str) -> None:
    """Tell the user how a thread of this module ended, which nothing else depends on."""
    log.warning("%s", line)


def _lacks_dbus(words: str) -> bool:
    return "dbus" in words and ("not available" in words or "does not accept value" in words)


def _lacks_gl(words: str) -> bool:
    return "render node" in words or "egl:" in words
