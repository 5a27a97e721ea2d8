"""`glview run` and `glview demo`: QEMU as a child, with a display of our own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from glview import output
from glview.dbus.peer import PeerConnection
from glview.errors import LaunchError
from glview.qemu.demo import demo_command, start_demo
from glview.qemu.discovery import list_vms
from glview.qemu.launch import QemuEndedError, QemuProcess, start
from glview.qemu.splash import bmp, splash
from tests.support.qemu import BINARY
from tests.support.qmp import Qmp
from tests.support.screen import read_ppm
from tests.support.wait import until

BASE = (BINARY, "-nodefaults", "-no-user-config", "-accel", "tcg", "-m", "64")

Launch = Callable[..., QemuProcess]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """A function that runs QEMU with further options, stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(start([*BASE, *options]))


def open_fds() -> set[str]:
    """Descriptors of this process. Those of an earlier test may be closed only now."""
    return set(os.listdir("/proc/self/fd"))


def test_the_user_s_options_and_a_private_display(launch: Launch) -> None:
    process = launch("-name", "mine", "-vga", "none", "-device", "virtio-vga")
    peer = PeerConnection.over(process.open_display())
    (vm,) = list_vms(peer)
    assert vm.name == "mine"
    assert [console.label for console in vm.consoles] == ["virtio-vga"]
    assert process.exit_code is None
    peer.close()


def test_the_user_s_own_monitor_works(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "own.qmp"
    process = launch("-name", "mine", "-qmp", f"unix:{path},server=on,wait=off")
    process.open_display().close()
    monitor = Qmp(path)
    assert monitor("query-name") == {"name": "mine"}
    monitor("quit")
    assert process.wait(10) == 0
    monitor.close()


def test_the_exit_code_is_passed_on(launch: Launch) -> None:
    process = launch()
    process.open_display().close()
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL
    assert process.stop() == 128 + signal.SIGKILL


def test_stop_ends_qemu_in_order_and_quietly(
    launch: Launch, capfd: pytest.CaptureFixture[str]
) -> None:
    process = launch()
    display = PeerConnection.over(process.open_display())
    assert process.stop() == 0
    display.close()
    assert capfd.readouterr().err == ""


def test_stop_ends_also_a_qemu_that_stands_still(launch: Launch) -> None:
    """In order: it is continued, to hear that it has to end."""
    process = launch()
    process.open_display().close()
    os.kill(process.pid, signal.SIGSTOP)
    assert process.stop() == 0


def test_stop_before_the_display_was_opened(launch: Launch) -> None:
    assert launch("-S").stop() in (0, 128 + signal.SIGTERM)


def stand_in(folder: Path, script: str) -> str:
    """A program in QEMU's place: a shell script."""
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def unheard() -> Iterator[None]:
    """Send the standard error to /dev/null meanwhile."""
    before = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    yield
    output.flush()
    os.dup2(before, 2)
    os.close(before)
    os.close(null)


@pytest.mark.usefixtures("unheard")
def test_a_program_that_writes_a_line_without_end(tmp_path: Path) -> None:
    """A line without end is passed on in parts; few of the last words are kept."""
    script = "head -c 80000000 /dev/zero >&2\necho the last words >&2\nexit 3"
    Path("/proc/self/clear_refs").write_text("5")  # the most memory is what there is now
    before = most_memory()
    process = start([stand_in(tmp_path, script)])
    with pytest.raises(LaunchError, match="exit code 3") as caught:
        process.open_display()
    process.stop()
    assert len(str(caught.value)) < 1000
    assert most_memory() - before < 64.0


def most_memory() -> float:
    """The most memory that this process had, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_stop_from_another_thread_ends_the_wait_for_the_display(tmp_path: Path) -> None:
    process = start([stand_in(tmp_path, "exec sleep 1000")])
    timer = threading.Timer(0.2, process.stop)
    timer.start()
    with pytest.raises(LaunchError, match="exit code 143"):
        process.open_display()
    timer.join()


def test_qemu_s_own_words_when_it_does_not_start(
    launch: Launch, capfd: pytest.CaptureFixture[str]
) -> None:
    process = launch("-device", "nonsense")
    with pytest.raises(LaunchError, match=r"exit code 1: .*'nonsense' is not a valid device"):
        process.open_display()
    assert "is not a valid device" in capfd.readouterr().err
    assert process.stop() == 1


def test_a_qemu_that_only_tells_something_is_no_failure(launch: Launch) -> None:
    process = launch("--version")
    with pytest.raises(QemuEndedError):
        process.open_display()
    assert process.exit_code == 0


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(LaunchError, match=r"no such program: no-such-qemu.*apt install"):
        start(["no-such-qemu"])


def test_a_program_that_cannot_run(tmp_path: Path) -> None:
    broken = tmp_path / "qemu"
    broken.write_text("no program")
    broken.chmod(0o755)
    process = start([str(broken)])
    with pytest.raises(LaunchError, match="Exec format error"):
        process.open_display()
    process.stop()


def test_the_package_of_a_missing_dbus_module(tmp_path: Path) -> None:
    """QEMU 7.2's and 10.0's words, by a stand-in: here the module is installed."""
    words = "qemu: Display 'dbus' is not available"
    process = start([stand_in(tmp_path, f'echo "{words}" >&2; exit 1')])
    with pytest.raises(LaunchError, match=r"is not available.*qemu-system-modules-opengl"):
        process.open_display()
    process.stop()


def test_a_refused_option_leaves_nothing_behind() -> None:
    before, threads = open_fds(), set(threading.enumerate())
    with pytest.raises(LaunchError, match="-display gtk"):
        start([*BASE, "-display", "gtk"])
    assert open_fds() <= before
    assert not new_threads(threads)


def new_threads(before: set[threading.Thread]) -> set[str]:
    """Return the names of threads that were not there, but for the one of all output."""
    return {thread.name for thread in set(threading.enumerate()) - before} - {"output"}


def test_no_descriptor_thread_or_zombie_is_left() -> None:
    before, threads = open_fds(), set(threading.enumerate())
    with start(BASE) as process:
        process.open_display().close()
        pid = process.pid
    assert not Path(f"/proc/{pid}").exists()
    until(lambda: not new_threads(threads), "the threads to end")
    assert open_fds() <= before


PARENT = """
import sys, threading
from glview.qemu.launch import start
process = start(sys.argv[1:])
display = process.open_display()
print(process.pid, flush=True)
threading.Event().wait()
"""


def test_qemu_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *BASE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    with parent.stdout as out:
        pid = int(out.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.wait()
    until(lambda: _ended(pid), "QEMU to end", 10)


def _ended(pid: int) -> bool:
    """Whether it is gone, or waits as a zombie for a parent that never reaps."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def test_the_thread_that_starts_qemu_may_end(launch: Launch) -> None:
    """The kernel ties a child's life to the thread that forked it."""
    started: list[QemuProcess] = []
    thread = threading.Thread(target=lambda: started.append(launch()))
    thread.start()
    thread.join()
    display = PeerConnection.over(started[0].open_display())
    assert [vm.answering for vm in list_vms(display)] == [True]
    assert started[0].wait(0.2) is None
    display.close()


def test_the_demo_shows_our_picture(tmp_path: Path) -> None:
    """SeaBIOS draws it, pixel by pixel; then the machine has keys to take."""
    before = open_fds()
    path = tmp_path / "qmp"
    picture = tmp_path / "splash.bmp"
    picture.write_bytes(bmp(splash()))
    command = demo_command(str(picture))
    assert command is not None
    with start([*command, "-qmp", f"unix:{path},server=on,wait=off"]) as process:
        display = PeerConnection.over(process.open_display())
        monitor = Qmp(path)
        dump = tmp_path / "dump.ppm"

        def shown() -> bool:
            monitor("screendump", filename=str(dump))
            found = read_ppm(dump)
            return found.shape == splash().shape and bool(np.array_equal(found, splash()))

        until(shown, "the picture", 20)
        monitor("send-key", keys=[{"type": "qcode", "data": "esc"}])
        until(lambda: read_size(monitor, dump) == (720, 400), "the boot menu", 10)
        monitor.close()
        display.close()
    until(lambda: open_fds() <= before, "all descriptors to be closed")


def read_size(monitor: Qmp, dump: Path) -> tuple[int, int]:
    """Size of the picture that QEMU shows."""
    monitor("screendump", filename=str(dump))
    height, width, _ = read_ppm(dump).shape
    return width, height


def test_the_demo_needs_no_file() -> None:
    before = open_fds()
    process = start_demo()
    assert process is not None
    with process:
        peer = PeerConnection.over(process.open_display())
        (vm,) = list_vms(peer)
        assert vm.name == "glview demo"
        peer.close()
    until(lambda: open_fds() <= before, "all descriptors to be closed")


def test_no_demo_without_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glview.qemu.demo.PROGRAMS", ("no-such-qemu",))
    before = open_fds()
    assert start_demo() is None
    assert open_fds() <= before
