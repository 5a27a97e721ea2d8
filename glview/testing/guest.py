"""A guest to look at and to touch where there is no QEMU: the scene, running in a thread."""

from __future__ import annotations

import contextlib
import queue
import threading
from time import monotonic

from glview.testing.console import FakeConsole, UiInfo
from glview.testing.input import InputCall
from glview.testing.pictures import MemfdPicture, memfd_picture
from glview.testing.scene import Rect, Scene, cursor_sprite

MIN_SIZE, MAX_SIZE = 64, 8192  # pixels that a request for another size may ask for

_Event = InputCall | UiInfo | None


class FakeGuest:
    """Shows a `Scene` on a console and lets its input act; `close` it.

    The pointer moves the square, a key or button press changes its colour, SetUIInfo switches
    the mode. `fps` frames a second are drawn while a listener is there.
    """

    def __init__(self, console: FakeConsole, fps: float = 30.0) -> None:
        self._console = console
        self._period = 1.0 / fps
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._scene = Scene(*console.size)
        self._surface = self._new_surface()
        self._stopping = threading.Event()
        console.input.on_input = self._events.put
        console.on_ui_info = self._events.put
        console.output.define_cursor(cursor_sprite())
        console.output.move_cursor(0, 0)
        self._thread = threading.Thread(target=self._run, name="fake-guest", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop drawing and give the picture's memory back."""
        self._stopping.set()
        self._events.put(None)
        self._thread.join()
        self._console.output.blank()
        self._surface.close()

    def _new_surface(self) -> MemfdPicture:
        surface = memfd_picture(self._scene.pixels)
        self._console.output.switch(surface)
        return surface

    def _run(self) -> None:
        next_frame = monotonic() + self._period
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Empty):
                self._handle(self._events.get(timeout=max(0.0, next_frame - monotonic())))
                continue
            self._show(self._scene.step())
            next_frame = max(next_frame + self._period, monotonic())

    def _handle(self, event: _Event) -> None:
        if isinstance(event, UiInfo):
            self._switch_mode(event.width, event.height)
        elif event is not None and not event.error:
            rect = self._act(event)
            if rect is not None:
                self._show(rect)

    def _act(self, call: InputCall) -> Rect | None:
        """What the scene does about an input call."""
        match call.member, call.args:
            case "Mouse.SetAbsPosition", (x, y):
                return self._scene.point(x, y)
            case "Mouse.RelMotion", (dx, dy):
                return self._scene.move(dx, dy)
            case (("Keyboard.Press" | "Mouse.Press"), (number,)):
                return self._scene.colour(number)
        return None

    def _switch_mode(self, width: int, height: int) -> None:
        if not (MIN_SIZE <= width <= MAX_SIZE and MIN_SIZE <= height <= MAX_SIZE):
            return
        old = self._surface
        self._scene.resize(width, height)
        self._surface = self._new_surface()
        old.close()
        self._console.set_size(width, height)
        self._console.output.update(0, 0, width, height)

    def _show(self, rect: Rect) -> None:
        x, y, width, height = rect
        self._surface.draw(self._scene.pixels[y : y + height, x : x + width], x, y)
        self._console.output.update(*rect)
