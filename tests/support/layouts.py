"""Pixel formats as their own headers define them, and what a screen must show of them.

The order of bits is copied from the comments of libdrm's drm_fourcc.h, which
writes a pixel as one little-endian number, highest bits first: XR24 is
"[31:0] x:R:G:B 8:8:8:8". pixman's codes name the same numbers. Nothing of the
viewer is used here: this judges it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.support.screen import Picture

Bytes = NDArray[np.uint8]


class Layout(NamedTuple):
    """`order` and `widths` are those of drm_fourcc.h: ("x:R:G:B", (8, 8, 8, 8))."""

    name: str
    pixman: int
    fourcc: str
    order: str
    widths: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes that a pixel takes."""
        return sum(self.widths) // 8

    @property
    def drm(self) -> int:
        """The fourcc as a number."""
        return sum(ord(letter) << 8 * place for place, letter in enumerate(self.fourcc))

    def decode(self, pixels: Bytes) -> Picture:
        """What the bytes of pixels, shape (height, width, size), look like: (height, width, 3)."""
        words = sum(pixels[..., i].astype(np.uint32) << np.uint32(8 * i) for i in range(self.size))
        words = np.asarray(words, np.uint32)
        fields, shift = {}, sum(self.widths)
        for letter, width in zip(self.order.split(":"), self.widths, strict=True):
            shift -= width
            fields[letter] = words >> np.uint32(shift) & np.uint32((1 << width) - 1), width
        return np.stack([widen(*fields[letter]) for letter in "RGB"], axis=-1)


def widen(values: NDArray[np.uint32], width: int) -> Bytes:
    """Channels of `width` bits as bytes: the bits are repeated until the byte is full."""
    if width == 8:
        return values.astype(np.uint8)
    assert 4 <= width < 8
    doubled = values << np.uint32(width) | values
    return (doubled >> np.uint32(2 * width - 8)).astype(np.uint8)


_8888, _888 = (8, 8, 8, 8), (8, 8, 8)

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("x8r8g8b8", 0x20020888, "XR24", "x:R:G:B", _8888),
        Layout("a8r8g8b8", 0x20028888, "AR24", "A:R:G:B", _8888),
        Layout("x8b8g8r8", 0x20030888, "XB24", "x:B:G:R", _8888),
        Layout("a8b8g8r8", 0x20038888, "AB24", "A:B:G:R", _8888),
        Layout("b8g8r8x8", 0x20080888, "BX24", "B:G:R:x", _8888),
        Layout("b8g8r8a8", 0x20088888, "BA24", "B:G:R:A", _8888),
        Layout("r8g8b8x8", 0x20090888, "RX24", "R:G:B:x", _8888),
        Layout("r8g8b8a8", 0x20098888, "RA24", "R:G:B:A", _8888),
        Layout("r8g8b8", 0x18020888, "RG24", "R:G:B", _888),
        Layout("b8g8r8", 0x18030888, "BG24", "B:G:R", _888),
        Layout("r5g6b5", 0x10020565, "RG16", "R:G:B", (5, 6, 5)),
        Layout("x1r5g5b5", 0x10020555, "XR15", "x:R:G:B", (1, 5, 5, 5)),
    )
}
