"""Run a program as a child, and end all that it started when glview ends, however that happens.

Run as ``python -I -S supervisor.py CONTROL MONITOR THEIRS PROGRAM ARGUMENT...``, a process
of its own between glview and QEMU. So it survives a glview that is killed: then the
socket CONTROL ends. It is the subreaper of its descendants (prctl(2)), so a QEMU stays
its descendant when a script that started it ends first. MONITOR is glview's end of a QMP
connection and THEIRS the program's: once glview says that QMP was negotiated there, QEMU
is asked to quit before anything is sent a signal.

Lines on CONTROL, from glview: ``negotiated``, ``stop SECONDS``. To glview: ``started PID``,
``ended CODE`` as a shell gives it, ``left PID...`` for what would not end.

It shares glview's process group, as the program does, so that a terminal treats them as one
job: QEMU in a background group could not read the terminal. It heeds none of the job's
signals itself.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # typing and contextlib would take longer than all else here
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MONITOR_ID = "glview-qmp"
"""Id of the character device by which QEMU speaks QMP with glview."""

GRACE = 10.0
"""Seconds that everything has for ending in order, disk images written back, before SIGKILL."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_QUIT = b'{"execute": "quit"}\n'
_KILLED = 1.0  # seconds for what SIGKILL was sent to
_AGAIN = 0.05  # seconds between two looks at what is left, once signals were sent
_SETTLED = (
    3.0  # seconds after which a process that was forked has become another program, if at all
)
_JOB_SIGNALS = (
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)


class Process:
    """A running process; `state` is the letter of proc(5)."""

    def __init__(self, pid: int, parent: int, state: str) -> None:
        self.pid = pid
        self.parent = parent
        self.state = state


def descendants(root: int) -> list[Process]:
    """Return the processes that descend from `root`, parents first, without zombies."""
    there = list(_processes())
    found: list[Process] = []
    parents = {root}
    while fresh := [p for p in there if p.parent in parents and p not in found]:
        found += fresh
        parents = {process.pid for process in fresh}
    return [process for process in found if process.state not in "ZX"]


def command_line(pid: int) -> list[str]:
    """Return the words that a process was started with; none if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return []
    return [os.fsdecode(word) for word in words]


def has_monitor(pid: int) -> bool:
    """Return whether a process was started with the options that glview adds."""
    return any(f"id={MONITOR_ID}," in word for word in command_line(pid))


def _processes() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:  # it is gone
                continue
            yield Process(int(name), int(parent), state.decode())


class _Supervisor:
    """The program's parent: reaps, reports, and ends everything once it is to stop."""

    def __init__(self, control: int, monitor: int, wake: int) -> None:
        self._control = control
        self._monitor = monitor
        self._wake = wake
        self._poller = select.poll()
        self._input = b""
        self._negotiated = False
        self._main = 0
        self._code = 0  # the script's, as long as `_main` may turn out not to be QEMU
        self._unsettled_until = 0.0
        self._ended = False
        self._next: list[tuple[float, signal.Signals]] = []  # what is sent when, at the end
        self._deadline = 0.0

    def run(self, main: int) -> None:
        """Stay until nothing is left of what `main` has started."""
        self._main = main
        self._tell(f"started {main}")
        for fd in (self._control, self._wake):
            self._poller.register(fd, select.POLLIN)
        while True:
            self._reap()
            self._look_at_successor()
            left = descendants(os.getpid()) if self._ended or self._next else []
            if self._ended and not left:
                return
            if self._deadline and time.monotonic() > self._deadline:
                self._tell(f"left {' '.join(str(process.pid) for process in left)}")
                return
            self._signal(left)
            busy = self._next or self._deadline or self._unsettled_until
            timeout = _AGAIN if busy else None
            for fd, _ in self._poller.poll(None if timeout is None else timeout * 1000):
                if not self._read(fd):
                    self._poller.unregister(fd)

    def stop(self, grace: float) -> None:
        """Begin to end everything: by QMP, by SIGTERM, by SIGKILL after `grace` seconds."""
        if self._next or self._deadline:
            return
        now = time.monotonic()
        asked = self._negotiated and not self._ended and self._quit()
        self._next = [
            (now + grace / 2 if asked else now, signal.SIGTERM),
            (now + grace, signal.SIGKILL),
        ]

    def _quit(self) -> bool:
        """Ask QEMU to quit; return whether it can have heard."""
        try:
            return os.write(self._monitor, _QUIT) == len(_QUIT)
        except OSError:
            return False

    def _signal(self, left: Sequence[Process]) -> None:
        """Send what is due to what is left; what stands still goes on, to hear it."""
        if not self._next:
            return
        if self._ended and self._next[0][1] == signal.SIGTERM:
            self._next[0] = 0.0, signal.SIGTERM  # whoever is left waits for nothing
        due, number = self._next[0]
        if time.monotonic() >= due:
            for process in left:
                _send(process.pid, number)
            if number == signal.SIGTERM:
                self._next.pop(0)
            else:
                self._deadline = self._deadline or time.monotonic() + _KILLED
        for process in left:
            if process.state == "T":
                _send(process.pid, signal.SIGCONT)

    # -- what happens ------------------------------------------------------

    def _read(self, fd: int) -> bool:
        """Take in what can be read; return whether there may be more."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        if fd == self._control:
            *lines, self._input = (self._input + data).split(b"\n")
            for line in lines:
                self._heed(line.decode())
            if not data:  # glview has ended
                self.stop(GRACE)
        return bool(data)

    def _heed(self, line: str) -> None:
        what, _, value = line.partition(" ")
        if what == "negotiated":
            self._negotiated = True
            os.set_blocking(self._monitor, False)
            self._poller.register(self._monitor, select.POLLIN)  # QEMU's events are dropped
        elif what == "stop":
            self.stop(float(value))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main:
                self._main_ended(os.waitstatus_to_exitcode(status))

    def _main_ended(self, code: int) -> None:
        """Report the end, unless a script has started QEMU and ended before it."""
        for process in descendants(os.getpid()):
            if has_monitor(process.pid):
                self._main, self._code = process.pid, code
                self._unsettled_until = time.monotonic() + _SETTLED
                return
        self._ended = True
        self._unsettled_until = 0.0
        self._tell(f"ended {code if code >= 0 else 128 - code}")

    def _look_at_successor(self) -> None:
        """Look again whether the process that a script left behind is QEMU.

        A process just forked has the script's own command line, with the options that glview
        adds, until it becomes another program.
        """
        if not self._unsettled_until:
            return
        if time.monotonic() > self._unsettled_until:
            self._unsettled_until = 0.0
        if command_line(self._main) and not has_monitor(self._main):
            self._main_ended(self._code)

    def _tell(self, line: str) -> None:
        try:  # noqa: SIM105 - contextlib is not loaded here
            os.write(self._control, f"{line}\n".encode())
        except OSError:
            pass  # nobody is left to hear it


def _send(pid: int, number: signal.Signals) -> None:
    try:  # noqa: SIM105 - contextlib is not loaded here
        os.kill(pid, number)
    except OSError:
        pass  # it has ended, or belongs to another user


def _become(argv: list[str], parent: int, prctl: Callable[..., int]) -> None:
    """Replace the forked child by the program, which gets SIGTERM if the supervisor is killed."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        if os.getppid() != parent:  # it died before the arrangement stood
            os._exit(1)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode(errors="replace"))
    os._exit(126)


def main() -> None:
    """Run the program and supervise it."""
    control, monitor, theirs = map(int, sys.argv[1:4])
    for fd in (control, monitor):
        os.set_inheritable(fd, False)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _become(sys.argv[4:], parent, prctl)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2, theirs):  # whose other ends must see the program's end
        os.dup2(nothing, fd)
    reader, writer = os.pipe()
    for fd in (reader, writer):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    supervisor = _Supervisor(control, monitor, reader)
    for number in _JOB_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: supervisor.stop(GRACE))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    supervisor.run(child)


if __name__ == "__main__":
    main()
