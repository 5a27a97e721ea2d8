"""The picture that is built from `Scanout` and `Update` calls.

A frame is received into memory that nobody looks at and shown only when
complete; a rectangle is received aside and copied in when complete. So the
main thread always reads whole pictures, and the listener thread never waits
for it: where the main thread is just reading the picture that a rectangle
belongs to, the picture is copied first (copy on write).
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from glview.scanout.formats import PixelFormat
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Mailbox
from glview.scanout.memory import Memory
from glview.scanout.source import PixelSource


class Buffer:
    """Memory for one picture, with its users counted under the shadow's lock."""

    def __init__(self, size: int) -> None:
        self.memory = Memory(size)
        self.users = 0
        self.readers = 0


class BytesSource(PixelSource):
    """A picture received as bytes; keeps its buffer from being received into.

    `reading()` keeps rectangles from being copied in, and the buffer from being
    received into even if the source is closed or renewed meanwhile.
    """

    def __init__(
        self, shadow: Shadow, buffer: Buffer, size: tuple[int, int], stride: int, fmt: PixelFormat
    ) -> None:
        super().__init__(buffer.memory, *size, stride, fmt)
        self._shadow = shadow
        self._buffer = buffer
        buffer.users += 1

    def reading(self) -> AbstractContextManager[object]:
        return _Reading(self._shadow, self._buffer)

    def renew(self, buffer: Buffer) -> None:
        """It is what is in `buffer` from here on, which is alike. Nobody else uses it now."""
        with self._shadow.lock:
            self._buffer.users -= 1
            buffer.users += 1
        self._buffer, self.memory = buffer, buffer.memory

    def close(self) -> None:
        if not self.closed:
            super().close()
            with self._shadow.lock:
                self._buffer.users -= 1


class _Reading:
    """See `BytesSource.reading`."""

    def __init__(self, shadow: Shadow, buffer: Buffer) -> None:
        self._shadow = shadow
        self._buffer = buffer

    def __enter__(self) -> None:
        with self._shadow.lock:
            self._buffer.users += 1
            self._buffer.readers += 1

    def __exit__(self, *error: object) -> None:
        with self._shadow.lock:
            self._buffer.users -= 1
            self._buffer.readers -= 1


class Shadow:
    """Owned by one listener thread; `lock` is shared with readers of its sources."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.lock = threading.Lock()
        self._mailbox = mailbox
        self._pool: list[Buffer] = []
        self._current: Buffer | None = None
        self._incoming: Buffer | None = None
        self._source: BytesSource | None = None  # published last
        self._size = (0, 0)  # shown
        self._extent = (0, 0)  # received: more than is shown where `crop` cut it
        self._stride = 0
        self._format: PixelFormat | None = None

    # -- whole frames ------------------------------------------------------

    def begin(self, size: int) -> memoryview:
        """Memory of `size` bytes to receive a whole frame into; nobody looks at it."""
        self._incoming = self._free(size)
        return self._incoming.memory.view

    def commit(self, width: int, height: int, stride: int, fmt: PixelFormat) -> None:
        """The frame begun last is complete: show it."""
        assert self._incoming is not None
        buffer, self._incoming = self._incoming, None
        rect = Rect(0, 0, width, height)
        source = self._source
        alike = self.is_all(rect, fmt) and stride == self._stride
        passed = (
            alike
            and source is not None
            and self._mailbox.renew(source, rect, lambda: source.renew(buffer))
        )
        self._adopt(buffer, (width, height), stride, fmt)
        if not passed:
            self._publish(rect)

    def is_all(self, rect: Rect, fmt: PixelFormat) -> bool:
        """Whether that is the whole picture, as it is already."""
        same = rect == (0, 0, *self._size) and self._size == self._extent
        return same and fmt is self._format

    # -- rectangles --------------------------------------------------------

    def holds(self, rect: Rect, fmt: PixelFormat) -> bool:
        """Whether that is a part of the picture, as it is already."""
        x, y, width, height = rect
        size = self._size
        return fmt is self._format and x + width <= size[0] and y + height <= size[1]

    def patch(self, rect: Rect, fmt: PixelFormat, pixels: memoryview, stride: int) -> None:
        """Copy a received rectangle into the picture, growing it where needed.

        `pixels` has rows `stride` bytes apart.
        """
        fresh = self._make_room(rect, fmt)
        assert self._current is not None
        if self._current.readers > 0:
            self._mailbox.settle()  # it may have been read since
        with self.lock:
            busy = self._current.readers > 0
            if not busy:
                self._copy_in(rect, pixels, stride)
        if busy:
            self._duplicate()
            self._copy_in(rect, pixels, stride)
        if fresh:
            self._publish(Rect(0, 0, *self._size))
        elif busy:
            self._publish(rect, supersedes=False)
        else:
            self._mailbox.put_damage(rect)

    def crop(self, width: int, height: int) -> None:
        """The console is this large now: show no more than that (it may have shrunk).

        What was cut comes back if the console turns out to be larger.
        """
        if self._current is None or self._format is None:
            return
        size = min(width, self._extent[0]), min(height, self._extent[1])
        if size != self._size and size[0] > 0 and size[1] > 0:
            self._size = size
            self._publish(Rect(0, 0, *size))

    def forget(self) -> None:
        """Another kind of scanout took over."""
        if self._current is not None:
            with self.lock:
                self._current.users -= 1
        self._current = self._incoming = self._source = None
        self._format = None
        self._size = self._extent = (0, 0)
        self._pool.clear()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that is shown, (0, 0) where there is none."""
        return self._size

    # -- inside ------------------------------------------------------------

    def _free(self, size: int) -> Buffer:
        """A buffer without users, of the pool or new; odd sizes leave the pool."""
        with self.lock:
            self._pool = [b for b in self._pool if b.users or b.memory.size == size]
            for buffer in self._pool:
                if not buffer.users:
                    return buffer
        buffer = Buffer(size)
        self._pool.append(buffer)
        return buffer

    def _adopt(self, buffer: Buffer, size: tuple[int, int], stride: int, fmt: PixelFormat) -> None:
        with self.lock:
            if self._current is not None:
                self._current.users -= 1
            buffer.users += 1
        self._current, self._size, self._stride, self._format = buffer, size, stride, fmt
        self._extent = size

    def _publish(self, damage: Rect, *, supersedes: bool = True) -> None:
        assert self._current is not None
        assert self._format is not None
        with self.lock:
            source = BytesSource(self, self._current, self._size, self._stride, self._format)
        self._source = source
        self._mailbox.put_source(source, damage, updated=True, supersedes=supersedes)

    def _make_room(self, rect: Rect, fmt: PixelFormat) -> bool:
        """Have a picture that holds `rect`; True where it is another one than before."""
        if self.holds(rect, fmt):
            return False
        size = extent = rect.x + rect.width, rect.y + rect.height
        if self._format is fmt:
            extent = _union(extent, self._extent)  # what a crop has hidden is still good
            size = _union(size, self._size)
            if extent == self._extent:
                grown = size != self._size
                self._size = size
                return grown
        old, old_extent, old_stride = self._current, self._extent, self._stride
        keep = old is not None and self._format is fmt
        stride = extent[0] * fmt.size
        buffer = self._free(stride * extent[1])
        buffer.memory.view[:] = bytes(stride * extent[1])
        if keep and old is not None:
            row, count = old_extent[0] * fmt.size, old_extent[1]
            _copy_rows(buffer.memory.view, 0, stride, old.memory.view, old_stride, row, count)
        self._adopt(buffer, extent, stride, fmt)
        self._size = size
        return True

    def _duplicate(self) -> None:
        old, size = self._current, self._size
        assert old is not None
        assert self._format is not None
        copy = self._free(old.memory.size)
        copy.memory.view[:] = old.memory.view
        self._adopt(copy, self._extent, self._stride, self._format)
        self._size = size

    def _copy_in(self, rect: Rect, pixels: memoryview, step: int) -> None:
        assert self._current is not None
        assert self._format is not None
        size = self._format.size
        start = rect.y * self._stride + rect.x * size
        row = rect.width * size
        _copy_rows(self._current.memory.view, start, self._stride, pixels, step, row, rect.height)


def _union(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """The size that holds both."""
    return max(one[0], other[0]), max(one[1], other[1])


def _copy_rows(
    target: memoryview, start: int, stride: int, rows: memoryview, step: int, row: int, count: int
) -> None:
    """Copy `count` rows of `row` bytes, `step` apart, to `start`, `stride` apart."""
    if row == stride == step:
        target[start : start + row * count] = rows[: row * count]
        return
    for at in range(0, step * count, step):
        target[start : start + row] = rows[at : at + row]
        start += stride
