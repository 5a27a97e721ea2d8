"""QEMU is answered in time while nobody shows glview's window.

QEMU's main loop, and so the whole VM, stands still until a listener has answered `GetAll`, at
registration, and `ScanoutMap`, at each change of mode. How long that takes is measured at
QEMU's own system calls.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import guests, strace
from tests.support.cpuwait import CpuWait
from tests.support.flood import end_flood, settled
from tests.support.process import Child
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.viewer import Viewer
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

pytestmark = pytest.mark.alone


class Late(NamedTuple):
    """An answer, and how long the threads that have to do with it waited for a CPU meanwhile."""

    member: str
    asked: float
    took: float
    waited: float


StartViewer = Callable[..., Viewer]
StartVm = Callable[[], Qemu]

STALL = 5.0
WITHIN = 0.020
MEGABYTE = 1 << 20
WIDTHS = range(640, 800, 8)

transports = pytest.mark.parametrize(
    "options", [pytest.param((), marks=requires("listener-map"), id="map"), ("--no-map",)]
)


@pytest.fixture
def start_vm(tmp_path: Path) -> Iterator[StartVm]:
    """A function that starts the VM, each time in the same place; its calls are written down."""
    folder = tmp_path / "vm"
    folder.mkdir()
    with ExitStack() as stack:

        def start() -> Qemu:
            for log in folder.glob("calls.*"):
                log.unlink()
            options = guests.typewriter(folder)
            qemu = Qemu(folder, options=options, qtest=True, under=strace.answering(folder))
            stack.enter_context(qemu)
            qemu.wait_firmware("Booting from 0000:7c00")
            return qemu

        yield start


def change_modes(qemu: Qemu, seconds: float) -> None:
    """Another mode at each of QEMU's looks. The guest prints into all of them."""
    end = time.monotonic() + seconds
    qemu.send_keys("esc")
    qemu.vbe.set_mode(WIDTHS[0], 480, 8)
    for width in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(WIDTHS)):
        qemu.vbe.set_width(width)
        time.sleep(0.035)


def stall(start_vm: StartVm, viewer: Viewer, qemu: Qemu, desktop: Child) -> list[Late]:
    """Stop who shows the window; the VM ends, comes back, and draws. How it was answered."""
    viewer.wait_shows(qemu.screendump(), timeout=20.0)
    with CpuWait() as waits:
        waits.watch(viewer.pid)
        with desktop.paused():
            qemu.kill()
            qemu = start_vm()
            waits.watch(qemu.pid, strace.SENDER)
            waits.watch(strace.tracer(qemu))
            change_modes(qemu, 1.0)
            before = qemu.rss
            change_modes(qemu, STALL)
            assert qemu.rss - before < 16 * MEGABYTE
            found = strace.answers(qemu.folder)
    end_flood(qemu)
    settled(qemu, viewer)
    return [
        Late(*answer, waits.during(answer.asked, answer.asked + answer.took)) for answer in found
    ]


def check(answers: list[Late], member: str, least: int) -> None:
    """So many came, and in time, but for the few that a busy machine made late."""
    those = [answer for answer in answers if answer.member == member]
    assert len(those) >= least
    times = sorted(answer.took for answer in those)
    late = [answer for answer in those if answer.took >= WITHIN]
    print(
        f"{len(times)} {member}: median {statistics.median(times) * 1000:.2f} ms,"
        f" longest {times[-1] * 1000:.1f} ms, {len(late)} late"
    )
    assert len(late) <= max(1, len(those) // 10)
    for answer in late:
        assert answer.took - answer.waited < WITHIN, answer


def check_all(answers: list[Late], options: tuple[str, ...]) -> None:
    check(answers, "GetAll", 1)
    if not options:
        check(answers, "ScanoutMap", 50)


@transports
def test_a_stopped_x_server(
    options: tuple[str, ...], start_vm: StartVm, start_viewer: StartViewer, own_xvfb: Xvfb
) -> None:
    qemu = start_vm()
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path, *options)
    check_all(stall(start_vm, viewer, qemu, own_xvfb), options)


@transports
def test_a_stopped_compositor(
    options: tuple[str, ...], start_vm: StartVm, start_viewer: StartViewer, weston: Weston
) -> None:
    qemu = start_vm()
    viewer = start_viewer(weston, "--qmp", qemu.qmp_path, *options)
    check_all(stall(start_vm, viewer, qemu, weston), options)
