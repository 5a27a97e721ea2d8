"""Wayland's frame callbacks: whether the compositor shows the window at all.

A Wayland client is not told that its window is hidden: the compositor just
stops asking for frames. (wayland.xml, wl_surface.frame; GLFW does not use it)
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

HIDDEN_AFTER = 0.1  # seconds without a callback

_WL_DISPLAY_SYNC, _WL_SURFACE_FRAME = 0, 3  # the requests' numbers
_P = ctypes.c_void_p
_Done = ctypes.CFUNCTYPE(None, _P, _P, ctypes.c_uint32)


class FrameCallbacks:
    """Asks for a callback with every frame. `on_hidden(hidden)` tells when none comes any more.

    GLFW's `poll_events` delivers the callbacks.
    """

    def __init__(self, glfw: ModuleType, window: Any, on_hidden: Callable[[bool], None]) -> None:  # noqa: ANN401 - GLFW's own
        self._lib = ctypes.CDLL("libwayland-client.so.0")  # GLFW has loaded the same
        self._lib.wl_proxy_marshal_constructor.restype = _P
        self._lib.wl_proxy_destroy.argtypes = (_P,)
        self._lib.wl_proxy_add_listener.argtypes = (_P, _P, _P)
        self._interface = ctypes.addressof(_P.in_dll(self._lib, "wl_callback_interface"))
        self._surface = int(glfw.get_wayland_window(window))
        self._on_hidden = on_hidden
        self._function = _Done(self._done)
        self._listener = (_P * 1)(ctypes.cast(self._function, _P))
        self._callback = self._sync = self._syncing = 0
        self._sync_function = _Done(self._synced)
        self._sync_listener = (_P * 1)(ctypes.cast(self._sync_function, _P))
        self._display = int(glfw.get_wayland_display())
        self._asked_at = 0.0
        self._hidden = False
        # Frames with a callback, numbered from 1: the last that was drawn, the last that
        # was shown and followed by all that the compositor had to say, one to tell of.
        self.asked = self.settled = self.watched = 0

    def ask(self) -> None:
        """The next commit of the surface is a frame."""
        if self._callback:
            return
        callback = self._lib.wl_proxy_marshal_constructor(
            _P(self._surface), _WL_SURFACE_FRAME, _P(self._interface), _P(None)
        )
        if callback:
            self._lib.wl_proxy_add_listener(callback, self._listener, None)
            self._callback, self._asked_at = callback, time.monotonic()
            self.asked += 1

    def _settle(self) -> None:
        """Have the compositor answer once more after this frame, where someone waits for it.

        Sway sends the callback of a first frame and then the size of the window's tile.
        """
        if self._sync or not self.settled < self.watched <= self.asked:
            return
        callback = self._lib.wl_proxy_marshal_constructor(
            _P(self._display), _WL_DISPLAY_SYNC, _P(self._interface), _P(None)
        )
        if callback:
            self._lib.wl_proxy_add_listener(callback, self._sync_listener, None)
            self._sync, self._syncing = callback, self.asked

    def _synced(self, _data: object, _callback: object, _serial: int) -> None:
        self._lib.wl_proxy_destroy(self._sync)
        self._sync = 0
        self.settled = self._syncing

    def _done(self, _data: object, _callback: object, _time: int) -> None:
        self._drop()
        self._settle()
        self._tell(hidden=False)

    @property
    def pending(self) -> bool:
        """Whether the last frame is not on the screen yet: a swap might wait for that."""
        return bool(self._callback)

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do (monotonic seconds), or None."""
        waiting = self._callback and not self._hidden
        return self._asked_at + HIDDEN_AFTER if waiting else None

    def tick(self, now: float) -> None:
        """Let time pass. Events that are there already must have been delivered."""
        if self.deadline is not None and now >= self.deadline:
            self._tell(hidden=True)

    def _tell(self, *, hidden: bool) -> None:
        if hidden != self._hidden:
            self._hidden = hidden
            self._on_hidden(hidden)

    def _drop(self) -> None:
        if self._callback:
            self._lib.wl_proxy_destroy(self._callback)
            self._callback = 0

    def close(self) -> None:
        """No callback is wanted any more; before the window is destroyed."""
        self._drop()
        if self._sync:
            self._lib.wl_proxy_destroy(self._sync)
            self._sync = 0
