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

_WL_SURFACE_FRAME = 3  # the request's number
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
        self._callback = 0
        self._asked_at = 0.0
        self._hidden = False

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

    def _done(self, _data: object, _callback: object, _time: int) -> None:
        self._drop()
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
