"""No buffer is read after its UpdateDMABUF was answered, whatever makes the window be drawn again.

The guest here overwrites its buffer with a colour that is in no picture as
soon as it has the answer. If that colour is ever on the screen, the viewer
looked too late. The mistakes of tests/support/mutants.py must be seen so.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from glview.testing.pictures import fourcc
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb
from tests.support.xlib import XConnection

pytestmark = requires("dmabuf-import")

WIDTH, HEIGHT = 320, 240
POISON = (0xFE, 0x01, 0xFD)
"""Red, green, blue of what the guest does after the answer."""

Trouble = Callable[[Stage], None]


def colour(number: int) -> tuple[int, int, int]:
    """That of an update: another one each time, and never the poison."""
    mixed = number * 2_654_435_761 >> 4
    return mixed & 0xFF, 0x40 | mixed >> 8 & 0x3F, mixed >> 16 & 0xFF


def paint(canvas: Canvas, rgb: tuple[int, int, int]) -> None:
    red, green, blue = rgb
    canvas.memory.view(np.uint32)[:] = red << 16 | green << 8 | blue


def has(shown: Picture, rgb: tuple[int, int, int]) -> bool:
    return bool((shown == rgb).all(axis=-1).any())


PAUSES, PAUSE = 4, 0.02
"""Every so many updates the guest leaves its rubbish in the buffer for so many seconds."""

FORCED = 0.085
"""Seconds after which an answer is one that the viewer gave because the time was up."""


class Guest:
    """Draws as soon as it may, and rubbish in between.

    `bad` counts updates that showed the rubbish. `forced` counts answers given
    because the time was up: what they cover is not shown while the guest goes
    on, so it goes on.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._numbers = itertools.count(1)
        self.updates = 0
        self.bad = 0
        self.forced = 0

    def play(self, updates: int) -> None:
        """Update after update, each until it is on the screen."""
        with Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas:
            Dmabuf().announce(self._stage.listener, canvas, canvas.all)
            while self.updates < updates:
                self._update(canvas)

    def _update(self, canvas: Canvas) -> None:
        want = colour(next(self._numbers))
        paint(canvas, want)
        reply = self._stage.listener.update_dmabuf(0, 0, WIDTH, HEIGHT)
        paint(canvas, POISON)
        assert reply.ok
        if reply.seconds > FORCED:
            self.forced += 1
            self.bad += has(self._stage.shown(), POISON)
            return
        self.updates += 1
        seen = until(lambda: self._look(want), f"update {self.updates} of {want}")
        self.bad += seen == "poison" or (self.updates % PAUSES == 0 and self._shows_later())

    def _shows_later(self) -> bool:
        """Whether the rubbish gets to the screen after all.

        Without a pause, reads that are all late by one update show what comes next too early,
        and nothing of the rubbish in between.
        """
        time.sleep(PAUSE)
        return has(self._stage.shown(), POISON)

    def _look(self, want: tuple[int, int, int]) -> str:
        shown = self._stage.shown()
        if has(shown, POISON):
            return "poison"
        height, width, _ = shown.shape
        return "good" if tuple(shown[height // 3, width // 2]) == want else ""


# -- what makes the window be drawn again ----------------------------------------


def nothing(_stage: Stage) -> None:
    """Nothing but the updates."""
    time.sleep(0.01)


_steps = itertools.count()


def pointer(stage: Stage) -> None:
    """The guest's pointer moves, a thousand times a second."""
    step = next(_steps)
    if step % 1000 == 0:
        sprite = np.full((16, 16, 4), 255, np.uint8)
        stage.listener.cursor_define(16, 16, 0, 0, sprite.tobytes())
    stage.listener.mouse_set(step % 64, step % 32, 1)
    time.sleep(0.001)


def overlay(stage: Stage) -> None:
    """A line of text over the picture, another one each time."""
    rect = next(_steps) % 1000 + 70_000
    stage.listener.scanout_dmabuf2((), 0, 0, rect, 1, (0,), (4,), 1, fourcc("XR24"), rect, 1)
    time.sleep(0.02)


@contextmanager
def troubled(stage: Stage, trouble: Trouble) -> Iterator[None]:
    """The trouble goes on, on a thread of its own."""
    over = threading.Event()

    def make() -> None:
        while not over.is_set():
            trouble(stage)

    thread = threading.Thread(target=make)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Window:
    """What other clients of the X server do to the window."""

    def __init__(self, xvfb: Xvfb) -> None:
        self._xvfb = xvfb
        self._x: XConnection | None = None

    def resizing(self, stage: Stage) -> None:
        """It gets another size, again and again."""
        self._connection().resize(stage.window, WIDTH + next(_steps) % 8 * 16, HEIGHT)
        time.sleep(0.02)

    def exposed(self, stage: Stage) -> None:
        """Another window comes and goes before it."""
        x = self._connection()
        place = x.place(stage.window)
        assert place is not None
        cover = x.cover(place._replace(height=HEIGHT // 4))
        time.sleep(0.01)
        x.uncover(cover)
        time.sleep(0.01)

    def _connection(self) -> XConnection:
        if self._x is None:
            self._x = XConnection(self._xvfb)
        return self._x


TROUBLES = ["nothing", "pointer", "overlay", "resizing", "exposed"]


def find(name: str, xvfb: Xvfb) -> Trouble:
    window = Window(xvfb)
    named = {"resizing": window.resizing, "exposed": window.exposed}
    return named.get(name) or {"nothing": nothing, "pointer": pointer, "overlay": overlay}[name]


def play(stage: Stage, trouble: Trouble, updates: int) -> Guest:
    guest = Guest(stage)
    guest.play(3)  # a window is made, shaders are compiled
    guest.bad = guest.updates = 0
    with troubled(stage, trouble):
        guest.play(updates)
    return guest


# -- the tests -------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("gl", ["es", "core"])
def test_never_read_too_late(own_xvfb: Xvfb, tmp_path: Path, gl: str, trouble: str) -> None:
    with Stage(tmp_path, own_xvfb, "--gl", gl) as stage:
        assert play(stage, find(trouble, own_xvfb), 300).bad == 0


@pytest.mark.long
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("gl", ["es", "core"])
def test_never_in_ten_thousand(own_xvfb: Xvfb, tmp_path: Path, gl: str, trouble: str) -> None:
    with Stage(tmp_path, own_xvfb, "--gl", gl) as stage:
        assert play(stage, find(trouble, own_xvfb), 10_000).bad == 0


@pytest.mark.parametrize("trouble", ["nothing", "pointer"])
def test_a_slow_gpu(own_xvfb: Xvfb, tmp_path: Path, trouble: str) -> None:
    """Its fences come milliseconds later."""
    with Stage(tmp_path, own_xvfb, mutant="slow") as stage:
        assert play(stage, find(trouble, own_xvfb), 200).bad == 0


@pytest.mark.alone
@pytest.mark.parametrize("mutant", ["early", "unfenced"])
def test_a_mistake_is_seen(own_xvfb: Xvfb, tmp_path: Path, mutant: str) -> None:
    """More than one update in a hundred shows it."""
    with Stage(tmp_path, own_xvfb, mutant=mutant) as stage:
        guest = play(stage, nothing, 300)
        assert guest.bad > guest.updates / 100
