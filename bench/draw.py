"""What a dma-buf's copy costs by itself, and a frame: `python -m bench.draw WIDTH HEIGHT N FOURCC`.

Runs the viewer's own presenter on the desktop of the environment, without a guest, threads
or events, N updates of everything and of a square, each after a rest. Prints them as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from bench.measure import REST, square
from glview.gl.scene import Scene
from glview.present.swap import SwapPresenter
from glview.scanout.formats import MOD_LINEAR, fourcc_code
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, Plane
from glview.ui.glwindow import GLWindow
from glview.ui.loading import candidates, start_glfw
from glview.ui.window import WindowEvents
from tests.support.canvas import Canvas
from tests.support.layouts import LAYOUTS


class Draws(NamedTuple):
    """Seconds, one per update: until the copy's fence has passed; for the frame after it.

    `cpu` is what both cost in CPU time, `memcpys` the same for as many bytes by memcpy.
    """

    copies: list[float]
    frames: list[float]
    cpu: list[float]
    memcpys: list[float]


class Deaf:
    """Hears nothing of what happens to the window."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def alone(
    environment: Mapping[str, str], size: tuple[int, int], updates: int, fourcc: str = "XR24"
) -> dict[str, Draws]:
    """In a process of its own; by the change, "full" or "64x64"."""
    argv = [sys.executable, "-m", "bench.draw", *map(str, (*size, updates)), fourcc]
    done = subprocess.run(
        argv, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return {change: Draws(*times) for change, times in json.loads(done.stdout).items()}


def _measure(width: int, height: int, updates: int, fourcc: str) -> dict[str, Draws]:
    glfw, platform = start_glfw(candidates())
    events = cast(WindowEvents, Deaf())
    window = GLWindow(glfw, platform, "bench", (width, height), None, events)
    presenter = SwapPresenter(window)
    with Canvas(LAYOUTS["x8r8g8b8"], width, height) as canvas:
        plane = Plane(os.dup(canvas.fd), 0, canvas.stride)
        size, code = (width, height), fourcc_code(fourcc)
        source = DmabufSource((plane,), (0, 0, *size), size, code, MOD_LINEAR, False)
        changes = {"full": Rect(0, 0, *size), "64x64": Rect(*square(*size))}
        for rect in changes.values():
            _update(window, presenter, source, rect)  # imports, compiles
        found = {}
        for change, rect in changes.items():
            times = [_update(window, presenter, source, rect) for _ in range(updates)]
            memcpys = [_memcpy(rect.width * rect.height * 4) for _ in range(updates)]
            copied, framed, cpu = (list(values) for values in zip(*times, strict=True))
            found[change] = Draws(copied, framed, cpu, memcpys)
        return found


def _update(
    window: GLWindow, presenter: SwapPresenter, source: DmabufSource, rect: Rect
) -> tuple[float, float, float]:
    """Seconds of the copy and of the frame, and of CPU for both."""
    time.sleep(REST)
    began, cpu = time.monotonic(), time.process_time()
    presenter.accept(source, rect)
    while not presenter.released():
        fence = presenter.fence_fd
        select.select([fence] if fence is not None else [], [], [], 0.0001)
    copied = time.monotonic()
    cpu_copied = time.process_time() - cpu
    window.poll_events()
    while not window.ready:
        select.select([window.fd], [], [])
        window.poll_events()
    began_frame, cpu = time.monotonic(), time.process_time()
    width, height = window.size
    presenter.draw(Scene(width, height, Rect(0, 0, source.width, source.height)))
    presenter.show()
    frame = time.monotonic() - began_frame
    return copied - began, frame, cpu_copied + time.process_time() - cpu


def _memcpy(size: int) -> float:
    """Seconds of CPU for so many bytes from one place to another, both in use before."""
    source, target = (ctypes.create_string_buffer(b"x" * size, size) for _ in range(2))
    time.sleep(REST)
    began = time.process_time()
    ctypes.memmove(target, source, size)
    return time.process_time() - began


if __name__ == "__main__":
    width, height, updates, fourcc = sys.argv[1:]
    print(json.dumps(_measure(int(width), int(height), int(updates), fourcc)))
