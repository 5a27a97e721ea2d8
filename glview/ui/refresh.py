"""How often a window's monitor shows another picture, for swaps that nothing else paces.

What changes now and then is shown at once, however soon after the frame before: that
is when somebody waits for it. But over any longer time there is one swap a refresh.
"""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

DEFAULT_RATE = 60.0
"""Hz, where the monitor has none to tell: Xvfb's, or a virtual machine's."""

LEAD = 0.5
"""Seconds that swaps may be ahead of the monitor."""

_LOOK_AFTER = 1.0  # seconds between looks at the monitors, which wait for the X server


class Refresh:
    """Knows when the next swap of a window is due.

    GLFW tells where a window is by a callback; `moved` is to be called by that.
    """

    def __init__(self, glfw: ModuleType, window: Any) -> None:  # noqa: ANN401 - GLFW's own
        self._glfw = glfw
        self._middle = _middle(glfw, window)
        self._looked = 0.0
        self._stale = True
        self._rate = DEFAULT_RATE
        self._done = 0.0  # when the monitor will have shown all swaps, one a refresh
        self.next = 0.0
        """When that is, in monotonic seconds."""

    def moved(self, x: int, y: int, size: tuple[int, int]) -> None:
        """The window is there now, perhaps on another monitor."""
        self._middle = x + size[0] // 2, y + size[1] // 2
        self._stale = True

    def swapped(self) -> None:
        """A frame is on its way."""
        now = time.monotonic()
        if self._stale and now >= self._looked + _LOOK_AFTER:
            self._stale, self._looked = False, now
            self._rate = self._monitors_rate() or DEFAULT_RATE
        self._done = max(self._done, now) + 1 / self._rate
        self.next = self._done - LEAD

    def _monitors_rate(self) -> float:
        """That of the monitor with the window's middle, else of the primary one; 0 if unknown."""
        glfw, (x, y) = self._glfw, self._middle
        rates = []
        for monitor in glfw.get_monitors() or ():
            mode = glfw.get_video_mode(monitor)
            if not mode:
                continue
            left, top = glfw.get_monitor_pos(monitor)
            if 0 <= x - left < mode.size.width and 0 <= y - top < mode.size.height:
                return float(mode.refresh_rate)
            rates.append(float(mode.refresh_rate))
        return rates[0] if rates else 0.0


def _middle(glfw: ModuleType, window: Any) -> tuple[int, int]:  # noqa: ANN401 - GLFW's own
    (x, y), (width, height) = glfw.get_window_pos(window), glfw.get_window_size(window)
    return x + width // 2, y + height // 2
