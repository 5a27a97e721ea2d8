"""Run QEMU with a private display, beside a supervisor that ends it: `glview run`."""

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
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, NoReturn

from glview import output
from glview.errors import LaunchError, QmpError, QmpRefusedError
from glview.qemu.command import APART, with_display
from glview.qemu.qmp import hand_over_fd
from glview.qemu.supervisor import GRACE, MONITOR_ID, command_line, descendants, has_monitor
from glview.text import printable
from glview.threads import Thread

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds without a display, after which the user is told what is waited for."""

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LAST_WORDS = 2.0  # seconds from a broken QMP connection to QEMU's end, if it is one
_UNTIL_KILLED = 3.0  # seconds that the supervisor has for ending after all else
_KEPT_LINES = 4
_LONGEST = 1 << 16  # bytes of a line of QEMU's that are passed on at once
_LONGEST_LINE = 1 << 14  # bytes; a longer one goes on in parts
_NO_PROGRAM = "on Debian and Ubuntu: apt install qemu-system-x86"
_SHOWN_WORDS, _SHOWN_LENGTH = 4, 80
_ARGS = 'a script has to pass "$@" on to QEMU'
_NO_DESCRIPTOR = "what was started has closed the descriptor by which glview reaches QEMU"
_KEEP_DESCRIPTORS = f"sudo does so without -C, and scripts may; else {APART}"
NO_DBUS_MODULE = (
    "this QEMU lacks its D-Bus display, ui-dbus.so: package qemu-system-common on Debian 12, "
    "qemu-system-modules-opengl on Debian 13, qemu-ui-dbus on Fedora and Arch"
)
_NO_GL = "glview doctor tells on which render nodes gl=on works; gl=off needs none"


class QemuEndedError(LaunchError):
    """QEMU ended without a fault before it showed anything, as after ``-device help``."""


class QemuProcess:
    """A running QEMU and all that came with it; `start` makes one.

    A supervisor is its parent (`supervisor.py`), which ends everything when it is told
    to, or when this process ends, however that happens. All methods may be called from
    any thread. Use as a context manager: leaving stops it.
    """

    def __init__(
        self, argv: Sequence[str], monitor: socket.socket, theirs: int, fds: Sequence[int]
    ) -> None:
        """Run `argv` with `fds` inherited; own `monitor`, our end of its QMP connection.

        `theirs` is the descriptor of the other end, which QEMU inherits.
        """
        self._monitor: socket.socket | None = monitor
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._code: int | None = None
        self._pid = 0
        self._opened = self._stopping = False
        self._started, self._ended, self._over = (threading.Event() for _ in range(3))
        self._control, control = socket.socketpair()
        with control:
            self._child = _supervise(argv, control.fileno(), monitor.fileno(), theirs, fds)
        stderr = self._child.stderr
        assert stderr is not None
        self._pump = Thread("qemu stderr", lambda: self._pass_on(stderr), _warn)
        attendant = Thread("qemu", lambda: self._attend(monitor), _warn)
        try:
            self._pump.start()
            attendant.start()
        except BaseException:
            self._child.kill()  # then the kernel ends the program
            self._child.wait()
            self._control.close()
            raise

    def __enter__(self) -> QemuProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return the process id of the program that was started, which may be a script."""
        self._started.wait()
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """Return it as a shell does, 128 + n for signal n; None while QEMU runs."""
        return self._code if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for QEMU's end, at most `timeout` seconds; return `exit_code`."""
        self._ended.wait(timeout)
        return self.exit_code

    def open_display(self) -> socket.socket:
        """Wait until QEMU is up; return its display socket, not authenticated. Call once.

        After `PATIENCE` seconds the log says what is waited for. Ends early when another
        thread calls `stop`. Raises `LaunchError` with QEMU's own last words if it ends,
        `QemuEndedError` if it ends without a fault, and `QmpError` if it refuses.
        """
        monitor, self._monitor = self._monitor, None
        assert monitor is not None, "the display was opened before"
        try:
            display = hand_over_fd(monitor, timeout=None)
        except QmpRefusedError:
            raise
        except QmpError as error:
            if self.wait(_LAST_WORDS) is not None:
                raise self._failure() from error
            raise LaunchError(_NO_DESCRIPTOR, _KEEP_DESCRIPTORS) from error
        self._opened = True
        self._tell("negotiated")
        return display

    def stop(self, grace: float = GRACE) -> int:
        """End QEMU and all that came with it; return its exit code.

        QEMU is asked by QMP if its display was open. Whatever is left after half of
        `grace` seconds, or else at once, gets SIGTERM, and after `grace` SIGKILL.
        """
        self._stopping = True
        self._tell(f"stop {grace}")
        if not self._over.wait(grace + _UNTIL_KILLED):
            self._child.kill()
            self._over.wait()
        if self._monitor is not None:
            self._monitor.close()
        return self.exit_code or 0

    # -- the supervisor ----------------------------------------------------

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self._control.sendall(f"{line}\n".encode())

    def _attend(self, monitor: socket.socket) -> None:
        """Take in what the supervisor says until it ends, on a thread of its own."""
        try:
            for line in self._lines():
                what, _, value = line.partition(" ")
                if what == "started":
                    self._pid = int(value)
                    self._started.set()
                elif what == "ended":
                    self._end(int(value), monitor)
                elif what == "left":
                    log.warning("these processes do not end: %s", value)
            self._child.wait()
        finally:
            self._end(128 + signal.SIGKILL, monitor)
            self._started.set()
            self._over.set()
            self._control.close()

    def _lines(self) -> Iterator[str]:
        said = b""
        self._control.settimeout(PATIENCE)
        while True:
            try:
                part = self._control.recv(4096)
            except TimeoutError:
                self._control.settimeout(None)
                if not (self._opened or self._ended.is_set()):
                    log.warning("%s", waiting_for(self.pid))
                continue
            except OSError:
                return
            if not part:
                return
            *lines, said = (said + part).split(b"\n")
            yield from map(bytes.decode, lines)

    def _end(self, code: int, monitor: socket.socket) -> None:
        """Note the end of QEMU, unless it is known, and end the wait for its display."""
        if not self._ended.is_set():
            self._code = code
            self._ended.set()
            with contextlib.suppress(OSError):  # closed, as the display was opened
                monitor.shutdown(socket.SHUT_RDWR)

    # -- what QEMU says ----------------------------------------------------

    def _failure(self) -> LaunchError:
        """Put QEMU's end during start into words."""
        self._pump.join(_LAST_WORDS)
        words = "; ".join(line for line in self._tail if line)
        if self.exit_code == 0 and not (others := descendants(self._child.pid)):
            return QemuEndedError("QEMU ended before it showed anything")
        if self.exit_code == 0:
            left = ", ".join(describe_process(process.pid) for process in others)
            return LaunchError(f"what was started ended, without a display; it left {left}", _ARGS)
        said = f": {words}" if words else ", without a word and without a display"
        return LaunchError(f"QEMU ended with exit code {self.exit_code}{said}", _hint(words))

    def _pass_on(self, stderr: IO[bytes]) -> None:
        """Copy QEMU's stderr to ours, all but its report of the signal that it is sent."""
        with stderr:
            for line in iter(partial(stderr.readline, _LONGEST_LINE), b""):
                if self._stopping and b"terminating on signal" in line:
                    continue
                self._tail.append(line.decode(errors="replace").strip())
                output.pass_on(line)


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
            return QemuProcess(with_display(argv, fd), ours, fd, pass_fds)
        except BaseException:
            ours.close()
            raise


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by the command line `argv`. Raises `LaunchError`."""
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        raise LaunchError(f"cannot run {argv[0]}: {error.strerror}", _NO_PROGRAM) from error


def _supervise(
    argv: Sequence[str], control: int, monitor: int, theirs: int, fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start the supervisor of `argv`, which inherits `fds` and `theirs`."""
    own = [str(fd) for fd in (control, monitor, theirs)]
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR), *own, *argv],
            stderr=subprocess.PIPE,
            pass_fds=(control, monitor, theirs, *fds),
        )
    except OSError as error:
        raise LaunchError(f"cannot run {argv[0]}: {error.strerror}") from error


def waiting_for(pid: int) -> str:
    """Return one line about a display that does not come from process `pid`, and why perhaps."""
    there = [pid, *(process.pid for process in descendants(pid))]
    started = " > ".join(describe_process(each) for each in there)
    qemus = [each for each in there if "qemu" in Path((command_line(each) or [""])[0]).name]
    why = _ARGS
    if qemus and all(map(has_monitor, qemus)):
        why = "QEMU does not answer on QMP: does it wait for something, or stand still?"
    return f"no display after {PATIENCE:g} s, still waiting; started: {started} ({why})"


def describe_process(pid: int) -> str:
    """Return the program of a process and its id, for a message."""
    words = command_line(pid)
    return f"{printable(' '.join(words[:_SHOWN_WORDS]) or '?', _SHOWN_LENGTH)} (process {pid})"


def _hint(words: str) -> str:
    """Return the way out of what QEMU complains of, where it is known."""
    if MONITOR_ID in words:
        return _KEEP_DESCRIPTORS
    if _lacks_dbus(words):
        return NO_DBUS_MODULE
    return _NO_GL if _lacks_gl(words) else ""


def _warn(line: str) -> None:
    """Tell the user how a thread of this module ended, which nothing else depends on."""
    log.warning("%s", line)


def _lacks_dbus(words: str) -> bool:
    return "dbus" in words and ("not available" in words or "does not accept value" in words)


def _lacks_gl(words: str) -> bool:
    return "render node" in words or "egl:" in words
