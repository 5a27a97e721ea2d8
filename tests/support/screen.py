"""Pictures: reading, writing and comparing them.

A picture is a uint8 array of shape (height, width, 3), red first.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_PPM = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")


def read_ppm(path: Path) -> Picture:
    """Read a binary PPM with 8 bits per channel, as QEMU's screendump writes it."""
    data = path.read_bytes()
    header = _PPM.match(data)
    if not header or len(data) - header.end() != 3 * int(header[1]) * int(header[2]):
        raise ValueError(f"{path}: not an 8-bit P6 file")
    shape = (int(header[2]), int(header[1]), 3)
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(shape).copy()


def bmp(picture: Picture) -> bytes:
    """The picture as a 24-bit BMP, the kind that SeaBIOS takes as bootsplash.

    The width must be a multiple of 4, so that rows need no padding.
    """
    height, width, _ = picture.shape
    if width % 4:
        raise ValueError("width must be a multiple of 4")
    body = picture[::-1, :, ::-1].tobytes()
    header = struct.pack("<2sIHHI", b"BM", 54 + len(body), 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(body), 2835, 2835, 0, 0)
    return header + info + body


def bgrx(picture: Picture) -> Picture:
    """The picture as words x8r8g8b8 in memory: shape (height, width, 4), bytes B, G, R, 0."""
    height, width, _ = picture.shape
    words = np.zeros((height, width, 4), np.uint8)
    words[..., :3] = picture[..., ::-1]
    return words


def pattern(width: int, height: int, seed: int = 1) -> Picture:
    """A picture in which no shift, flip, channel swap or lost row goes unnoticed.

    Gradients in two directions, a frame one pixel wide, and a field of noise.
    """
    y, x = np.mgrid[0:height, 0:width]
    channels = x * 255 // width, y * 255 // height, (x ^ y) & 255
    picture = np.stack(channels, axis=-1).astype(np.uint8)
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3))
    picture[height // 8 : height // 8 + height // 4, : width // 4] = noise
    picture[0], picture[-1] = (255, 0, 0), (0, 255, 0)
    picture[:, 0], picture[:, -1] = (0, 0, 255), (255, 255, 255)
    return picture


def difference(got: Picture, want: Picture) -> str:
    """Say in words how two pictures differ; empty if every pixel is equal."""
    if got.shape != want.shape:
        return f"size {got.shape[1]}x{got.shape[0]}, want {want.shape[1]}x{want.shape[0]}"
    wrong = (got != want).any(axis=-1)
    if not wrong.any():
        return ""
    rows, columns = np.nonzero(wrong)
    y, x = int(rows[0]), int(columns[0])
    return (
        f"{len(rows)} of {wrong.size} pixels differ, within x {columns.min()}..{columns.max()}, "
        f"y {rows.min()}..{rows.max()}; at ({x}, {y}) {got[y, x].tolist()}, "
        f"want {want[y, x].tolist()}"
    )


def assert_same(got: Picture, want: Picture, what: str = "picture") -> None:
    """Fail unless every pixel is equal."""
    text = difference(got, want)
    assert not text, f"{what}: {text}"


def colours(picture: Picture) -> int:
    """Number of different colours: 1 means that nothing is shown."""
    return len(np.unique(_packed(picture)))


def find(picture: Picture, part: Picture) -> tuple[int, int] | None:
    """Top-left corner (x, y) of the first exact copy of `part`, or None."""
    height, width, _ = part.shape
    rows, columns = (a - b + 1 for a, b in zip(picture.shape[:2], part.shape[:2], strict=True))
    if rows < 1 or columns < 1:
        return None
    # A few pixels of the part leave few places to compare in full.
    there, wanted = _packed(picture), _packed(part)
    places = np.ones((rows, columns), bool)
    for y, x in zip(np.linspace(0, height - 1, 16, dtype=int), _spread(width), strict=True):
        places &= there[y : y + rows, x : x + columns] == wanted[y, x]
    for y, x in np.argwhere(places):
        if np.array_equal(picture[y : y + height, x : x + width], part):
            return int(x), int(y)
    return None


def _spread(width: int) -> list[int]:
    """Sixteen columns, in no order that a picture may have."""
    return [number * 7 % 16 * (width - 1) // 15 for number in range(16)]


def _packed(picture: Picture) -> NDArray[np.uint32]:
    """Each pixel as one number 0xRRGGBB."""
    wide = picture.astype(np.uint32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], np.uint32)
