"""A frame of 8 MB that stops halfway: QEMU stands still, or dies, in the middle of its bytes.

The guest flips between two pictures in its video memory, and each flip is one Scanout with all
of the pixels. The kernel's account of QEMU's calls says how far it came.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.support import guests
from tests.support.notices import dimmed, has_text
from tests.support.qemu import Qemu
from tests.support.screen import Picture, difference, pattern
from tests.support.strace import Interrupted, bytes_awaited
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

StartViewer = Callable[..., Viewer]

STALL = 5.0
WIDTH, HEIGHT = 1920, 1080
SIZE = WIDTH * HEIGHT * 4
FIRST = pattern(WIDTH, HEIGHT, seed=1)
SECOND = pattern(WIDTH, HEIGHT, seed=2)[::-1, ::-1]


@pytest.fixture
def start_vm(tmp_path: Path) -> Iterator[Callable[[], Qemu]]:
    """A function that starts the VM, each time in the same place, showing `FIRST`."""
    folder = tmp_path / "vm"
    folder.mkdir()
    with ExitStack() as stack:

        def start() -> Qemu:
            options = guests.typewriter(folder)
            qemu = Qemu(folder, devices=["VGA,vgamem_mb=32"], options=options, qtest=True)
            stack.enter_context(qemu)
            qemu.wait_firmware("Booting from 0000:7c00")
            qemu.vbe.set_mode(WIDTH, HEIGHT, 32)
            frame = qemu.framebuffer()
            frame.draw(0, 0, FIRST)
            frame.draw(0, HEIGHT, SECOND)
            assert not difference(qemu.screendump(), FIRST)  # no part of it is still to be sent
            return qemu

        yield start


def watch(start_viewer: StartViewer, xvfb: Xvfb, qemu: Qemu) -> Viewer:
    """glview, taking bytes, showing `FIRST`."""
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, "--no-map", "--no-resize")
    viewer.wait_shows(FIRST, timeout=20.0)
    return viewer


def flip_until(fault: Interrupted, qemu: Qemu, viewer: Viewer) -> tuple[Picture, Picture]:
    """Flip from frame to frame until one is interrupted: the one before it, and that one."""
    for row, last, coming in ((HEIGHT, FIRST, SECOND), (0, SECOND, FIRST)) * 5:
        qemu.vbe.show_from(row)

        def settled(coming: Picture = coming) -> bool:
            return fault.happened or not viewer.difference(coming)

        until(settled, "a frame, or a part of it")
        if fault.happened:
            return last, coming
    raise AssertionError("no frame was sent in parts")


def assert_halfway(fault: Interrupted) -> None:
    """The kernel took a part of a whole frame from QEMU, and only a part."""
    progress = fault.progress("Scanout")
    assert progress.length > SIZE
    assert SIZE // 50 < progress.sent < SIZE


def awaits_rest(viewer: Viewer, fault: Interrupted) -> bool:
    """Whether glview still reads the frame: as it began, or what QEMU has not sent of it."""
    progress = fault.progress("Scanout")
    return not bytes_awaited(viewer).isdisjoint({SIZE, progress.length - progress.sent})


def assert_window_lives(viewer: Viewer, xvfb: Xvfb, picture: Picture) -> None:
    """It takes other sizes and shows all of the picture in them, between black bars."""
    window = viewer.window()
    for height in (HEIGHT + 40, HEIGHT + 100, HEIGHT):
        xvfb.xdotool("windowsize", window.id, WIDTH, height)
        bars = np.zeros(((height - HEIGHT) // 2, WIDTH, 3), np.uint8)
        viewer.wait_shows(np.concatenate((bars, picture, bars)))


def sockets(viewer: Viewer) -> int:
    """How many it has open. Pictures have descriptors too, which come and go."""
    return sum(target.startswith("socket:") for target in viewer.fds().values())


def test_qemu_stops_halfway(
    start_vm: Callable[[], Qemu], start_viewer: StartViewer, own_xvfb: Xvfb
) -> None:
    """The last whole frame stays, in a window that lives; then the halved one comes whole."""
    qemu = start_vm()
    viewer = watch(start_viewer, own_xvfb, qemu)
    with Interrupted(qemu, signal.SIGSTOP) as fault:
        last, coming = flip_until(fault, qemu, viewer)
        end = time.monotonic() + STALL
        assert_halfway(fault)
        until(lambda: awaits_rest(viewer, fault), "glview to be in the middle of the pixels")
        assert_window_lives(viewer, own_xvfb, last)
        while time.monotonic() < end:
            assert not viewer.difference(last)
        assert_halfway(fault)
        qemu.signal(signal.SIGCONT)
        viewer.wait_shows(coming)
    qemu.vbe.show_from(HEIGHT if coming is FIRST else 0)
    viewer.wait_shows(last)


def test_qemu_is_killed_halfway(
    start_vm: Callable[[], Qemu], start_viewer: StartViewer, own_xvfb: Xvfb
) -> None:
    """The stream ends inside of a body: the last whole frame stays, dimmed, until a new VM."""
    qemu = start_vm()
    viewer = watch(start_viewer, own_xvfb, qemu)
    before = sockets(viewer)
    with Interrupted(qemu, signal.SIGKILL) as fault:
        last, _ = flip_until(fault, qemu, viewer)
        assert qemu.wait() == -signal.SIGKILL
        assert_halfway(fault)
    until(lambda: dimmed(viewer, last), "the last picture, dimmed")
    until(lambda: has_text(viewer, last), "a line that says so")
    qemu = start_vm()
    viewer.wait_shows(FIRST, timeout=20.0)
    qemu.vbe.show_from(HEIGHT)
    viewer.wait_shows(SECOND)
    assert sockets(viewer) == before
