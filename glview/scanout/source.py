"""What holds the guest's pixels: our memory, QEMU's shared memory, or a dma-buf.

A source is made by the listener thread and owned by whoever holds it last:
the mailbox until the main thread takes it, then the renderer. Sources are
immutable except for the pixels themselves.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from glview.scanout.formats import PixelFormat
from glview.scanout.memory import Memory


class PixelSource:
    """Pixels in memory that the CPU can read.

    `width`, `height` in pixels, `stride` in bytes; the first pixel is at
    `memory.address`. `live` memory is QEMU's: it changes while we look.
    Once `closed`, the memory is no longer there.
    """

    live = False
    closed = False

    def __init__(
        self, memory: Memory, width: int, height: int, stride: int, fmt: PixelFormat
    ) -> None:
        self.memory = memory
        self.width = width
        self.height = height
        self.stride = stride
        self.format = fmt

    def reading(self) -> AbstractContextManager[object]:
        """Around reading the pixels: they hold still, unless they are live."""
        return nullcontext()

    def close(self) -> None:
        """Let go of the memory."""
        self.closed = True


class MapSource(PixelSource):
    """A picture in memory shared by QEMU (`ScanoutMap`); owns a share of its mapping."""

    live = True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.memory.close()


class Plane(NamedTuple):
    """One plane of a dma-buf: its fd (owned by the source), offset and stride in bytes."""

    fd: int
    offset: int
    stride: int


class DmabufSource:
    """A dma-buf scanout; owns the fds until `close`.

    The picture is the rectangle (x, y, width, height), in memory rows, of a
    buffer of (backing_width, backing_height). `y0_top` means that the first
    row in memory is the *bottom* of the picture (protocol and QEMU's
    gtk-egl.c agree; the name is about GL's idea of 0).
    """

    def __init__(
        self,
        planes: tuple[Plane, ...],
        rect: tuple[int, int, int, int],
        backing: tuple[int, int],
        fourcc: int,
        modifier: int,
        y0_top: bool,
    ) -> None:
        self.planes = planes
        self.x, self.y, self.width, self.height = rect
        self.backing_width, self.backing_height = backing
        self.fourcc = fourcc
        self.modifier = modifier
        self.y0_top = y0_top

    def close(self) -> None:
        """Close each distinct fd once; planes may share one."""
        fds = {plane.fd for plane in self.planes}
        self.planes = ()
        for fd in fds:
            os.close(fd)

    @property
    def whole(self) -> bool:
        """Whether the picture is the whole buffer, top row first.

        Only then do damage rectangles mean picture coordinates for certain:
        virgl gives resource coordinates, blob scanouts scanout coordinates.
        """
        return (
            not self.y0_top
            and (self.x, self.y) == (0, 0)
            and (self.width, self.height) == (self.backing_width, self.backing_height)
        )


Source = PixelSource | DmabufSource
