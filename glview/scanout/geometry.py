"""Rectangles and the arithmetic that keeps us inside other people's memory."""

from __future__ import annotations

from typing import NamedTuple

# No console is larger than this in either direction; QEMU's own limits and
# those of GL textures lie at or below it.
MAX_SIDE = 32768


class Rect(NamedTuple):
    """A rectangle of pixels, origin top left."""

    x: int
    y: int
    width: int
    height: int

    def clip(self, width: int, height: int) -> Rect | None:
        """The part inside (0, 0, width, height), or None where there is none."""
        x0, y0 = max(self.x, 0), max(self.y, 0)
        x1, y1 = min(self.x + self.width, width), min(self.y + self.height, height)
        if x1 <= x0 or y1 <= y0:
            return None
        return Rect(x0, y0, x1 - x0, y1 - y0)

    def common(self, other: Rect) -> Rect | None:
        """The part that lies in both, or None where there is none."""
        part = self.moved(-other.x, -other.y).clip(other.width, other.height)
        return part.moved(other.x, other.y) if part is not None else None

    def moved(self, x: int, y: int) -> Rect:
        """The same size, so much further right and down."""
        return Rect(self.x + x, self.y + y, self.width, self.height)

    def union(self, other: Rect | None) -> Rect:
        """The smallest rectangle that holds both."""
        if other is None:
            return self
        x, y, width, height = self
        left, top, across, down = other
        if x >= left and y >= top and x + width <= left + across and y + height <= top + down:
            return other
        x0, y0 = min(x, left), min(y, top)
        x1, y1 = max(x + width, left + across), max(y + height, top + down)
        return Rect(x0, y0, x1 - x0, y1 - y0)


def sane_size(width: int, height: int) -> bool:
    """Whether a console can have this size at all."""
    return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE


def span(width: int, height: int, stride: int, size: int) -> int:
    """Bytes from the first to just past the last pixel.

    Not `stride * height`: the last row may end with the memory
    (a scanout at the bottom right of a larger resource does).
    """
    return stride * (height - 1) + width * size


def fit(width: int, height: int, into_width: int, into_height: int, slack: int = 0) -> Rect:
    """Place a picture in a window: exactly 1:1 where sizes match, else aspect-true, centred.

    So many pixels of `slack` as the window may have more than the picture, because it
    cannot have every size, stay black at its right and bottom.
    """
    if width <= 0 or height <= 0 or into_width <= 0 or into_height <= 0:
        return Rect(0, 0, max(into_width, 0), max(into_height, 0))
    if 0 <= into_width - width <= slack and 0 <= into_height - height <= slack:
        return Rect(0, 0, width, height)
    if into_width * height <= into_height * width:
        w, h = into_width, max(1, round(height * into_width / width))
    else:
        w, h = max(1, round(width * into_height / height)), into_height
    return Rect((into_width - w) // 2, (into_height - h) // 2, w, h)
