"""The guest's memory as the X server has it: every file attached once, not every frame."""

from __future__ import annotations

import os
from typing import NamedTuple

from glview.present.xshm import Connection
from glview.scanout.geometry import span
from glview.scanout.memory import Memory
from glview.scanout.source import PixelSource

# A guest flips between two pages, or three; a picture made of bytes has as many buffers.
_MOST = 4


class Segment(NamedTuple):
    """A file that the X server has attached, as large as it was then."""

    id: int
    size: int


class Segments:
    """Attaches the files of sources, and detaches them when the guest changes its mode.

    A guest that flips pages announces one of the same few files each time, by
    a new descriptor; so it is the file that is remembered, by its inode. The
    X server's mapping keeps an inode from being used again.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[int, int], Segment] = {}
        self._shape = (0, 0, 0)
        self._latest: tuple[Memory, Segment] | None = None

    def of(self, source: PixelSource) -> Segment:
        """The segment that holds `source`, attached if need be."""
        if self._latest is None or self._latest[0] is not source.memory:
            self._latest = source.memory, self._find(source)
        return self._latest[1]

    def _find(self, source: PixelSource) -> Segment:
        shape = source.width, source.height, source.stride
        if shape != self._shape:
            self.forget()
            self._shape = shape
        file = os.fstat(source.memory.fd)
        key = file.st_dev, file.st_ino
        end = source.memory.offset + span(*shape, source.format.size)
        known = self._known.pop(key, None)
        if known is not None and known.size < end:  # the file has grown since
            self._connection.detach(known.id)
            known = None
        if known is None:
            if len(self._known) == _MOST:
                self._drop(next(iter(self._known)))
            known = Segment(self._connection.attach(source.memory.fd), file.st_size)
        self._known[key] = known  # the most recent is the last
        return known

    def forget(self) -> None:
        """Detach everything."""
        for key in tuple(self._known):
            self._drop(key)
        self._latest = None

    def _drop(self, key: tuple[int, int]) -> None:
        self._connection.detach(self._known.pop(key).id)
