"""What a dma-buf's copy costs by itself, and a frame: `python -m bench.draw WIDTH HEIGHT N`.

Runs the viewer's own presenter on the desktop of the environment, without a guest, threads
or events, N updates of everything and of a square, each after a rest. Prints them as JSON.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from bench.measure import REST, square
from glview.gl.renderer import Scene
from glview.present.swap import SwapPresenter
from glview.scanout.formats import MOD_LINEAR, fourcc_code
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, Plane
from glview.ui import platform as window_system
from glview.ui.window import Window, WindowEvents
from tests.support.canvas import Canvas
from tests.support.layouts import LAYOUTS


class Draws(NamedTuple):
    """Seconds, one per update: until the copy's fence has passed; for the frame after it."""

    copies: list[float]
    frames: list[float]


class Deaf:
    """Hears nothing of what happens to the window."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def alone(environment: Mapping[str, str], size: tuple[int, int], updates: int) -> dict[str, Draws]:
    """In a process of its own; by the change, "full" or "64x64"."""
    argv = [sys.executable, "-m", "bench.draw", *map(str, (*size, updates))]
    done = subprocess.run(
        argv, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return {change: Draws(*times) for change, times in json.loads(done.stdout).items()}


def _measure(width: int, height: int, updates: int) -> dict[str, Draws]:
    platform = window_system.choose()
    glfw = window_system.load_glfw(platform)
    events = cast(WindowEvents, Deaf())
    window = Window(glfw, platform, "bench", (width, height), None, events)
    presenter = SwapPresenter(window)
    with Canvas(LAYOUTS["x8r8g8b8"], width, height) as canvas:
        plane = Plane(os.dup(canvas.fd), 0, canvas.stride)
        size, code = (width, height), fourcc_code("XR24")
        source = DmabufSource((plane,), (0, 0, *size), size, code, MOD_LINEAR, False)
        changes = {"full": Rect(0, 0, *size), "64x64": Rect(*square(*size))}
        for rect in changes.values():
            _update(window, presenter, source, rect)  # imports, compiles
        found = {}
        for change, rect in changes.items():
            times = [_update(window, presenter, source, rect) for _ in range(updates)]
            found[change] = Draws([copy for copy, _ in times], [frame for _, frame in times])
        return found


def _update(
    window: Window, presenter: SwapPresenter, source: DmabufSource, rect: Rect
) -> tuple[float, float]:
    """Seconds of the copy and of the frame."""
    time.sleep(REST)
    began = time.monotonic()
    presenter.accept(source, rect)
    while not presenter.released():
        fence = presenter.fence_fd
        select.select([fence] if fence is not None else [], [], [], 0.0001)
    copied = time.monotonic()
    window.poll_events()
    while not window.ready:
        select.select([window.fd], [], [])
        window.poll_events()
    began_frame = time.monotonic()
    width, height = window.size
    presenter.draw(Scene(width, height, Rect(0, 0, source.width, source.height)))
    presenter.show()
    return copied - began, time.monotonic() - began_frame


if __name__ == "__main__":
    print(json.dumps(_measure(*map(int, sys.argv[1:]))))
