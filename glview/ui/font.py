"""The overlay's font: one fixed-width face, baked at three sizes.

`font.bin` is made by `scripts/make-font`; all numbers are little-endian:

    "GLVF"  u16 faces  u16 characters
    characters x u16           code points; the first, U+FFFD, stands for all others
    faces x:
        u8 cell width  u8 cell height  u32 length
        length bytes           zlib: characters x height x width bytes of coverage

Reading it takes neither numpy nor an image library; a face is unpacked when it is
first wanted.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

REPLACEMENT = "\ufffd"
_FILE = Path(__file__).with_name("font.bin")
_HEADER = struct.Struct("<4sHH")
_FACE = struct.Struct("<BBI")


class Face(NamedTuple):
    """One size of the font; a cell is `width` x `height` pixels."""

    width: int
    height: int
    cells: dict[str, bytes]

    def cell(self, char: str) -> bytes:
        """`height` rows of `width` bytes of coverage, an empty box if unknown."""
        return self.cells.get(char) or self.cells[REPLACEMENT]


@cache
def face(scale: int) -> Face:
    """The face for `scale` (1 to `scales()`): cells of 8 x 16 pixels times scale."""
    _, count, start = _header()
    data = _data()
    chars = struct.unpack_from(f"<{count}H", data, _HEADER.size)
    for _ in range(scale - 1):
        start += _FACE.size + _FACE.unpack_from(data, start)[2]
    width, height, length = _FACE.unpack_from(data, start)
    start += _FACE.size
    coverage = zlib.decompress(data[start : start + length])
    size = width * height
    cells = {chr(c): coverage[i * size : (i + 1) * size] for i, c in enumerate(chars)}
    return Face(width, height, cells)


def scales() -> int:
    """The number of sizes, 1 being the smallest."""
    return _header()[0]


@cache
def _data() -> bytes:
    return _FILE.read_bytes()


def _header() -> tuple[int, int, int]:
    """Number of faces, number of characters, offset of the first face."""
    _, faces, count = _HEADER.unpack_from(_data())
    return faces, count, _HEADER.size + 2 * count
