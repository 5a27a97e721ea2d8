"""`glview run` in a terminal is one job: keys, signals and job control as with QEMU alone."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glview.qemu.supervisor import descendants
from tests.support.terminal import Terminal
from tests.support.wait import until
from tests.support.x11 import Xvfb

GLVIEW = (sys.executable, "-m", "glview", "run", "--")
QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-m", "32", "-name", "mine")
MONITOR = r"\(qemu\) $"
CTRL_C, CTRL_Z = "\x03", "\x1a"


@pytest.fixture(params=["QEMU", "a script"])
def qemu(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """A command line of QEMU, by itself or by a script that does not become it and has a helper."""
    if request.param == "QEMU":
        return QEMU
    return script(tmp_path, "nohup sleep 1000 >nohup.out 2>&1 </dev/null &")


def script(folder: Path, first: str) -> tuple[str, ...]:
    """Return the command line of a script that runs QEMU after something else."""
    path = folder / "vm"
    path.write_text(f'#!/bin/sh\ncd {folder}\n{first}\n{shlex.join(QEMU)} "$@"\nexit $?\n')
    path.chmod(0o755)
    return (str(path),)


@pytest.fixture
def terminal(xvfb: Xvfb) -> Iterator[Terminal]:
    """A terminal whose shell has a display."""
    with Terminal(xvfb.environment()) as made:
        yield made


def viewer(terminal: Terminal) -> int:
    """Return the process id of the glview that the shell has started."""
    (job,) = (p.pid for p in descendants(terminal.shell.pid) if p.parent == terminal.shell.pid)
    return job


def ended(pids: list[int]) -> bool:
    """Return whether none of these processes is left."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def started(terminal: Terminal) -> list[int]:
    """Return the ids of all that the shell has started."""
    return [process.pid for process in descendants(terminal.shell.pid)]


def stands_still(terminal: Terminal) -> bool:
    """Return whether the shell's job is stopped."""
    pid = viewer(terminal)
    return [process.state for process in descendants(terminal.shell.pid) if process.pid == pid] == [
        "T"
    ]


def is_stopped_job(terminal: Terminal) -> bool:
    """Return whether the shell knows its job to be stopped: `fg` continues no other."""
    terminal.type("jobs\n")
    state = terminal.expect(r"\[1\]\+ +(\w+)")[1]
    terminal.expect_prompt()
    return state == "Stopped"


def exit_code(terminal: Terminal) -> int:
    """Return the exit code of what was run last, once the shell can say."""
    terminal.expect_prompt()
    terminal.type("echo code $?\n")
    code = int(terminal.expect(r"\ncode (\d+)")[1])
    terminal.expect_prompt()
    return code


def wait_window(xvfb: Xvfb) -> None:
    """Wait until glview's window is there."""
    until(lambda: [w for w in xvfb.windows() if w.wm_class.lower() == "glview"], "the window", 20)


def test_the_monitor_on_stdio(xvfb: Xvfb, terminal: Terminal, qemu: tuple[str, ...]) -> None:
    """A monitor on stdio reads and writes; Ctrl+Z and fg stop and continue, Ctrl+C ends all."""
    terminal.run(*GLVIEW, *qemu, "-monitor", "stdio")
    terminal.expect(MONITOR)
    wait_window(xvfb)
    terminal.type("info name\n")
    terminal.expect(r"\nmine\r")
    pids = started(terminal)
    for background in (False, True):
        terminal.expect(MONITOR)
        terminal.type(CTRL_Z)
        terminal.expect("Stopped")
        terminal.expect_prompt()
        assert terminal.is_cooked
        if background:  # where it may not read, and stops again
            terminal.type("bg\n")
            terminal.expect_prompt()
            until(lambda: stands_still(terminal), "the job to stop again")
            until(lambda: is_stopped_job(terminal), "the shell to know that")
        terminal.type("fg\n")
        when = "from the background" if background else "at once"
        until(lambda: not terminal.is_cooked, f"QEMU to have the terminal again, {when}")
        terminal.type("info status\n")
        terminal.expect(r"\nVM status: running\r")
    terminal.expect(MONITOR)
    terminal.type(CTRL_C)
    assert exit_code(terminal) == (0 if qemu == QEMU else 130)
    until(lambda: ended(pids), "everything to end")
    assert terminal.is_cooked


def test_the_serial_console_on_stdio(xvfb: Xvfb, terminal: Terminal, qemu: tuple[str, ...]) -> None:
    """Ctrl+C and Ctrl+Z go to the guest, Ctrl+A to QEMU."""
    terminal.run(*GLVIEW, *qemu, "-serial", "mon:stdio")
    wait_window(xvfb)
    until(lambda: not terminal.is_cooked, "QEMU to have the terminal")
    pids = started(terminal)
    terminal.type(CTRL_C + CTRL_Z + "\x01c")
    terminal.expect(MONITOR)
    terminal.type("info name\n")
    terminal.expect(r"\nmine\r")
    terminal.type("\x01x")
    assert exit_code(terminal) == 0
    until(lambda: ended(pids), "everything to end")
    assert terminal.is_cooked


@pytest.mark.parametrize("end", ["closed", "killed", "hung up"])
def test_whatever_ends_glview_ends_all_that_was_started(
    xvfb: Xvfb, terminal: Terminal, qemu: tuple[str, ...], end: str
) -> None:
    terminal.run(*GLVIEW, *qemu, "-monitor", "stdio")
    terminal.expect(MONITOR)
    wait_window(xvfb)
    pids = started(terminal)
    if end == "closed":
        os.kill(viewer(terminal), signal.SIGTERM)  # as the window's close button does
        assert exit_code(terminal) == 0
        assert ended(pids)
    elif end == "killed":
        os.kill(viewer(terminal), signal.SIGKILL)
        assert exit_code(terminal) == 128 + signal.SIGKILL
    else:
        terminal.hang_up()
    until(lambda: ended(pids), "everything to end")


def test_a_job_that_stands_still_ends_with_its_glview(
    xvfb: Xvfb, terminal: Terminal, qemu: tuple[str, ...]
) -> None:
    """The kernel continues what a killed job leader leaves stopped."""
    terminal.run(*GLVIEW, *qemu)
    wait_window(xvfb)
    pids = started(terminal)
    terminal.type(CTRL_Z)
    terminal.expect("Stopped")
    terminal.expect_prompt()
    os.kill(viewer(terminal), signal.SIGKILL)
    until(lambda: ended(pids), "everything to end", 20)


def test_in_the_background(xvfb: Xvfb, terminal: Terminal, qemu: tuple[str, ...]) -> None:
    """A job that does not read the terminal runs on there, and Ctrl+C is not for it."""
    terminal.type(shlex.join([*GLVIEW, *qemu]) + " &\n")
    terminal.expect_prompt()
    wait_window(xvfb)
    pids = started(terminal)
    terminal.type(CTRL_C)
    terminal.expect_prompt()
    terminal.type("jobs\n")
    terminal.expect("Running")
    terminal.type("kill %1; wait %1\n")
    until(lambda: ended(pids), "everything to end")


@pytest.mark.parametrize(
    "options", ["-h", "--help", "-version", "-machine help", "-device VGA,help", "-d help"]
)
@pytest.mark.parametrize("by_script", [False, True])
def test_qemu_s_own_output_and_code_alone(tmp_path: Path, options: str, by_script: bool) -> None:
    """Without a display, too."""
    command = [*(script(tmp_path, ":") if by_script else QEMU), *options.split()]
    env = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    plain, ours = (
        subprocess.run(
            argv, capture_output=True, env=env, check=False, timeout=60, stdin=subprocess.DEVNULL
        )
        for argv in (command, [*GLVIEW, *command])
    )
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        plain.returncode,
        plain.stdout,
        plain.stderr,
    )
    assert ours.stdout
