"""What is on its way to the X server, and the short way for what comes next.

Most updates change nothing but pixels of a picture that the window shows as it
is. The main thread has then nothing to decide: it opens the lane, and the
listener thread puts such updates by itself. That saves waking a second thread,
which costs more than all the rest of a small update.

The lane is open for one source at a time. The main thread closes it before it
touches anything that the listener thread would: the frame, what is put, segments.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

from glview.errors import NoDisplayError
from glview.present.segments import Segment, Segments
from glview.present.xshm import Connection
from glview.scanout.geometry import Rect
from glview.scanout.source import PixelSource, Source


class Lane:
    """Puts by `connection` out of `segments`, at most `most` batches at a time.

    `fault` is what the X server refused. A batch holds its source until it is done,
    unless that is live.
    """

    def __init__(self, connection: Connection, segments: Segments, most: int) -> None:
        self._connection = connection
        self._segments = segments
        self._most = most
        self._lock = threading.Lock()  # for all below
        self._under_way: deque[AbstractContextManager[object] | None] = deque()  # what is read
        self._open: tuple[PixelSource, Segment] | None = None
        self._changed: Rect | None = None  # by puts since it was opened
        self.fault = ""

    # -- main thread -------------------------------------------------------

    @property
    def under_way(self) -> int:
        """Batches that the X server has not told the end of."""
        return len(self._under_way)

    def open(self, source: PixelSource, segment: Segment) -> None:
        """From here on the window shows `source` pixel by pixel, and all of its changes so far."""
        with self._lock:
            self._open = source, segment

    def close(self) -> Rect | None:
        """What the listener thread has put meanwhile; it puts nothing more."""
        with self._lock:
            self._open = None
            changed, self._changed = self._changed, None
            return changed

    def begin(self) -> None:
        """A batch without a source follows."""
        self._under_way.append(None)

    def put(self, source: PixelSource, segment: Segment, rect: Rect) -> None:
        """A batch: `rect` of `source` goes to the same place in the window."""
        reading = None if source.live else source.reading()
        if reading is not None:
            reading.__enter__()
        self._under_way.append(reading)
        offset, stride = source.memory.offset, source.stride
        x, y, width, height = rect
        # The X server wants whole rows, padding included; where the file ends
        # with the last pixel, the last row is one by itself.
        whole = min((segment.size - offset) // stride, source.height)
        pixels = segment.id, offset, stride // 4, whole
        if y + height <= whole:
            self._connection.put(pixels, rect, y, last=True)
            return
        if y < whole:
            self._connection.put(pixels, (x, y, width, whole - y), y, last=False)
        pixels = segment.id, offset + whole * stride, source.width, 1
        self._connection.put(pixels, (x, 0, width, 1), whole, last=True)

    def collect(self) -> None:
        """Take in which batches are done. Raises NoDisplayError."""
        with self._lock:
            self._collect()

    def drop(self) -> None:
        """Nothing that is under way will be told of."""
        with self._lock:
            self.fault = ""
            self._finish(len(self._under_way))

    # -- listener thread ---------------------------------------------------

    def offer(
        self, source: Source | None, rect: Rect, renew: Callable[[], None] | None = None
    ) -> bool:
        """See `Shortcut`."""
        with self._lock:
            if self._open is None:
                return False
            shown, segment = self._open
            if shown is not source or (shown.live and shown.memory.shrunk) or not self._free():
                return False
            if renew is not None:
                renew()
                segment = self._segments.of(shown)
                self._open = shown, segment
            self.put(shown, segment, rect)
            self._connection.flush()
            self._changed = rect.union(self._changed)
            return True

    def settle(self) -> bool:
        """Let go of sources that the X server has read. False where it has not, or failed."""
        with self._lock:
            return self._open is None or (self._free() and not self._under_way)

    # -- either ------------------------------------------------------------

    def _free(self) -> bool:
        """Whether another batch may begin; where not, the main thread finds out why."""
        try:
            self._collect()
        except NoDisplayError:
            return False
        return not self.fault and len(self._under_way) < self._most

    def _collect(self) -> None:
        if self._under_way:
            done, fault = self._connection.poll()
            self.fault = self.fault or fault
            self._finish(done)

    def _finish(self, batches: int) -> None:
        for _ in range(min(batches, len(self._under_way))):
            reading = self._under_way.popleft()
            if reading is not None:
                reading.__exit__(None, None, None)
