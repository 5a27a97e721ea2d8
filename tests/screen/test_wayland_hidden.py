"""A Wayland compositor that asks for no frames: the window counts as hidden."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glview.testing import ConsoleOptions, FakeListener, FakeVm
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import find
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston

pytestmark = [pytest.mark.alone, requires("dmabuf-import")]

AT_ONCE = 0.03
"""Seconds for an answer that waits for nothing, on a busy machine."""


@pytest.fixture
def stage(weston: Weston, tmp_path: Path) -> Iterator[tuple[Viewer, FakeListener]]:
    """A viewer under weston, and the listener that it has registered."""
    vm, sock = FakeVm.pair(consoles=(ConsoleOptions(),))
    with vm, sock:
        fd = sock.fileno()
        args = "--fd", str(fd), "-v"
        with Viewer(tmp_path, weston, *args, pass_fds=(fd,)) as viewer:
            yield viewer, vm.console().wait_listener()


def wait_shows(weston: Weston, canvas: Canvas) -> None:
    """By weston's own screenshot."""
    want = canvas.picture()
    look: Callable[[], bool] = lambda: find(weston.screenshot(), want) is not None  # noqa: E731
    until(look, "the picture", 15.0)


def test_a_stopped_compositor(weston: Weston, stage: tuple[Viewer, FakeListener]) -> None:
    """After 100 ms updates are answered at once; what changed meanwhile is shown in the end."""
    viewer, listener = stage
    carrier = Dmabuf()
    with Canvas(LAYOUTS["x8r8g8b8"], 320, 200) as canvas:
        carrier.show(listener, canvas)
        wait_shows(weston, canvas)
        with weston.paused():
            seconds = []
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                canvas.scribble(*canvas.all)
                reply = listener.update_dmabuf(*canvas.all)
                assert reply.ok
                seconds.append(reply.seconds)
                time.sleep(0.02)
            late = sorted(seconds[len(seconds) // 2 :])
            assert max(seconds) < 0.1 + AT_ONCE
            assert late[len(late) // 2] < AT_ONCE
            assert viewer.alive
        wait_shows(weston, canvas)
        canvas.scribble(*canvas.all)
        carrier.update(listener, canvas, canvas.all)
        wait_shows(weston, canvas)
