"""SIGINT, SIGTERM and SIGHUP at every moment: a prompt end, the right code, no traceback."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glview.testing import FakeVm
from tests.support import guests
from tests.support.bus import Bus
from tests.support.qemu import Qemu
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import PATIENCE, until
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START = 0.7  # seconds that a start takes here, generously
MOMENTS = 8
NO_DISPLAY = 10
PICTURE = pattern(640, 480)
ENTRIES = {
    "module": [sys.executable, "-m", "glview"],
    "script": [str(Path(sys.executable).with_name("glview"))],
}

QEMU = "qemu-system-x86_64"

each = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


def descendants(pid: int) -> list[int]:
    """All processes that a process, and those, have started."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found + [below for child in found for below in descendants(child)]


def ended(pid: int) -> bool:
    """Return True once a process is gone for good."""
    return not Path(f"/proc/{pid}").exists()


def disposition(pid: int, name: str) -> int:
    """A mask of signals from /proc/PID/status: SigIgn, SigCgt."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1], 16)


def bit(number: int) -> int:
    """The place of a signal in such a mask."""
    return 1 << (number - 1)


def in_glview(pid: int) -> bool:
    """Return True once glview's first line has run: Python's own SIGINT handler is gone.

    Python ignores SIGPIPE, and installs that handler, before it runs anything.
    """
    started = disposition(pid, "SigIgn") & bit(signal.SIGPIPE)
    return bool(started) and not disposition(pid, "SigCgt") & bit(signal.SIGINT)


@contextlib.contextmanager
def started(
    argv: list[str], desktop: Xvfb, log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of glview; killed at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            env=desktop.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            **options,  # type: ignore[call-overload]
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end_at(argv: list[str], xvfb: Xvfb, log: Path, number: int, delay: float) -> None:
    """Start glview, send a signal `delay` seconds after its first line, and judge the end."""
    with started(argv, xvfb, log) as process:
        until(lambda: process.poll() is not None or in_glview(process.pid), "glview's first line")
        time.sleep(delay)
        process.send_signal(number)
        began = time.monotonic()
        code = process.wait(8 * PATIENCE)
        took = time.monotonic() - began
    said = log.read_text(errors="replace")
    assert "Traceback" not in said, (delay, said)
    assert "Exception" not in said, (delay, said)
    assert code in (0, -number, 128 + number), (delay, code, said)
    assert took < 3.0 * PATIENCE, (delay, said)


@pytest.mark.parametrize("entry", ENTRIES)
@each
def test_at_moments_of_the_start(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], tmp_path: Path, entry: str, number: int
) -> None:
    qemu = start_qemu()
    argv = [*ENTRIES[entry], "--qmp", str(qemu.qmp_path)]
    for step in range(MOMENTS):
        end_at(argv, xvfb, tmp_path / "log", number, START * step**2 / MOMENTS**2)


@pytest.mark.long
@each
def test_at_every_moment_of_the_start(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], bus: Bus, tmp_path: Path, number: int
) -> None:
    qemu = start_qemu()
    random.seed(seed := int(os.environ.get("GLVIEW_SEED", "0")) or random.randrange(1 << 32))
    print(f"GLVIEW_SEED={seed}")
    ways = (["--qmp", str(qemu.qmp_path)], ["--address", bus.address, "--wait"], ["demo"])
    for turn in range(200):
        argv = [*ENTRIES[random.choice(list(ENTRIES))], *ways[turn % len(ways)]]
        end_at(argv, xvfb, tmp_path / "log", number, random.uniform(0, START))


@each
def test_of_run_while_qemu_starts(xvfb: Xvfb, tmp_path: Path, number: int) -> None:
    """QEMU ends too, whoever got how far."""
    for delay in (0.15, 0.3, 0.5):
        argv = [*ENTRIES["module"], "run", "--", QEMU, "-accel", "tcg", "-S"]
        log = tmp_path / "log"
        with started(argv, xvfb, log) as process:
            until(lambda: in_glview(process.pid), "glview's first line")
            time.sleep(delay)
            found = descendants(process.pid)
            process.send_signal(number)
            process.wait(15 * PATIENCE)
        assert "Traceback" not in log.read_text()
        until(lambda: all(map(ended, found)), "QEMU to end")  # noqa: B023


@each
def test_closing_the_window_by_a_signal_is_no_error(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], start_viewer: Callable[..., Viewer], number: int
) -> None:
    viewer = start_viewer(xvfb, "--qmp", start_qemu().qmp_path)
    viewer.window()
    viewer.signal(signal.Signals(number))
    assert viewer.wait() == 0


def test_what_was_ignored_stays_so(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], tmp_path: Path
) -> None:
    """As under nohup."""
    argv = ["nohup", *ENTRIES["module"], "--qmp", str(start_qemu().qmp_path)]
    with started(argv, xvfb, tmp_path / "log") as process:
        until(lambda: disposition(process.pid, "SigCgt") & bit(signal.SIGTERM), "the viewer")
        assert disposition(process.pid, "SigIgn") & bit(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        process.wait(5 * PATIENCE)


# -- a window system that does not answer, or has gone ---------------------


@each
def test_a_stopped_x_server(own_xvfb: Xvfb, tmp_path: Path, number: int) -> None:
    """The picture goes on changing, so that the viewer waits for the X server."""
    vm, sock = FakeVm.pair()
    with vm, sock:
        fd = sock.fileno()
        viewer = Viewer(tmp_path, own_xvfb, "--fd", str(fd), pass_fds=(fd,))
        with contextlib.closing(vm), viewer:
            listener = vm.console().wait_listener()
            listener.scanout(640, 480, 2560, 0x20020888, bytes(4 * 640 * 480))
            viewer.window()
            with own_xvfb.paused():
                for size in range(600, 630):
                    data = bytes(4 * size * size)
                    listener.scanout(size, size, 4 * size, 0x20020888, data)
                time.sleep(0.3)
                viewer.signal(signal.Signals(number))
                assert viewer.wait(6.0) == 0
    assert "Traceback" not in viewer.output


def test_a_stopped_x_server_at_the_start(own_xvfb: Xvfb, bus: Bus, tmp_path: Path) -> None:
    argv = [*ENTRIES["module"], "--address", bus.address, "--wait"]
    with own_xvfb.paused(), started(argv, own_xvfb, tmp_path / "log") as process:
        until(lambda: disposition(process.pid, "SigCgt") & bit(signal.SIGTERM), "the viewer")
        process.terminate()
        assert process.wait(6 * PATIENCE) == 128 + signal.SIGTERM


def test_a_stopped_x_server_does_not_keep_a_qemu_alive(own_xvfb: Xvfb, tmp_path: Path) -> None:
    options = guests.splash(tmp_path, PICTURE)
    argv = ["run", "--", QEMU, "-accel", "tcg", "-vga", "std", *options]
    with Viewer(tmp_path, own_xvfb, *argv) as viewer:
        viewer.window(20.0)
        found = descendants(viewer.pid)
        assert found
        with own_xvfb.paused():
            viewer.signal(signal.SIGTERM)
            viewer.wait(20.0)
        until(lambda: all(map(ended, found)), "QEMU to end")
    assert "Traceback" not in viewer.output


def test_an_x_server_that_goes_while_no_window_is_open(
    own_xvfb: Xvfb, bus: Bus, start_viewer: Callable[..., Viewer]
) -> None:
    viewer = start_viewer(own_xvfb, "--address", bus.address, "--wait", "-v")
    until(lambda: "waiting for the VM" in viewer.output, "glview to wait")
    time.sleep(0.2)  # for its connection to the X server, too
    own_xvfb.kill()
    assert viewer.wait() == NO_DISPLAY
    assert viewer.output.splitlines()[-1] == "glview: the X server has gone"
    assert viewer.output.count("has gone") == 1


def test_a_compositor_that_goes_while_no_window_is_open(
    weston: Weston, bus: Bus, start_viewer: Callable[..., Viewer]
) -> None:
    viewer = start_viewer(weston, "--address", bus.address, "--wait", "-v")
    until(lambda: "waiting for the VM" in viewer.output, "glview to wait")
    time.sleep(0.5)
    weston.kill()
    assert viewer.wait() == NO_DISPLAY
    assert "glview: the Wayland compositor has gone" in viewer.output
