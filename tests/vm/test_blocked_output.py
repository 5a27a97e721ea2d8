"""Nobody reads glview's standard error: pictures, answers, QEMU and the end do not wait for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glview.testing import FakeVm, hostile
from tests.support import guests
from tests.support.halted import halted
from tests.support.qemu import Qemu
from tests.support.qmp import Qmp
from tests.support.screen import difference, pattern
from tests.support.wait import PATIENCE, until
from tests.support.x11 import Xvfb

GLVIEW = [sys.executable, "-m", "glview"]
PICTURE = pattern(1024, 768)
SOON = 6.0 * PATIENCE  # seconds: closing the window, and two for whoever might read
CALLS = 20  # refused, a line each
LOUD = ("-d", "exec,nochain")  # a line for each translated block that the guest's CPU runs

kinds = pytest.mark.parametrize("kind", ["pipe", "terminal"])


def shown(xvfb: Xvfb) -> bool:
    """Return True if a window shows the picture."""
    windows = [w for w in xvfb.windows() if w.wm_class.lower() == "glview"]
    return any(not difference(xvfb.inside(window), PICTURE) for window in windows)


@kinds
def test_refused_calls_do_not_stop_the_listener(xvfb: Xvfb, kind: str) -> None:
    vm, sock = FakeVm.pair()
    with vm, sock, halted(kind) as output:
        fd = sock.fileno()
        process = subprocess.Popen(
            [*GLVIEW, "--fd", str(fd), "-vv", "--stats"],
            env=xvfb.environment(),
            stdin=subprocess.DEVNULL,
            stderr=output.writer,
            pass_fds=(fd,),
        )
        try:
            listener = vm.console().wait_listener()
            for _ in range(CALLS):
                hostile.BAD_CALLS["map of descriptor 7"](listener)
            properties = listener._get_all("org.qemu.Display1.Listener", 5.0)
            assert properties["Interfaces"]
            file = os.memfd_create("test")
            os.ftruncate(file, 256)
            reply = listener.scanout_map(file, 0, 8, 8, 32, 0x20020888)
            os.close(file)
            assert reply.ok
            assert reply.seconds < 1.0 * PATIENCE
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            output.resume()
            process.wait(SOON)
            assert time.monotonic() - began < SOON
            until(lambda: "glview: " in output.text, "what was kept")
        finally:
            process.kill()
            process.wait()


@kinds
def test_real_qemu(xvfb: Xvfb, start_qemu: Callable[..., Qemu], tmp_path: Path, kind: str) -> None:
    """The output stays blocked to the end, which comes all the same."""
    qemu = start_qemu(options=guests.splash(tmp_path, PICTURE))
    with halted(kind) as output:
        process = subprocess.Popen(
            [*GLVIEW, "--qmp", str(qemu.qmp_path), "-vv", "--stats"],
            env=xvfb.environment(),
            stdin=subprocess.DEVNULL,
            stderr=output.writer,
        )
        try:
            until(lambda: shown(xvfb), "the picture", 20.0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(SOON) == 0
        finally:
            process.kill()
            process.wait()


@kinds
def test_a_qemu_that_talks_all_the_time_is_not_held_up(
    xvfb: Xvfb, tmp_path: Path, kind: str
) -> None:
    """`glview run` passes QEMU's standard error on."""
    socket = tmp_path / "qmp"
    options = *guests.splash(tmp_path, PICTURE), *LOUD, "-qmp", f"unix:{socket},server=on,wait=off"
    with halted(kind) as output:
        process = subprocess.Popen(
            [*GLVIEW, "run", "--", "qemu-system-x86_64", "-accel", "tcg", *options],
            env=xvfb.environment(),
            stdin=subprocess.DEVNULL,
            stderr=output.writer,
        )
        try:
            until(lambda: shown(xvfb), "the picture", 40.0)
            until(socket.exists, "the socket")
            qmp = Qmp(socket)
            for _ in range(20):
                began = time.monotonic()
                qmp("query-status")
                assert time.monotonic() - began < 2.0 * PATIENCE
            qmp.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(2 * SOON) == 0
        finally:
            process.kill()
            process.wait()
