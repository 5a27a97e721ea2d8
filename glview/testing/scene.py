"""The picture of the fake guest: colour bars that move, and a square that follows the pointer.

No sockets here: state and pixels only. All coordinates are guest pixels, row 0 on top.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glview.testing import pictures

Rect = tuple[int, int, int, int]

SQUARE = 48
BAND = 64
COLOURS = ((255, 255, 255), (255, 160, 0), (0, 200, 255), (255, 0, 160), (120, 255, 0))


def cursor_sprite(size: int = 32) -> NDArray[np.uint8]:
    """An arrow, premultiplied B, G, R, A bytes, shape (size, size, 4), half transparent edge.

    The hot spot is its top left corner.
    """
    y, x = np.mgrid[0:size, 0:size]
    inside, edge = (x <= y) & (x + y < size), (x <= y + 1) & (x + y <= size)
    sprite = np.zeros((size, size, 4), np.uint8)
    sprite[edge] = (0, 0, 0, 128)
    sprite[inside] = (255, 255, 255, 255)
    return sprite


class Scene:
    """What the guest shows; `step` and the input methods return the rectangle that changed."""

    def __init__(self, width: int, height: int) -> None:
        self.frame = 0
        self._colour = 0
        self._resize(width, height)

    def _resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = pictures.gradient(width, height)
        self._back = self.pixels.copy()
        self._square = self._around(width // 2, height // 2)
        self._draw_square()
        self.step()

    def resize(self, width: int, height: int) -> None:
        """A mode switch: a new array of another size, drawn from the start."""
        self._resize(width, height)

    def step(self) -> Rect:
        """The next frame: the band of colour bars along the bottom moves by two pixels."""
        self.frame += 1
        top = max(0, self.height - BAND)
        shift = self.frame * 2 % self.width
        self._back[top:] = pictures.bars(self.width, self.height - top, shift)
        rect = (0, top, self.width, self.height - top)
        self._restore(rect)
        self._draw_square()
        return rect

    def point(self, x: int, y: int) -> Rect:
        """Move the square's centre to x, y."""
        old, self._square = self._square, self._around(x, y)
        self._restore(old)
        self._draw_square()
        return _union(old, self._square)

    def move(self, dx: int, dy: int) -> Rect:
        """Move the square by dx, dy, as a relative mouse does; it stays inside."""
        x, y, width, height = self._square
        centre_x = min(max(0, x + width // 2 + dx), self.width - 1)
        centre_y = min(max(0, y + height // 2 + dy), self.height - 1)
        return self.point(centre_x, centre_y)

    def colour(self, number: int) -> Rect:
        """Give the square the colour that belongs to `number`, e.g. a key's qnum."""
        self._colour = number % len(COLOURS)
        self._draw_square()
        return self._square

    def _around(self, x: int, y: int) -> Rect:
        left = min(max(0, x - SQUARE // 2), max(0, self.width - SQUARE))
        top = min(max(0, y - SQUARE // 2), max(0, self.height - SQUARE))
        return left, top, min(SQUARE, self.width), min(SQUARE, self.height)

    def _restore(self, rect: Rect) -> None:
        x, y, width, height = rect
        self.pixels[y : y + height, x : x + width] = self._back[y : y + height, x : x + width]

    def _draw_square(self) -> None:
        x, y, width, height = self._square
        self.pixels[y : y + height, x : x + width] = COLOURS[self._colour]


def _union(a: Rect, b: Rect) -> Rect:
    left, top = min(a[0], b[0]), min(a[1], b[1])
    right, bottom = max(a[0] + a[2], b[0] + b[2]), max(a[1] + a[3], b[1] + b[3])
    return left, top, right - left, bottom - top
