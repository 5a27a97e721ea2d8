"""Random bytes in shared memory, and the picture that they are."""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
from types import TracebackType
from typing import Self

import numpy as np

from tests.support.layouts import Bytes, Layout
from tests.support.screen import Picture

Rect = tuple[int, int, int, int]

_seeds = itertools.count()
"""No canvas begins as another one ended, so that a picture left over is not taken for a new one."""


class Canvas:
    """A buffer of `width` x `height` pixels, rows `stride` bytes apart, in a memory file.

    Every byte is random, those between and behind the rows too: whoever shows
    them is seen. `fd` is open as long as the canvas; a context manager.
    With `short` the file ends with the last pixel. As dma-bufs it cannot be made
    shorter, unless it is `shrinkable`, as QEMU's shared memory is.
    """

    def __init__(
        self,
        layout: Layout,
        width: int,
        height: int,
        stride: int | None = None,
        *,
        offset: int = 0,
        short: bool = False,
        shrinkable: bool = False,
    ) -> None:
        row = width * layout.size
        stride = row if stride is None else stride
        size = offset + stride * (height - 1) + (row if short else stride)
        self.fd = os.memfd_create("canvas", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        if not shrinkable:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._random = np.random.default_rng(next(_seeds))
        self.memory: Bytes = np.frombuffer(mmap.mmap(self.fd, size), np.uint8)
        self.memory[:] = self._random.integers(0, 256, size, np.uint8)
        self.reshape(layout, width, height, stride, offset=offset)

    def reshape(
        self, layout: Layout, width: int, height: int, stride: int | None = None, *, offset: int = 0
    ) -> None:
        """Let the same memory be another picture, which must lie inside it."""
        self.layout, self.width, self.height, self.offset = layout, width, height, offset
        self.stride = width * layout.size if stride is None else stride
        shape, steps = (height, width, layout.size), (self.stride, layout.size, 1)
        self._pixels = np.lib.stride_tricks.as_strided(self.memory[offset:], shape, steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)

    @property
    def all(self) -> Rect:
        """The whole of it."""
        return 0, 0, self.width, self.height

    def scribble(self, x: int, y: int, width: int, height: int) -> None:
        """Change every pixel of a rectangle, of which no more than what is inside counts."""
        part = self._pixels[max(y, 0) : y + height, max(x, 0) : x + width]
        part ^= self._random.integers(1, 256, part.shape, np.uint8)

    def paint(self, value: int) -> None:
        """Set every byte of the memory."""
        self.memory[:] = value

    def packed(self, x: int, y: int, width: int, height: int) -> bytes:
        """The rows of a rectangle with nothing between them."""
        return self._pixels[y : y + height, x : x + width].tobytes()

    def rows(self) -> bytes:
        """`stride * height` bytes from the first pixel."""
        return self.memory[self.offset :].tobytes()

    def picture(self, rect: Rect | None = None, *, bottom_up: bool = False) -> Picture:
        """What a rectangle of the picture looks like now; `bottom_up` as of `Dmabuf`."""
        x, y, width, height = rect or self.all
        rows = self._pixels[::-1] if bottom_up else self._pixels
        return self.layout.decode(rows[y : y + height, x : x + width])
