"""The window: GLFW, its size, and its events as plain calls."""

from __future__ import annotations

import math
import time
from types import ModuleType
from typing import Any, Literal, Protocol

from glview.errors import NoDisplayError
from glview.text import printable
from glview.ui import platform as window_system
from glview.ui.frames import FrameCallbacks
from glview.ui.keymap import Platform
from glview.ui.sizing import SizeWishes
from glview.wayland.surface import SurfaceSize, units_for

# Drawing waits so long for a size that was asked for.
_HOLD_TIME = 0.05

_LONGEST_TITLE = 200  # characters


def shown_title(title: str) -> str:
    """Return a title as the window system gets it: printable, of sane length."""
    return printable(title, _LONGEST_TITLE)


class WindowEvents(Protocol):
    """Who wants to know what happens to the window. Positions in window units."""

    def on_key(self, scancode: int, action: int) -> None:
        """A key: action 0 release, 1 press, 2 repeat."""

    def on_motion(self, x: float, y: float) -> None:
        """The pointer moved."""

    def on_button(self, number: int, pressed: bool) -> None:
        """A pointer button."""

    def on_scroll(self, x: float, y: float) -> None:
        """The wheel: x left, y up, in steps."""

    def on_inside(self, inside: bool) -> None:
        """The pointer entered or left."""

    def on_focus(self, focused: bool) -> None:
        """The window got or lost the keyboard."""

    def on_resized(self, by_user: bool) -> None:
        """The framebuffer has another size."""

    def on_damaged(self) -> None:
        """The window system lost the content."""

    def on_hidden(self, hidden: bool) -> None:
        """The window was minimised or restored."""

    def on_close(self) -> None:
        """The user wants the window closed."""


class Window:
    """One window, without OpenGL.

    `size` is that of the framebuffer in pixels; `fd` is readable when there
    are events for `poll_events`. Belongs to the main thread.
    """

    def __init__(
        self,
        glfw: ModuleType,
        platform: Platform,
        title: str,
        size: tuple[int, int],
        events: WindowEvents,
        *,
        visible: bool = True,
    ) -> None:
        """Open a window with a framebuffer of `size` pixels. Raises GlviewError."""
        self._visible = visible
        self.platform = platform
        self.fd = window_system.connection_fd(glfw, platform)
        self._glfw = glfw
        self._events = events
        self._inside = self._moved = False
        self._position: tuple[float, float] | None = None
        self._hold_until = 0.0
        self._handle = self._create(title, self._first_units(size))
        self.size: tuple[int, int] = glfw.get_framebuffer_size(self._handle)
        self._wishes = SizeWishes(self.size, time.monotonic())
        self._iconified = self._stalled = self._hidden = False
        self._frames: FrameCallbacks | None = None
        self._logical: SurfaceSize | None = None
        self._resettle = False
        if platform == "wayland":
            self._frames = FrameCallbacks(glfw, self._handle, self._stalled_now)
            units = glfw.get_window_size(self._handle)
            self._logical = SurfaceSize(size, units, self._content_scale, self._frames)
        self._listen()
        # A Wayland window that is on no output yet has scale 1, which says nothing.
        if self._content_scale > 1.0 if self._logical is not None else self.size != size:
            self.ask_size(*size)

    # -- making it ---------------------------------------------------------

    def _create(self, title: str, size: tuple[int, int]) -> Any:  # noqa: ANN401 - GLFW's own
        """GLFW's handle of a new window. Raises GlviewError."""
        faults = window_system.collect_faults(self._glfw)
        self._hint()
        self._glfw.window_hint(self._glfw.CLIENT_API, self._glfw.NO_API)
        handle = self._glfw.create_window(*size, shown_title(title), None, None)
        if not handle:
            raise NoDisplayError(f"no window: {faults[0] if faults else 'no reason given'}")
        return handle

    def _hint(self) -> None:
        """What is wanted of any window."""
        glfw = self._glfw
        glfw.default_window_hints()
        glfw.window_hint(glfw.VISIBLE, self._visible)
        glfw.window_hint(glfw.SCALE_TO_MONITOR, False)
        for name in ("X11_CLASS_NAME", "X11_INSTANCE_NAME", "WAYLAND_APP_ID"):
            if hasattr(glfw, name):
                glfw.window_hint_string(getattr(glfw, name), "glview")

    def _listen(self) -> None:
        glfw, handle, events = self._glfw, self._handle, self._events
        glfw.set_key_callback(
            handle, lambda w, key, code, action, mods: events.on_key(code, action)
        )
        glfw.set_cursor_pos_callback(handle, lambda w, x, y: self._motion(x, y))
        glfw.set_mouse_button_callback(
            handle, lambda w, button, action, mods: events.on_button(button, bool(action))
        )
        glfw.set_scroll_callback(handle, lambda w, x, y: events.on_scroll(x, y))
        glfw.set_cursor_enter_callback(handle, lambda w, inside: self._entered(bool(inside)))
        glfw.set_window_focus_callback(handle, lambda w, focused: events.on_focus(bool(focused)))
        glfw.set_framebuffer_size_callback(handle, lambda w, x, y: self._resized(x, y))
        glfw.set_window_refresh_callback(handle, lambda w: events.on_damaged())
        glfw.set_window_iconify_callback(
            handle, lambda w, iconified: self._iconified_now(bool(iconified))
        )
        glfw.set_window_close_callback(handle, lambda w: events.on_close())

    # -- size --------------------------------------------------------------

    def _first_units(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size in window units to make a window with that shows `size` pixels.

        On Wayland a window has scale 1 until it is on an output: tell by the outputs.
        """
        if self.platform == "x11":
            return size
        glfw = self._glfw
        scales = [glfw.get_monitor_content_scale(monitor)[0] for monitor in glfw.get_monitors()]
        return units_for(size, max(1.0, min(scales, default=1.0)))

    def _resized(self, width: int, height: int) -> None:
        if (width, height) == self.size:
            return
        self.size = width, height
        self._hold_until = 0.0
        if self._logical is None:
            by_user = not self._wishes.answer(self.size, time.monotonic())
        else:
            by_user = self._logical.configured(self._glfw.get_window_size(self._handle))
            self._resettle = True
        self._events.on_resized(by_user)

    def ask_size(self, width: int, height: int) -> None:
        """Ask for a framebuffer of this size; the window manager may have other ideas."""
        if self._logical is not None:
            self._set_units(self._logical.ask((width, height), self._content_scale))
            return
        now = time.monotonic()
        if self._wishes.ask((width, height), now):
            self._hold_until = now + _HOLD_TIME
            self._set_units((width, height))

    def _set_units(self, units: tuple[int, int] | None) -> None:
        if units is not None:
            self._glfw.set_window_size(self._handle, *units)

    @property
    def _content_scale(self) -> float:
        """Framebuffer pixels per window unit before rounding, as Wayland says."""
        return float(self._glfw.get_window_content_scale(self._handle)[0])

    @property
    def slack(self) -> int:
        """Return the pixels by which the framebuffer may exceed the size asked for, each way."""
        return 0 if self._logical is None else math.ceil(max(self.scale)) - 1

    @property
    def held(self) -> float:
        """Until when drawing should wait for a size that is on its way; 0 for not at all."""
        return self._hold_until if time.monotonic() < self._hold_until else 0.0

    @property
    def scale(self) -> tuple[float, float]:
        """Framebuffer pixels per window unit, across and down."""
        if self.platform == "x11":
            return 1.0, 1.0  # its units are pixels; asking would wait for the X server
        units = self._glfw.get_window_size(self._handle)
        if min(*units, *self.size) <= 0:
            return 1.0, 1.0
        return self.size[0] / units[0], self.size[1] / units[1]

    @property
    def physical_size(self) -> tuple[int, int]:
        """Width and height of the framebuffer in millimetres, 0 where unknown."""
        monitor = self._glfw.get_primary_monitor()
        mode = self._glfw.get_video_mode(monitor) if monitor else None
        if not mode:
            return 0, 0
        width, height = self._glfw.get_monitor_physical_size(monitor)
        return (
            round(self.size[0] * width / max(mode.size.width, 1)),
            round(self.size[1] * height / max(mode.size.height, 1)),
        )

    # -- whether it is to be seen ------------------------------------------

    def _iconified_now(self, iconified: bool) -> None:
        self._iconified = iconified
        self._hidden_now()

    def _stalled_now(self, stalled: bool) -> None:
        self._stalled = stalled
        self._hidden_now()

    def _hidden_now(self) -> None:
        hidden = self._iconified or self._stalled
        if hidden != self._hidden:
            self._hidden = hidden
            self._events.on_hidden(hidden)

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do (monotonic seconds), or None."""
        return self._frames.deadline if self._frames is not None else None

    @property
    def ready(self) -> bool:
        """Whether a swap would not wait for the compositor."""
        return self._frames is None or not self._frames.pending

    @property
    def next_frame(self) -> float:
        """When the screen has room for the next frame, where only time tells; 0.0: it has."""
        return 0.0

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._frames is not None:
            self._frames.tick(now)

    # -- the rest ----------------------------------------------------------

    @property
    def has_events(self) -> bool:
        """Whether there are events for `poll_events` that `fd` no longer tells of."""
        return window_system.has_events(self._glfw, self.platform)

    def poll_events(self) -> None:
        """Deliver the events that are there; never waits."""
        silent = self.platform == "x11" and self._inside and self.has_events
        self._moved = False
        self._glfw.poll_events()
        if self._resettle and self._logical is not None:
            self._resettle = False
            self._set_units(self._logical.follow(self._content_scale))
        if silent and self._inside and not self._moved:
            # GLFW on X11 drops a motion to where it warped the pointer last: to 0, 0 at first.
            self._motion(*self._glfw.get_cursor_pos(self._handle))

    def _motion(self, x: float, y: float) -> None:
        self._moved = True
        if (x, y) != self._position:
            self._position = x, y
            self._events.on_motion(x, y)

    def _entered(self, inside: bool) -> None:
        self._inside = inside
        if inside and self._logical is not None:
            self._set_units(self._logical.let_go(self._content_scale))
        self._events.on_inside(inside)

    @property
    def x11_id(self) -> int:
        """The X server's number of the window."""
        return int(self._glfw.get_x11_window(self._handle))

    def show(self) -> None:
        """Show a window that was not made visible."""
        self._glfw.show_window(self._handle)

    def set_title(self, title: str) -> None:
        """Name the window. The title may hold anything, as a VM's name does."""
        self._glfw.set_window_title(self._handle, shown_title(title))

    def set_pointer(self, mode: Literal["normal", "hidden", "locked"]) -> None:
        """Show the host's pointer, hide it over the window, or lock it with raw motion."""
        glfw = self._glfw
        value = {
            "normal": glfw.CURSOR_NORMAL,
            "hidden": glfw.CURSOR_HIDDEN,
            "locked": glfw.CURSOR_DISABLED,
        }[mode]
        glfw.set_input_mode(self._handle, glfw.CURSOR, value)
        if mode == "locked":
            if glfw.raw_mouse_motion_supported():
                glfw.set_input_mode(self._handle, glfw.RAW_MOUSE_MOTION, True)
            # What follows are differences to this; Wayland may not have told a place yet.
            self._position = glfw.get_cursor_pos(self._handle)
            self._events.on_motion(*self._position)

    def close(self) -> None:
        """Destroy the window, and what it is drawn with."""
        if self._frames is not None:
            self._frames.close()
        self._glfw.destroy_window(self._handle)
