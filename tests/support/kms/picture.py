"""The frames that the guest draws, and their numbers read back. flip.c draws the same."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.screen import Picture, bgrx

DIGITS = 6
DOT = 8  # pixels, of which the dots of digits are squares
BAND = 16  # width of the band that moves with the frames

_RGB24 = 1  # CAIRO_FORMAT_RGB24: native-endian words 0x00RRGGBB

# Digits of 3 x 5 dots, a row in each hexadecimal digit, the topmost first.
_SHAPES = (
    *(0x75557, 0x26227, 0x71747, 0x71717, 0x55711),
    *(0x74717, 0x74757, 0x71111, 0x75757, 0x75717),
)


def frame(n: int, width: int, height: int) -> Picture:
    """Frame `n`: a pattern, over it a band whose place and colour are the frame's, its number."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 // width, y * 255 // height, (x ^ y) & 255], -1).astype(np.uint8)
    colour = (n * 2654435761 & 0xFFFFFFFF) >> 8
    left = n % (width // BAND) * BAND
    picture[:, left : left + BAND] = colour >> 16, colour >> 8 & 255, colour & 255
    box = np.where(_dots(n).repeat(DOT, 0).repeat(DOT, 1), 255, 0)
    picture[: box.shape[0], : box.shape[1]] = box[..., None]
    return picture


def number(picture: Picture) -> int | None:
    """The number that a picture shows, or None if it shows none."""
    rows, columns = 7, 4 * DIGITS + 1
    if picture.shape[0] < rows * DOT or picture.shape[1] < columns * DOT:
        return None
    seen = picture[DOT // 2 : rows * DOT : DOT, DOT // 2 : columns * DOT : DOT].min(-1) == 255
    text = ""
    for place in range(DIGITS):
        here = seen[:, 4 * place + 1 : 4 * place + 4]
        text += next((str(d) for d in range(10) if (here[1:6] == _digit(d)).all()), "")
    return int(text) if len(text) == DIGITS else None


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture, through the cairo library that weston needs."""
    cairo = ctypes.CDLL("libcairo.so.2")
    cairo.cairo_image_surface_create_for_data.restype = ctypes.c_void_p
    height, width, _ = picture.shape
    words = bgrx(picture)
    data = words.ctypes.data_as(ctypes.c_void_p)
    made = cairo.cairo_image_surface_create_for_data(data, _RGB24, width, height, 4 * width)
    surface = ctypes.c_void_p(made)
    failed = cairo.cairo_surface_write_to_png(surface, str(path).encode())
    cairo.cairo_surface_destroy(surface)
    if failed:
        raise OSError(f"{path}: cairo's error {failed}")


def _dots(n: int) -> NDArray[np.bool_]:
    """The number's white dots; dots of space stand around each digit."""
    dots = np.zeros((7, 4 * DIGITS + 1), bool)
    for place, letter in enumerate(f"{n:0{DIGITS}}"):
        dots[1:6, 4 * place + 1 : 4 * place + 4] = _digit(int(letter))
    return dots


def _digit(digit: int) -> NDArray[np.bool_]:
    rows = [_SHAPES[digit] >> shift & 7 for shift in (16, 12, 8, 4, 0)]
    return np.array([[bool(row & bit) for bit in (4, 2, 1)] for row in rows])
