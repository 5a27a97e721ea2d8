"""The VM goes and comes back, over a bus and peer to peer; another viewer takes its place."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import guests
from tests.support.bus import Bus
from tests.support.notices import dimmed, has_text
from tests.support.qemu import P2P, Qemu, on_bus
from tests.support.screen import difference, pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

StartQemu = Callable[..., Qemu]
StartViewer = Callable[..., Viewer]

VM_GONE = 13
PICTURE = pattern(1024, 768)


def splash_vm(start: Callable[..., Qemu], folder: Path, **more: object) -> Qemu:
    return start(options=guests.splash(folder, PICTURE), **more)


@pytest.fixture(params=["bus", "qmp"])
def restartable(
    request: pytest.FixtureRequest, tmp_path: Path, bus: Bus
) -> Iterator[tuple[Callable[[], Qemu], tuple[str, ...]]]:
    """A function that starts the VM in the same place each time, and glview's way there."""
    folder = tmp_path / "vm"
    folder.mkdir()
    by_bus = request.param == "bus"
    display = on_bus(bus.address) if by_bus else P2P
    way = ("--address", bus.address) if by_bus else ("--qmp", f"{folder}/viewer.qmp")
    with ExitStack() as stack:

        def start() -> Qemu:
            options = guests.splash(folder, PICTURE)
            return stack.enter_context(
                Qemu(folder, display=display, options=options, name="phoenix")
            )

        yield start, way


def steady_fds(viewer: Viewer) -> int:
    """Open descriptors, once their number has not changed for half a second: input comes last.

    Its own memory files are not among them, as their number depends on who was faster.
    """
    counts: list[tuple[float, int]] = []

    def look() -> bool:
        files = [file for file in viewer.fds().values() if not file.startswith("/memfd:glview")]
        counts.append((time.monotonic(), len(files)))
        latest = [count for at, count in counts if at > counts[-1][0] - 0.5]
        return counts[0][0] < counts[-1][0] - 0.5 and len(set(latest)) == 1

    until(look, "the number of descriptors to be steady")
    return counts[-1][1]


def test_the_vm_is_killed_and_comes_back(
    restartable: tuple[Callable[[], Qemu], tuple[str, ...]],
    start_viewer: StartViewer,
    xvfb: Xvfb,
) -> None:
    start, way = restartable
    qemu = start()
    viewer = start_viewer(xvfb, *way)
    viewer.wait_shows(PICTURE)
    fds: list[int] = []
    for _ in range(3):
        qemu.kill()
        until(lambda: dimmed(viewer, PICTURE), "the last picture, dimmed")
        until(lambda: has_text(viewer, PICTURE), "a line that says so")
        qemu = start()
        viewer.wait_shows(PICTURE, timeout=20.0)
        fds.append(steady_fds(viewer))
    assert viewer.alive
    assert fds[0] == fds[-1]


def test_waiting_for_the_first_vm(
    restartable: tuple[Callable[[], Qemu], tuple[str, ...]],
    start_viewer: StartViewer,
    xvfb: Xvfb,
) -> None:
    start, way = restartable
    viewer = start_viewer(xvfb, *way, "--wait", "-v")
    until(lambda: "waiting for the VM" in viewer.output, "glview to wait")
    start()
    viewer.wait_shows(PICTURE, timeout=20.0)


def test_no_reconnect_ends_with_its_own_code(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    qemu = splash_vm(start_qemu, tmp_path)
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, "--no-reconnect")
    viewer.wait_shows(PICTURE)
    qemu.kill()
    assert viewer.wait() == VM_GONE
    assert "the VM has gone" in viewer.output


def test_waiting_ends_by_a_signal(xvfb: Xvfb, bus: Bus, start_viewer: StartViewer) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        viewer = start_viewer(xvfb, "--address", bus.address, "--wait", "-v")
        until(lambda: "waiting for the VM" in viewer.output, "glview to wait")  # noqa: B023
        viewer.signal(number)
        assert viewer.wait() == 128 + number, "no window was closed by it"


def test_a_bus_that_goes_leaves_the_picture_and_says_so(
    bus: Bus, start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    qemu = splash_vm(start_qemu, tmp_path, display=on_bus(bus.address))
    viewer = start_viewer(xvfb, "--address", bus.address, "--wait")
    viewer.wait_shows(PICTURE, timeout=20.0)
    bus.kill()
    until(lambda: "the message bus has gone" in viewer.output, "glview to notice")
    upper = PICTURE.shape[0] // 2
    until(lambda: difference(viewer.picture()[upper:], PICTURE[upper:]), "it to be said there too")
    assert (viewer.picture()[:upper] == PICTURE[:upper]).all()
    qemu.send_keys("esc")  # the listener's socket is its own; text comes, if not its size
    corner = PICTURE[:100, :100]
    until(lambda: difference(viewer.picture()[:100, :100], corner), "an update")


def test_two_viewers_peer_to_peer_do_not_evict_each_other_in_turn(
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    own_xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """QEMU keeps one; the older one says so and stays away, whatever comes after."""
    qemu = splash_vm(start_qemu, tmp_path)
    first = start_viewer(xvfb, "--qmp", qemu.qmp_path)
    first.wait_shows(PICTURE)
    second = start_viewer(own_xvfb, "--qmp", qemu.qmp_path)
    until(lambda: "another viewer has taken over" in first.output, "the older one to notice")
    until(lambda: dimmed(first, PICTURE), "its picture to be dimmed")
    second.wait_shows(PICTURE)
    qemu.send_keys("esc")
    until(lambda: qemu.screendump().shape == (400, 720, 3), "text")
    until(lambda: second.picture().shape == (400, 720, 3), "the newer one to follow")
    assert first.picture().shape == PICTURE.shape
    assert "another viewer" not in second.output
