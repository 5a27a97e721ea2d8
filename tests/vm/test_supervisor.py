"""Scripts in QEMU's place: everything that they start ends with glview, in order."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from glview.dbus.peer import PeerConnection
from glview.errors import LaunchError
from glview.qemu import launch
from glview.qemu.discovery import list_vms
from glview.qemu.launch import QemuProcess, start
from glview.qemu.supervisor import descendants
from tests.support.qemu import BINARY
from tests.support.qmp import Qmp
from tests.support.wait import until

QEMU = f'{BINARY} -nodefaults -no-user-config -accel tcg -m 32 -name mine "$@"'
SCRIPTS = {
    "waits": f"{QEMU}; code=$?; echo $code >code; exit $code",
    "becomes QEMU": f"exec {QEMU}",
    "leaves QEMU behind": f"{QEMU} >log 2>&1 &",
    "leaves QEMU in a session of its own": f"setsid {QEMU} </dev/null >log 2>&1 &",
    "daemonizes QEMU": f"{QEMU} -daemonize -pidfile pid",
    "nests": f"sh -c '{QEMU}; exit $?' sh \"$@\"; exit $?",
    "pipes": f"{QEMU} 2>&1 | cat",
    "has helpers": f"setsid sleep 1000 & sleep 1001 & {QEMU}; exit $?",
    "has stubborn helpers": f"sh -c 'trap \"\" TERM HUP; sleep 1002; sleep 1003' & {QEMU}",
}

Script = Callable[[str], list[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a function that makes a script and returns its command line, with a QMP socket."""

    def make(text: str) -> list[str]:
        path = tmp_path / "vm"
        path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        path.chmod(0o755)
        return [str(path), "-qmp", f"unix:{tmp_path}/qmp,server=on,wait=off"]

    return make


@pytest.fixture
def run(script: Script) -> Iterator[Callable[[str], QemuProcess]]:
    """A function that starts a script, by its text, and stops what it started after the test."""
    with ExitStack() as stack:
        yield lambda text: stack.enter_context(start(script(text)))


def ended(pids: list[int]) -> bool:
    """Return whether none of these processes is left; a zombie is none."""
    return not any(_state(pid) for pid in pids)


def _state(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return state.strip("ZX")


def ours() -> list[int]:
    """Return the ids of all processes that descend from this one."""
    return [process.pid for process in descendants(os.getpid())]


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_all_that_a_script_starts_is_ended(
    tmp_path: Path, run: Callable[[str], QemuProcess], text: str
) -> None:
    """QEMU by its monitor, so that nothing on its disks is lost."""
    before = set(ours())
    process = run(text)
    display = PeerConnection.over(process.open_display())
    assert [vm.name for vm in list_vms(display)] == ["mine"]
    monitor = Qmp(tmp_path / "qmp")
    pids = sorted(set(ours()) - before)
    code = process.stop(grace=2.0)
    assert ended(pids)
    assert code == 0
    assert monitor.wait_event("SHUTDOWN")["data"]["reason"] == "host-qmp-quit"
    monitor.close()
    display.close()


PARENT = """
import sys, threading
from glview.qemu.launch import start
process = start(sys.argv[1:])
display = process.open_display()
print(process.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=kind, marks=pytest.mark.long if "stubborn" in kind else ())
        for kind, text in SCRIPTS.items()  # SIGKILL comes after ten seconds then
    ],
)
def test_all_is_ended_when_glview_is_killed(tmp_path: Path, script: Script, text: str) -> None:
    before = set(ours())
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *script(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    with parent.stdout as out:
        assert out.readline()
    monitor = Qmp(tmp_path / "qmp")
    pids = sorted(set(ours()) - before)
    parent.kill()
    parent.wait()
    assert monitor.wait_event("SHUTDOWN")["data"]["reason"] == "host-qmp-quit"
    monitor.close()
    until(lambda: ended(pids), "everything to end", 15)


@pytest.mark.parametrize("text", ["exec sleep 1000", "sleep 1000", "sleep 1000 & sleep 1001"])
def test_what_never_was_a_qemu_is_ended(run: Callable[[str], QemuProcess], text: str) -> None:
    before = set(ours())
    process = run(text)
    until(lambda: len(descendants(process.pid)) == text.count("sleep") - text.count("exec"), "it")
    pids = sorted(set(ours()) - before)
    assert process.stop() == 128 + signal.SIGTERM
    assert ended(pids)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("waits", 128 + signal.SIGKILL),
        ("becomes QEMU", 128 + signal.SIGKILL),
        ("nests", 128 + signal.SIGKILL),
        ("leaves QEMU behind", 128 + signal.SIGKILL),
        ("daemonizes QEMU", 128 + signal.SIGKILL),
        ("pipes", 0),  # as the shell has it
    ],
)
def test_the_exit_code_of_qemu(run: Callable[[str], QemuProcess], kind: str, code: int) -> None:
    before = set(ours())
    process = run(SCRIPTS[kind])
    process.open_display().close()

    def running() -> list[int]:
        return [pid for pid in set(ours()) - before if program(pid) == BINARY]

    until(lambda: len(running()) == 1, "the one that is left of a QEMU that forks")
    (qemu,) = running()
    if kind in ("leaves QEMU behind", "daemonizes QEMU"):  # else the script's code would count
        until(lambda: not Path(f"/proc/{process.pid}").exists(), "the script to end")
    os.kill(qemu, signal.SIGKILL)
    assert process.wait(10) == code
    assert process.stop() == code


def program(pid: int) -> str:
    """Return the name of the program of a process."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name
    except FileNotFoundError:
        return ""


def test_a_helper_does_not_hide_qemu_s_end(run: Callable[[str], QemuProcess]) -> None:
    """A process left behind that holds QEMU's end of the monitor does not hide QEMU's end."""
    process = run(f"sleep 1000 & {BINARY} -device nonsense; exit $?")
    with pytest.raises(LaunchError, match="'nonsense' is not a valid device"):
        process.open_display()
    assert process.stop() == 1


def test_the_end_of_the_supervisor_is_the_end_of_qemu(run: Callable[[str], QemuProcess]) -> None:
    process = run(f"exec {QEMU}")
    process.open_display().close()
    (supervisor,) = (p.pid for p in descendants(os.getpid()) if p.pid == parent_of(process.pid))
    os.kill(supervisor, signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL
    until(lambda: ended([process.pid]), "QEMU to end")


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# -- what is said ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{BINARY} -M none -display none", [BINARY, '"$@"']),
        ("sleep 1000", ["sleep 1000", '"$@"']),
        (f"{QEMU} -chardev socket,id=x,path=x,server=on,wait=on", ["does it wait", BINARY]),
    ],
)
def test_what_is_waited_for_is_said(
    run: Callable[[str], QemuProcess],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    text: str,
    words: list[str],
) -> None:
    """Once, with what was started; QEMU may take longer, so the wait goes on."""
    monkeypatch.setattr(launch, "PATIENCE", 1.5)
    process = run(text)
    said: list[logging.LogRecord] = until(lambda: caplog.records, "a line")
    (line,) = (record.getMessage() for record in said)
    assert [word for word in words if word not in line] == []
    assert "1.5 s" in line
    assert f"(process {process.pid})" in line
    assert process.exit_code is None


def test_a_script_that_ends_and_leaves_something_else(run: Callable[[str], QemuProcess]) -> None:
    process = run("sleep 1000 & exit 0")
    with pytest.raises(LaunchError, match=r'without a display; it left sleep 1000.*"\$@"'):
        process.open_display()


def test_a_successor_that_becomes_another_program(run: Callable[[str], QemuProcess]) -> None:
    """A subshell has the script's options in its command line, like QEMU, until it has others."""
    process = run("(sleep 0.5; exec sleep 1000) & exit 0")
    with pytest.raises(LaunchError, match=r'without a display; it left sleep 1000.*"\$@"'):
        process.open_display()


CLOSING = """#!{python}
import os, sys
os.closerange(3, 256)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def closing(tmp_path: Path) -> str:
    """A program that runs its arguments without descriptors above 2, as sudo does."""
    path = tmp_path / "closing"
    path.write_text(CLOSING.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def test_descriptors_that_a_script_s_program_closes(
    run: Callable[[str], QemuProcess], closing: str
) -> None:
    process = run(f"{closing} {QEMU}; exit $?")
    with pytest.raises(LaunchError, match=r"glview-qmp.*sudo does so without -C.*glview --qmp"):
        process.open_display()


def test_descriptors_that_are_closed_before_anything_is_said(closing: str) -> None:
    """At once: the other end of the monitor is gone."""
    words = r"closed the descriptor.*sudo.*glview --qmp"
    with (
        start([closing, "sh", "-c", "sleep 1000"]) as process,
        pytest.raises(LaunchError, match=words),
    ):
        process.open_display()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["sudo"], r"sudo closes descriptor (\d+), .*sudo -C (\d+) keeps it"),
        (["/usr/bin/sudo", "-u", "root"], r"sudo closes descriptor"),
        (["doas"], r"doas closes descriptor \d+, .*glview --qmp"),
        (["pkexec"], r"pkexec closes descriptor"),
    ],
)
def test_sudo_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], named: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name)
    with pytest.raises(LaunchError, match=named):
        start([*words, BINARY])


def test_sudo_that_keeps_descriptors(tmp_path: Path) -> None:
    """A stand-in, which heeds -C as sudo does where it may."""
    stand_in = tmp_path / "sudo"
    stand_in.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    stand_in.chmod(0o755)
    with start([str(stand_in), "-C", "99", BINARY, "-M", "none"]) as process:
        process.open_display().close()
