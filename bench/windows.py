"""Ways in which a window is seen or not, while a guest's dma-buf changes.

Stands on the laboratory of `tests/support`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from bench.draw import Draws, alone
from glview.testing import ConsoleOptions, FakeListener, FakeVm
from tests.support import hiding
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.layouts import LAYOUTS
from tests.support.process import Child
from tests.support.stage import Stage
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

SIZE = 1280, 720
SETTLE = 0.3  # seconds

Kind = Literal["seen", "hidden", "stopped"]


class Situation(NamedTuple):
    """A window at this moment: seen, hidden from the user, or at a stopped X server.

    `alone` has what the copies cost on the same desktop without a guest; a buffer that
    is `hidden` is not read.
    """

    name: str
    kind: Kind
    listener: FakeListener
    canvas: Canvas
    alone: dict[str, Draws]


@contextlib.contextmanager
def weston_on(folder: Path) -> Iterator[Weston]:
    """A compositor on an X server of its own."""
    for name in ("x", "weston"):
        (folder / name).mkdir()
    with Xvfb(folder / "x") as xvfb, Weston(xvfb, folder / "weston") as weston:
        yield weston


@contextlib.contextmanager
def viewer_on(desktop: Xvfb | Weston, folder: Path, *args: str) -> Iterator[tuple[Child, FakeVm]]:
    """glview with these options, and the VM that it shows; there is no picture yet."""
    vm, sock = FakeVm.pair(consoles=(ConsoleOptions(),))
    argv = [sys.executable, "-m", "bench.minimise", "--fd", str(sock.fileno()), *args]
    with vm, sock:
        environment = desktop.environment()
        fds = (sock.fileno(),)
        with Child(argv, folder / "glview.log", env=environment, pass_fds=fds) as viewer:
            yield viewer, vm


@contextlib.contextmanager
def shown(vm: FakeVm) -> Iterator[tuple[FakeListener, Canvas]]:
    """A dma-buf that the viewer shows by now."""
    with Canvas(LAYOUTS["x8r8g8b8"], *SIZE) as canvas:
        listener = vm.console().wait_listener()
        Dmabuf().show(listener, canvas)
        time.sleep(1.0)
        yield listener, canvas


def on_x11(folder: Path, updates: int) -> Iterator[Situation]:
    """Under Xvfb."""
    ways: dict[str, tuple[Kind, Callable[[Stage], contextlib.AbstractContextManager[None]]]] = {
        "X11, seen": ("seen", lambda _: contextlib.nullcontext()),
        "X11, minimised": ("hidden", lambda stage: _hidden(stage, hiding.minimised)),
        "X11, unmapped": ("seen", lambda stage: _hidden(stage, hiding.unmapped)),
        "X11, covered": ("seen", lambda stage: _hidden(stage, hiding.covered)),
        "X server stopped": ("stopped", lambda stage: stage.xvfb.paused()),
    }
    with Xvfb(folder) as xvfb, Canvas(LAYOUTS["x8r8g8b8"], *SIZE) as canvas:
        xvfb.park_pointer()
        draws = alone(xvfb.environment(), SIZE, updates)
        with Stage(folder, xvfb) as stage:
            Dmabuf().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture())
            for name, (kind, way) in ways.items():
                with way(stage):
                    yield Situation(name, kind, stage.listener, canvas, draws)


@contextlib.contextmanager
def _hidden(stage: Stage, hide: hiding.Hide) -> Iterator[None]:
    show_again = hide(stage)
    time.sleep(SETTLE)
    yield
    show_again()
    time.sleep(SETTLE)


def on_wayland(folder: Path, updates: int) -> Iterator[Situation]:
    """Under weston."""
    with weston_on(folder) as weston:
        draws = alone(weston.environment(), SIZE, updates)
        with viewer_on(weston, folder) as (viewer, vm), shown(vm) as (listener, canvas):
            yield Situation("Wayland, seen", "seen", listener, canvas, draws)
            with _covered(weston):
                yield Situation("Wayland, covered", "hidden", listener, canvas, draws)
            with weston.paused():
                yield Situation("compositor stopped", "hidden", listener, canvas, draws)
            time.sleep(SETTLE)
            viewer.signal(signal.SIGUSR1)
            time.sleep(SETTLE)
            yield Situation("Wayland, minimised", "hidden", listener, canvas, draws)


@contextlib.contextmanager
def _covered(weston: Weston) -> Iterator[None]:
    """Behind a window as large as the screen: weston asks for no frames then."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.cover"],
        env=weston.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as cover:
        assert cover.stdout is not None
        assert cover.stdout.readline() == b"covered\n"
        yield
        cover.communicate()
