"""Somebody stands still: the X server, the compositor, QEMU, glview. Nobody else may.

While glview's window hangs, QEMU must go on: its main loop waits for a listener's answers, and
its memory grows for a listener that does not read. A guest that prints without end keeps the
updates flowing.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import guests, strace
from tests.support.cpuwait import CpuWait
from tests.support.flood import end_flood, settled
from tests.support.process import Child
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

StartQemu = Callable[..., Qemu]
StartViewer = Callable[..., Viewer]

STALL = 5.0
NO_DISPLAY = 10
MEGABYTE = 1 << 20

# QMP is answered by the same main loop that waits for a listener. On an idle machine it takes
# 1 ms; the bound leaves room for a busy one, and is far from the 1000 ms that a lost answer costs.
QMP_WITHIN = 0.25

# With viewers that come and go, beyond what it takes in the same run when there is none,
# and beyond what a starting viewer waits for a CPU on a busy machine.
QMP_BESIDE_VIEWERS = 0.1

transports = pytest.mark.parametrize(
    "options", [pytest.param((), marks=requires("listener-map"), id="map"), ("--no-map",)]
)


def flood(start_qemu: StartQemu, folder: Path, device: str = "VGA") -> Qemu:
    """A guest that waits for Escape, and then prints without end."""
    qemu = start_qemu(devices=[device], options=guests.typewriter(folder))
    qemu.wait_firmware("Booting from 0000:7c00")
    return qemu


def slowest_answer(qemu: Qemu, seconds: float, keys: tuple[str, ...] = ()) -> float:
    """Ask QMP all the time, typing `keys` in between.

    Return the longest that an answer took, in seconds, less those that QEMU waited for a CPU.
    """
    answers: list[tuple[float, float]] = []
    with CpuWait() as waits:
        waits.watch(qemu.pid)
        end = time.monotonic() + seconds
        while not answers or time.monotonic() < end:
            answers.append(answer_time(qemu))
            if keys and len(answers) % 20 == 0:
                qemu.send_keys(keys[len(answers) // 20 % len(keys)])
            time.sleep(0.01)
    slow = [(took, start) for took, start in answers if took > QMP_WITHIN / 5]
    own = [took - waits.during(start, start + took) for took, start in slow]
    return max([*own, *(took for took, _ in answers if took <= QMP_WITHIN / 5)])


def answer_time(qemu: Qemu) -> tuple[float, float]:
    """Return the seconds that QMP took to answer, and when it was asked (Unix time)."""
    start, began = time.time(), time.monotonic()
    qemu.status()
    return time.monotonic() - began, start


class QmpProbe:
    """Asks QMP all the time, on a thread of its own, for the length of a `with` block."""

    def __init__(self, qemu: Qemu) -> None:
        self._qemu = qemu
        self._answers: queue.SimpleQueue[tuple[float, float]] = queue.SimpleQueue()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> QmpProbe:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def slowest(self) -> tuple[float, float]:
        """The longest that an answer took since this was asked last, in seconds, and its start."""
        answers = [self._answers.get()]  # the one under way
        while not self._answers.empty():
            answers.append(self._answers.get())
        return max(answers)

    def _run(self) -> None:
        while not self._end.is_set():
            self._answers.put(answer_time(self._qemu))
            time.sleep(0.01)


def shown(qemu: Qemu, viewer: Viewer) -> None:
    """The guest is on the screen, and runs on."""
    settled(qemu, viewer)
    qemu.cont()


def stall_desktop(qemu: Qemu, viewer: Viewer, desktop: Child, keys: tuple[str, ...]) -> None:
    """Stop who shows glview's window for a while, and look at QEMU meanwhile."""
    shown(qemu, viewer)
    qemu.send_keys(*keys[:1])
    time.sleep(0.5)
    before = qemu.rss
    with desktop.paused():
        assert slowest_answer(qemu, STALL, keys) < QMP_WITHIN
        assert qemu.rss - before < 16 * MEGABYTE
    end_flood(qemu)
    settled(qemu, viewer)


@transports
@pytest.mark.parametrize("device", ["VGA", "bochs-display"])
def test_a_stopped_x_server(
    device: str,
    options: tuple[str, ...],
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    own_xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """Text flows, and on VGA the mode changes all the time: each change is a ScanoutMap."""
    qemu = flood(start_qemu, tmp_path, device)
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path, *options)
    keys = ("esc", "f1", "esc", "f4") if device == "VGA" else ("esc",)
    stall_desktop(qemu, viewer, own_xvfb, keys)


@transports
def test_a_stopped_compositor(
    options: tuple[str, ...],
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    weston: Weston,
    tmp_path: Path,
) -> None:
    qemu = flood(start_qemu, tmp_path)
    viewer = start_viewer(weston, "--qmp", qemu.qmp_path, *options)
    stall_desktop(qemu, viewer, weston, ("esc", "f1", "esc", "f4"))


def test_a_viewer_that_starts_while_the_x_server_stands_still(
    start_qemu: StartQemu, start_viewer: StartViewer, own_xvfb: Xvfb, tmp_path: Path
) -> None:
    """Registering is not the window's business: QEMU waits for authentication and GetAll only."""
    qemu = flood(start_qemu, tmp_path)
    with own_xvfb.paused():
        viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path)
        assert slowest_answer(qemu, 2.0) < QMP_WITHIN
        assert viewer.alive
    settled(qemu, viewer)


@transports
def test_a_stopped_qemu(
    options: tuple[str, ...],
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    own_xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """The window lives: it takes another size, and shows the last picture in it."""
    qemu = flood(start_qemu, tmp_path)
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path, "--no-resize", *options)
    settled(qemu, viewer)
    want = qemu.screendump()
    window = viewer.window()
    with qemu.paused():
        end = time.monotonic() + STALL
        for width in (760, 800, 770):
            own_xvfb.xdotool("windowsize", window.id, width, want.shape[0])
            bar = (width - want.shape[1]) // 2

            def letterboxed(bar: int = bar, width: int = width) -> bool:
                seen = viewer.picture()
                if seen.shape[1] != width or seen[:, :bar].any():
                    return False
                return bool((seen[:, bar : bar + want.shape[1]] == want).all())

            until(letterboxed, f"the picture in a window {width} pixels wide")
        time.sleep(max(0.0, end - time.monotonic()))
        assert viewer.alive
    qemu.cont()
    own_xvfb.xdotool("windowsize", window.id, want.shape[1], want.shape[0])
    qemu.send_keys("g", "l")
    settled(qemu, viewer)


def test_a_stopped_viewer_costs_qemu_one_second_once(
    start_qemu: StartQemu, start_viewer: StartViewer, own_xvfb: Xvfb, tmp_path: Path
) -> None:
    qemu = flood(start_qemu, tmp_path)
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path)
    shown(qemu, viewer)
    with viewer.paused():
        qemu.send_keys("f4")
        assert slowest_answer(qemu, 2.5, ("f1", "f4")) < 1.1
        assert slowest_answer(qemu, 2.5, ("f1", "f4")) < QMP_WITHIN
    settled(qemu, viewer)


def test_the_x_server_goes(
    start_qemu: StartQemu, start_viewer: StartViewer, own_xvfb: Xvfb, tmp_path: Path
) -> None:
    """The VM goes on without a viewer; glview says why it ends."""
    qemu = flood(start_qemu, tmp_path)
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path)
    shown(qemu, viewer)
    own_xvfb.kill()
    assert viewer.wait() == NO_DISPLAY
    assert "glview: the X server has gone" in viewer.output
    assert slowest_answer(qemu, 0.5) < QMP_WITHIN


def test_the_compositor_goes(
    start_qemu: StartQemu, start_viewer: StartViewer, weston: Weston, tmp_path: Path
) -> None:
    """As above."""
    qemu = flood(start_qemu, tmp_path)
    viewer = start_viewer(weston, "--qmp", qemu.qmp_path)
    shown(qemu, viewer)
    weston.kill()
    assert viewer.wait() == NO_DISPLAY
    assert "glview: the Wayland compositor has gone" in viewer.output
    assert slowest_answer(qemu, 0.5) < QMP_WITHIN


@pytest.mark.long
@pytest.mark.timeout(3600)
@requires("listener-release")
def test_200_viewers_killed(
    start_qemu: StartQemu, start_viewer: StartViewer, own_xvfb: Xvfb, tmp_path: Path
) -> None:
    """Each is killed outright in full flow; QEMU keeps no trace of them."""
    qemu = flood(start_qemu, tmp_path)
    qemu.send_keys("esc")
    rss: list[int] = []
    fds: list[int] = []
    watched: list[float] = []
    own: list[float] = []
    alone: list[float] = []
    with QmpProbe(qemu) as probe, CpuWait() as waits:
        waits.watch(qemu.pid, strace.SENDER)
        for turn in range(200):
            viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path)
            waits.watch(viewer.pid)
            viewer.window()
            time.sleep(0.1)
            took, start = probe.slowest()
            watched.append(took)
            own.append(took - waits.during(start, start + took))
            viewer.kill()
            time.sleep(0.1)
            own.append(probe.slowest()[0])
            time.sleep(0.1)
            alone.append(probe.slowest()[0])
            if turn >= 20:
                rss.append(qemu.rss)
                fds.append(len(qemu.fds()))
    print(
        f"RSS {rss[0] / MEGABYTE:.1f} -> {rss[-1] / MEGABYTE:.1f} MiB; QMP: median"
        f" {statistics.median(watched) * 1000:.1f} ms, longest {max(watched) * 1000:.0f} ms,"
        f" {max(own) * 1000:.0f} ms without waits for a CPU; without a viewer median"
        f" {statistics.median(alone) * 1000:.1f} ms, longest {max(alone) * 1000:.0f} ms"
    )
    assert max(fds[-20:]) <= max(fds[:20])
    assert max(rss[-20:]) < max(rss[:20]) + 4 * MEGABYTE
    assert statistics.median(watched) < QMP_BESIDE_VIEWERS
    assert max(own) < QMP_BESIDE_VIEWERS + max(alone)
