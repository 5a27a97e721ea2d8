"""Test pictures: RGB arrays, the same in any pixel format, and memory files that hold them.

A picture is a numpy array of shape (height, width, 3), dtype uint8, channels R, G, B, row 0 on
top. `pack` turns it into the bytes of a pixel format and `unpack` back. Both take the format
apart by the bit fields of its pixman code (pixman.h: bits per pixel, order, width of each
channel) and use no table of the viewer, so that they can judge the viewer's.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

PIXMAN = {
    "x8r8g8b8": 0x20020888,
    "a8r8g8b8": 0x20028888,
    "x8b8g8r8": 0x20030888,
    "a8b8g8r8": 0x20038888,
    "b8g8r8x8": 0x20080888,
    "b8g8r8a8": 0x20088888,
    "r8g8b8x8": 0x20090888,
    "r8g8b8a8": 0x20098888,
    "b8g8r8": 0x18030888,
    "r8g8b8": 0x18020888,
    "r5g6b5": 0x10020565,
    "x1r5g5b5": 0x10020555,
}
"""pixman codes of every format that QEMU may send in Scanout, Update and ScanoutMap."""

DRM_TWINS = {
    "x8r8g8b8": "XR24",
    "a8r8g8b8": "AR24",
    "x8b8g8r8": "XB24",
    "a8b8g8r8": "AB24",
    "b8g8r8x8": "BX24",
    "b8g8r8a8": "BA24",
    "r8g8b8x8": "RX24",
    "r8g8b8a8": "RA24",
    "b8g8r8": "BG24",
    "r8g8b8": "RG24",
    "r5g6b5": "RG16",
    "x1r5g5b5": "XR15",
}
"""The DRM fourcc, as text, that names the same memory layout."""

XRGB8888 = PIXMAN["x8r8g8b8"]

_REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)


def fourcc(text: str) -> int:
    """The number of a four-letter DRM code: ``fourcc("XR24") == 0x34325258``."""
    return int.from_bytes(text.encode("ascii"), "little")


def bytes_per_pixel(code: int) -> int:
    """Bytes that one pixel of pixman format `code` takes."""
    return code >> 27


@dataclass(frozen=True)
class _Channels:
    """Bit position and width of R, G, B and of the rest (alpha or filler) in a pixel word."""

    shifts: tuple[int, int, int]
    widths: tuple[int, int, int]
    filler: int


def _channels(code: int) -> _Channels:
    """Where pixman puts the channels: by the type field, from the low or the high end."""
    bits, kind = code >> 24, code >> 16 & 0xFF
    red, green, blue = code >> 8 & 0xF, code >> 4 & 0xF, code & 0xF
    shifts = {
        2: (green + blue, blue, 0),  # ARGB: blue lowest
        3: (0, red, red + green),  # ABGR: red lowest
        8: (bits - blue - green - red, bits - blue - green, bits - blue),  # BGRA: blue highest
        9: (bits - red, bits - red - green, bits - red - green - blue),  # RGBA: red highest
    }[kind]
    widths = (red, green, blue)
    colour = sum(((1 << w) - 1) << s for w, s in zip(widths, shifts, strict=True))
    return _Channels(shifts, widths, ((1 << bits) - 1) & ~colour)


def pack(picture: Picture, code: int, *, filler: int = 0xA5A5A5A5) -> NDArray[np.uint8]:
    """`picture` in pixman format `code`: shape (height, width * bytes per pixel), little-endian.

    Alpha or unused bits are taken from `filler`: they mean nothing in a scanout, and a value
    that is neither 0 nor all ones shows a viewer that reads them.
    """
    layout, size = _channels(code), bytes_per_pixel(code)
    words = np.full(picture.shape[:2], filler & layout.filler, np.uint32)
    for channel, (shift, width) in enumerate(zip(layout.shifts, layout.widths, strict=True)):
        words |= (picture[:, :, channel].astype(np.uint32) >> (8 - width)) << shift
    little = words.astype("<u4").view(np.uint8).reshape(*words.shape, 4)[:, :, :size]
    return np.ascontiguousarray(little).reshape(picture.shape[0], -1)


def unpack(data: NDArray[np.uint8], code: int) -> Picture:
    """The picture that rows of `data` (height, width * bytes per pixel) show in format `code`.

    Channels of fewer than 8 bits are widened as pixman does it, by repeating their high bits,
    which is what QEMU's screendump shows.
    """
    layout, size = _channels(code), bytes_per_pixel(code)
    raw = np.zeros((data.shape[0], data.shape[1] // size, 4), np.uint8)
    raw[:, :, :size] = data.reshape(data.shape[0], -1, size)
    words = raw.view("<u4")[:, :, 0]
    channels = [
        _widen(words >> shift & (1 << width) - 1, width)
        for shift, width in zip(layout.shifts, layout.widths, strict=True)
    ]
    return np.stack(channels, axis=2)


def _widen(values: NDArray[np.integer[Any]], width: int) -> Picture:
    high = values << (8 - width)
    return (high | high >> width).astype(np.uint8)


def unique(width: int, height: int) -> Picture:
    """Every pixel differs from every other, up to 4096 x 4096.

    Red names the column and green the row, bits reversed so that neighbours differ in the high
    bits, which a 16 bit format keeps; blue holds what is left of both.
    """
    x, y = np.arange(width)[np.newaxis, :], np.arange(height)[:, np.newaxis]
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, :, 0] = _REVERSED[x & 0xFF]
    picture[:, :, 1] = _REVERSED[y & 0xFF]
    picture[:, :, 2] = (x >> 8 & 0xF) << 4 | (y >> 8 & 0xF)
    return picture


def gradient(width: int, height: int) -> Picture:
    """Red grows to the right, green downwards, blue is constant."""
    picture = np.full((height, width, 3), 64, np.uint8)
    picture[:, :, 0] = np.linspace(0, 255, width, dtype=np.uint8)[np.newaxis, :]
    picture[:, :, 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, np.newaxis]
    return picture


def bars(width: int, height: int, shift: int = 0) -> Picture:
    """The eight full colours as vertical bars, moved right by `shift` pixels, wrapping."""
    index = (np.arange(width) - shift) % width * 8 // width
    row = (index[:, np.newaxis] >> np.array([0, 1, 2]) & 1).astype(np.uint8) * 255
    return np.repeat(row[np.newaxis], height, axis=0)


def moving_square(width: int, height: int, frame: int, size: int = 64) -> Picture:
    """A white square on the gradient; it moves 4 pixels right and 3 down each frame."""
    picture = gradient(width, height)
    x, y = frame * 4 % max(1, width - size), frame * 3 % max(1, height - size)
    picture[y : y + size, x : x + size] = 255
    return picture


@dataclass
class MemfdPicture:
    """A scanout in a memory file, as QEMU shares it: owns `fd`, which `close` closes.

    `memory` is the whole live file, shape (size,); `pixels` the scanout in it, shape (height,
    width * bytes per pixel). Writing to them changes what every other mapping sees.
    """

    fd: int
    width: int
    height: int
    offset: int
    stride: int
    code: int
    size: int
    memory: NDArray[np.uint8] = field(repr=False)
    pixels: NDArray[np.uint8] = field(repr=False)

    def draw(self, picture: Picture, x: int = 0, y: int = 0) -> None:
        """Write `picture` (RGB) with its top left corner at pixel x, y."""
        packed, size = pack(picture, self.code), bytes_per_pixel(self.code)
        self.pixels[y : y + packed.shape[0], x * size : x * size + packed.shape[1]] = packed

    def rectangle(self, x: int, y: int, width: int, height: int) -> memoryview:
        """The rows of a rectangle without anything between them, as Update carries them."""
        size = bytes_per_pixel(self.code)
        part = self.pixels[y : y + height, x * size : (x + width) * size]
        return np.ascontiguousarray(part).data

    def all_rows(self) -> memoryview:
        """``stride * height`` bytes from the first pixel, as Scanout carries them.

        Where the file ends sooner, zeros stand for what QEMU reads behind its end.
        """
        rows = self.memory[self.offset : self.offset + self.stride * self.height]
        missing = self.stride * self.height - rows.size
        return (np.append(rows, np.zeros(missing, np.uint8)) if missing else rows).data

    def picture(self) -> Picture:
        """What the memory shows now, as RGB."""
        return unpack(self.pixels, self.code)

    def close(self) -> None:
        """Close the fd, once; `pixels` stays usable, as in any other process that mapped it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def memfd_picture(
    picture: Picture,
    code: int = XRGB8888,
    *,
    offset: int = 0,
    stride: int | None = None,
    short_last_row: bool = False,
) -> MemfdPicture:
    """`picture` in a new memory file, `offset` bytes from its start, rows `stride` bytes apart.

    With `short_last_row` the file ends with the last pixel, as it does where a guest shows the
    bottom right corner of a bigger picture; otherwise the last row has its padding too. Bytes
    that belong to no pixel are 0xEE. The file is sealed against shrinking, as dma-bufs are by
    nature; QEMU's own are sealed against further seals only.
    """
    height, width = picture.shape[:2]
    row = width * bytes_per_pixel(code)
    stride = row if stride is None else stride
    if stride < row:
        raise ValueError(f"stride {stride} is less than a row of {row} bytes")
    size = offset + stride * (height - 1) + (row if short_last_row else stride)
    fd = os.memfd_create("displaysurface", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        memory = np.frombuffer(mmap.mmap(fd, size), np.uint8)
    except BaseException:
        os.close(fd)
        raise
    memory[:] = 0xEE
    pixels = np.lib.stride_tricks.as_strided(memory[offset:], (height, row), (stride, 1))
    result = MemfdPicture(fd, width, height, offset, stride, code, size, memory, pixels)
    result.draw(picture)
    return result
