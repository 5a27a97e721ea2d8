"""Keyboard, mouse and grab of one window, and the guest that they act on."""

from __future__ import annotations

from collections.abc import Callable

from glview.qemu.input import InputCalls
from glview.scanout.geometry import Rect
from glview.ui.grab import Grab
from glview.ui.keyboard import Keyboard, Repeat
from glview.ui.keymap import Platform
from glview.ui.mouse import Mouse, Viewport


class Controls:
    """Passes input on while a guest is connected, and keeps quiet otherwise.

    `pointer` is where the host's pointer is, in framebuffer pixels, None
    outside the window. `on_grab` is called when the grab was taken or let go.
    """

    def __init__(self, platform: Platform, on_grab: Callable[[bool], None]) -> None:
        self._platform = platform
        self._on_grab = on_grab
        self.grab = Grab()
        self._calls: InputCalls | None = None
        self._keyboard: Keyboard | None = None
        self._mouse: Mouse | None = None
        self._viewport: Viewport | None = None
        self._scale = (1.0, 1.0)
        self.pointer: tuple[float, float] | None = None

    def connect(self, calls: InputCalls, absolute: bool) -> None:
        """Act on this guest from now on."""
        # Wayland leaves repeating to clients, and GLFW's timer needs its own event loop.
        repeat = Repeat() if self._platform == "wayland" else None
        self.grab.release()
        self.grab = Grab()
        self.grab.watch(self._on_grab)
        self._calls = calls
        self._keyboard = Keyboard(calls, self._platform, self.grab, repeat)
        self._mouse = Mouse(calls, self.grab)
        self._mouse.viewport = self._viewport
        self._mouse.absolute = absolute

    def disconnect(self) -> None:
        """The guest has gone, and with it what it believed to be pressed."""
        self._calls = self._keyboard = self._mouse = None
        self.grab.forget_keys()
        self.grab.release()

    @property
    def absolute(self) -> bool:
        """Whether the guest's pointer follows the host's."""
        return self._mouse is not None and self._mouse.absolute

    @absolute.setter
    def absolute(self, absolute: bool) -> None:
        if self._mouse is not None:
            self._mouse.absolute = absolute

    def place(self, place: Rect, guest: tuple[int, int], scale: tuple[float, float]) -> None:
        """The picture of `guest` pixels is drawn there; `scale` framebuffer pixels per unit."""
        self._scale = scale
        self._viewport = Viewport(*place, *guest, scale=scale)
        if self._mouse is not None:
            self._mouse.viewport = self._viewport

    # -- what the window reports -------------------------------------------

    def key(self, scancode: int, action: int) -> None:
        """A key: action 0 release, 1 press, 2 repeat."""
        if self._keyboard is not None:
            self._keyboard.key(scancode, action)

    def motion(self, x: float, y: float) -> None:
        """The pointer is there, in window units."""
        self.pointer = x * self._scale[0], y * self._scale[1]
        if self._mouse is not None:
            self._mouse.motion(x, y)

    def button(self, number: int, pressed: bool) -> None:
        """A pointer button of GLFW's."""
        if self._mouse is not None:
            self._mouse.button(number, pressed)

    def scroll(self, x: float, y: float) -> None:
        """The wheel: x left, y up."""
        if self._mouse is not None:
            self._mouse.scroll(x, y)

    def left(self) -> None:
        """The pointer left the window."""
        self.pointer = None

    def focus_lost(self) -> None:
        """Keys are let go elsewhere from here on."""
        self.release_all()
        self.grab.release()

    # -- time --------------------------------------------------------------

    def release_all(self) -> None:
        """Lift every key and button."""
        if self._keyboard is not None:
            self._keyboard.release_all()
        if self._mouse is not None:
            self._mouse.release_all()
        self.flush()

    def flush(self) -> None:
        """Send the motion of this turn of the loop, as one call."""
        if self._calls is not None:
            self._calls.flush()

    @property
    def has_motion(self) -> bool:
        """Whether motion waits because QEMU is behind: flush again soon."""
        return self._calls is not None and self._calls.pending

    @property
    def deadline(self) -> float | None:
        """When `tick` is due."""
        return self._keyboard.deadline if self._keyboard is not None else None

    def tick(self) -> None:
        """Repeat the held key if it is time."""
        if self._keyboard is not None:
            self._keyboard.tick()
