"""The size of a Wayland window: which one to ask for, and what changed one.

A Wayland surface has a size in logical units, of which the framebuffer is the
`scale`-fold. Three things change the framebuffer, and each shows by what else
changes: the viewer itself, which knows; the compositor, which gives another
size in units (a user who drags an edge, a tile, maximising); and the scale of
the outputs that the surface is on, which leaves the units alone and may come
long after the window was mapped. (xdg-shell.xml, wl_surface.enter)
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

Size = tuple[int, int]

_KEPT = 64  # sizes asked for, which the compositor may still repeat


class Frames(Protocol):
    """Frames that have a frame callback, numbered from 1.

    `asked` is the last that was drawn; `settled` the last that was shown, and followed by
    all that the compositor had to say; it follows frames from the number `watched` on.
    """

    asked: int
    settled: int
    watched: int


def units_for(pixels: Size, scale: float) -> Size:
    """Return the smallest size in units whose framebuffer holds `pixels` at `scale`."""
    # A scale is a multiple of 1/120; the epsilon undoes the rounding of a C float.
    return max(1, math.ceil(pixels[0] / scale - 1e-4)), max(1, math.ceil(pixels[1] / scale - 1e-4))


class SurfaceSize:
    """Decide the window's size in units, and tell the user's sizes from all others.

    The window shows `wanted` pixels 1:1 until the compositor gives it a size; from
    then on it keeps what it is given. A size that comes before a frame of the last
    size asked for was shown answers that wish (a tiling compositor has its own ideas);
    a later one is the user's.
    """

    def __init__(self, wanted: Size, units: Size, scale: float, frames: Frames) -> None:
        """Start with a new window of `units`, to show `wanted` pixels, at `scale` so far."""
        self._frames = frames
        self._wanted = wanted
        self._units = units
        self._scale = scale
        self._given = False
        self._ours: deque[Size] = deque([units], _KEPT)
        self._answered_by = frames.watched = 1  # the first frame that was drawn after the last wish
        self._rescaled_by = 0  # the same for the last change that followed a scale
        self._too_small = self._repeat = False

    def ask(self, pixels: Size, scale: float) -> Size | None:
        """Return the size in units to set for a framebuffer of `pixels`; None: leave it."""
        self._wanted = pixels
        return self._refit(scale)

    def configured(self, units: Size) -> bool:
        """Take in the size of the window after a change; True where the user gave it."""
        if units == self._units:
            return False  # set by `ask`, or only the scale has changed
        self._units = units
        if not self._given and units in self._ours:
            self._repeat = True  # sway repeats the first size of a window at every move
            return False
        self._given = True
        return self._frames.settled >= self._answered_by

    def follow(self, scale: float) -> Size | None:
        """Return the units to set after the changes that were delivered together, or None.

        A scale is followed unless following the last one is what has changed it: a
        window across the edge of two outputs would else shrink off one and grow onto
        it again for ever.
        """
        repeat, self._repeat = self._repeat, False
        if scale == self._scale or repeat:
            return self._refit_to_scale(scale) if repeat else None
        smaller, self._scale = scale < self._scale, scale
        own = self._frames.settled < self._rescaled_by
        self._too_small = own and smaller and not self._given
        self._rescaled_by = 0
        return None if own else self._refit_to_scale(scale)

    def let_go(self, scale: float) -> Size | None:
        """Return the units to set now that the user has let go of the window, or None.

        A window that shrank off the edge of an output is smaller than its picture.
        """
        if not self._too_small:
            return None
        self._too_small = False
        return self._refit_to_scale(scale)

    def _refit_to_scale(self, scale: float) -> Size | None:
        units = self._refit(scale)
        if units is not None:
            self._rescaled_by = self._answered_by
        return units

    def _refit(self, scale: float) -> Size | None:
        self._scale = scale
        if self._given:
            return None
        units = units_for(self._wanted, scale)
        self._answered_by = self._frames.watched = self._frames.asked + 1
        if units == self._units:
            return None
        self._units = units
        self._ours.append(units)
        return units
