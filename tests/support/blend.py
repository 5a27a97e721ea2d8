"""What OpenGL is expected to make of pictures: scaling and blending, in numpy.

OpenGL may round either way, so compare with a tolerance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.support.screen import Picture


def scaled(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """`picture`, of any number of channels, as GL_LINEAR without mipmaps samples it."""
    rows = _between(picture.astype(np.float64), height, 0)
    return np.rint(_between(rows, width, 1)).astype(np.uint8)


def _between(values: NDArray[np.float64], size: int, axis: int) -> NDArray[np.float64]:
    """Interpolate along one axis; outside the outermost samples those count."""
    last = values.shape[axis] - 1
    at = np.clip((np.arange(size) + 0.5) * (last + 1) / size - 0.5, 0, last)
    low = np.floor(at).astype(int)
    share = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    below, above = (np.take(values, np.minimum(i, last), axis) for i in (low, low + 1))
    between: NDArray[np.float64] = below * (1 - share) + above * share
    return between


def over(picture: Picture, sprite: NDArray[np.uint8], x: int, y: int) -> Picture:
    """`picture` with a sprite, R, G, B, A premultiplied, whose top left is at x, y."""
    height, width = picture.shape[:2]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + sprite.shape[1], width), min(y + sprite.shape[0], height)
    result = picture.copy()
    if left < right and top < bottom:
        part = sprite[top - y : bottom - y, left - x : right - x].astype(np.float64)
        under = result[top:bottom, left:right] * (1 - part[..., 3:] / 255)
        result[top:bottom, left:right] = np.rint(part[..., :3] + under).clip(0, 255)
    return result


def sprite(width: int, height: int) -> NDArray[np.uint8]:
    """Random R, G, B, A, premultiplied: no channel is above alpha, every alpha occurs."""
    random = np.random.default_rng(width * height)
    alpha = random.integers(0, 256, (height, width, 1))
    alpha.flat[: min(2, alpha.size)] = 255, 0
    colour = random.integers(0, 256, (height, width, 3)) * alpha // 255
    return np.concatenate([colour, alpha], axis=2).astype(np.uint8)
