"""Buffers of luma and chroma, and the picture that they are.

Order and sizes of samples are copied from the comments of libdrm's drm_fourcc.h, the
conversion is ITU-R BT.601 with black at 16 and white at 235, in real numbers: nothing
of the viewer is used here.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glview.testing import FakeListener
from glview.testing.pictures import fourcc
from tests.support.canvas import Rect
from tests.support.screen import Picture

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Yuv:
    """`planes` name the samples of each, in the order of memory; chroma is that of 2 pixels
    or, in a plane of its own, of 2 x 2. A sample has `bits`, the highest of its bytes.
    """

    fourcc: str
    planes: tuple[str, ...]
    bits: int = 8

    @property
    def sample(self) -> int:
        """Bytes of one."""
        return -(-self.bits // 8)

    def cells(self, plane: str, width: int, height: int) -> tuple[int, int]:
        """Columns and rows of a plane of a picture of even size."""
        across = 1 if plane == "Y" else 2
        down = 1 if "Y" in plane else 2
        return width // across, height // down


FORMATS = {
    layout.fourcc: layout
    for layout in (
        Yuv("NV12", ("Y", "UV")),
        Yuv("NV21", ("Y", "VU")),
        Yuv("P010", ("Y", "UV"), bits=10),
        Yuv("YU12", ("Y", "U", "V")),
        Yuv("YV12", ("Y", "V", "U")),
        Yuv("YUYV", ("YUYV",)),
        Yuv("UYVY", ("UYVY",)),
    )
}

TOLERANCE = {8: 1, 10: 4}
"""Of a channel, by bits: conversions round, and Mesa's takes 10 bits n as n * 64 / 65535, which
is 0.4 % less than n / 1023."""

_seeds = itertools.count()


class YuvBuffer:
    """A picture of `width` x `height`, each plane behind an offset, rows of `stride` bytes.

    All planes lie in one memory file or, `apart`, in one each. A context manager.
    """

    def __init__(self, layout: Yuv, width: int, height: int, *, apart: bool = False) -> None:
        self.layout, self.width, self.height = layout, width, height
        self._random = np.random.default_rng(next(_seeds))
        even = width + width % 2, height + height % 2
        self.strides: list[int] = []
        self.offsets: list[int] = []
        self.fds: list[int] = []
        self._planes: list[NDArray[np.uint8]] = []
        shapes = [layout.cells(plane, *even) for plane in layout.planes]
        rows = [
            columns * len(plane) * layout.sample
            for (columns, _), plane in zip(shapes, layout.planes, strict=True)
        ]
        end = 0
        for number, (row, (_, height_there)) in enumerate(zip(rows, shapes, strict=True)):
            self.strides.append(-(-row // 16) * 16 + 16 * number)
            self.offsets.append((0 if apart else end) + 64)
            end = self.offsets[-1] + self.strides[-1] * height_there
            if apart:
                self._take(_memory(end), end, [number])
        if not apart:
            self._take(_memory(end), end, range(len(rows)))
        self._rows = rows
        self._shapes = shapes
        self.scribble()

    def _take(self, fd: int, size: int, numbers: Sequence[int]) -> None:
        self.fds.append(fd)
        memory = np.frombuffer(mmap.mmap(fd, size), np.uint8)
        self._planes += [memory[self.offsets[number] :] for number in numbers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in self.fds:
            os.close(fd)

    def scribble(self) -> None:
        """Change every sample, and what is between the rows."""
        for plane in self._planes:
            plane[:] = self._random.integers(0, 256, len(plane), np.uint8)
            if self.layout.bits == 10:
                plane[: len(plane) // 2 * 2].view("<u2")[:] &= 0xFFC0

    def show(
        self, listener: FakeListener, rect: Rect | None = None, *, bottom_up: bool = False
    ) -> None:
        """Announce it, or a rectangle of rows in memory, and that all has changed."""
        x, y, width, height = rect or (0, 0, self.width, self.height)
        layout, count = self.layout, len(self.strides)
        listener.scanout_dmabuf2(
            *(tuple(self.fds), x, y, width, height, tuple(self.offsets), tuple(self.strides)),
            *(count, fourcc(layout.fourcc), self.width, self.height),
            y0_top=bottom_up,
        )
        self.update(listener)

    def update(self, listener: FakeListener) -> None:
        """Say that all has changed."""
        reply = listener.update_dmabuf(0, 0, self.width, self.height)
        assert reply.ok, reply

    def picture(self, rect: Rect | None = None, *, bottom_up: bool = False) -> Picture:
        """What a rectangle of the picture looks like; of rows in memory unless `bottom_up`."""
        x, y, width, height = rect or (0, 0, self.width, self.height)
        luma, blue, red = (self._samples(letter) for letter in "YUV")
        step = 1 << (self.layout.bits - 8)
        light = (luma / step - 16) / 219
        r = light + 2 * (1 - 0.299) * (red / step - 128) / 224
        b = light + 2 * (1 - 0.114) * (blue / step - 128) / 224
        g = (light - 0.299 * r - 0.114 * b) / (1 - 0.299 - 0.114)
        picture = np.rint(np.stack([r, g, b], axis=-1).clip(0, 1) * 255).astype(np.uint8)
        rows: Picture = picture[::-1] if bottom_up else picture
        return rows[y : y + height, x : x + width]

    def _samples(self, letter: str) -> Samples:
        """Those of one kind, for every pixel."""
        number = next(n for n, plane in enumerate(self.layout.planes) if letter in plane)
        order, (columns, rows) = self.layout.planes[number], self._shapes[number]
        stride, row = self.strides[number], self._rows[number]
        lines = np.lib.stride_tricks.as_strided(self._planes[number], (rows, row), (stride, 1))
        words = np.ascontiguousarray(lines).view(f"<u{self.layout.sample}")
        words = words >> (8 * self.layout.sample - self.layout.bits)
        cells = words.reshape(rows, columns, len(order)).astype(float)
        if letter == "Y":
            found = cells[:, :, [place for place, what in enumerate(order) if what == "Y"]]
            return np.asarray(found.reshape(rows, -1)[: self.height, : self.width])
        down = 1 if "Y" in order else 2
        wide = cells[:, :, order.index(letter)].repeat(2, axis=1).repeat(down, axis=0)
        return np.asarray(wide[: self.height, : self.width])


def _memory(size: int) -> int:
    """A memory file that stays as long as a dma-buf would."""
    fd = os.memfd_create("yuv", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return fd
