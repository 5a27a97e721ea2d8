"""Imported buffers, kept over page flips: a guest flips between the same two or three.

Each flip announces a buffer by new descriptors, so it is the buffer that is
remembered, by its inode. Each entry holds descriptors of its own: as long as
it does, no other buffer can get that inode.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field

from glview.errors import NoGraphicsError
from glview.gl.dmabuf import DmabufTexture, Importer
from glview.scanout.source import DmabufSource

log = logging.getLogger(__name__)

MOST = 8  # buffers
MOST_BYTES = 512 << 20  # of buffers that the guest may have let go of already
MOST_SECONDS = 10.0  # since one was announced last

_Key = tuple[tuple[tuple[int, int, int, int], ...], tuple[int, int], int, int]


@dataclass
class _Entry:
    texture: DmabufTexture
    size: int  # bytes
    fds: list[int] = field(default_factory=list)
    used: float = 0.0  # monotonic seconds

    def close(self) -> None:
        self.texture.close()
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


class ImportCache:
    """Textures of dma-bufs, imported once for each buffer. Owns them.

    `imports`, `hits` and `evictions` count what happened so far.
    """

    def __init__(self, importer: Importer) -> None:
        self._importer = importer
        self._entries: dict[_Key, _Entry] = {}  # the most recently used is the last
        self._size = (0, 0)
        self.hits = 0
        self.evictions = 0

    @property
    def imports(self) -> int:
        """How many buffers were imported."""
        return self._importer.imports

    def texture(self, source: DmabufSource) -> DmabufTexture:
        """The buffer as a texture, the cache's to close. Raises NoGraphicsError.

        On success the source is closed: the buffer is held here from now on.
        """
        size = source.backing_width, source.backing_height
        if size != self._size:
            self.forget()
            self._size = size
        key = _identify(source)
        entry = self._entries.pop(key, None)
        if entry is None:
            entry = self._import(source)
        else:
            self.hits += 1
        entry.used = time.monotonic()
        entry.texture.show(source)
        self._entries[key] = entry
        source.close()
        self._evict(entry.used)
        return entry.texture

    def _import(self, source: DmabufSource) -> _Entry:
        entry = _Entry(self._importer.texture(source), sum(_length(p.fd) for p in source.planes))
        try:
            for fd in {plane.fd for plane in source.planes}:
                entry.fds.append(os.dup(fd))
        except OSError as error:
            entry.close()
            raise NoGraphicsError(
                f"a dma-buf cannot be kept: {error.strerror}", "raise the limit of open files"
            ) from None
        return entry

    def _evict(self, now: float) -> None:
        """Drop the least recently used beyond the bounds, never the newest."""
        total = sum(entry.size for entry in self._entries.values())
        for key, entry in list(self._entries.items())[:-1]:
            old = now - entry.used > MOST_SECONDS
            if not (old or total > MOST_BYTES or len(self._entries) > MOST):
                return
            total -= entry.size
            self.evictions += 1
            self._entries.pop(key).close()

    def forget(self) -> None:
        """Drop everything."""
        if self._entries:
            counts = self.imports, self.hits, self.evictions
            log.debug("dma-bufs: %d imported, %d known already, %d evicted", *counts)
        for entry in self._entries.values():
            entry.close()
        self._entries.clear()


def _identify(source: DmabufSource) -> _Key:
    planes = []
    for plane in source.planes:
        file = os.fstat(plane.fd)
        planes.append((file.st_dev, file.st_ino, plane.offset, plane.stride))
    size = source.backing_width, source.backing_height
    return tuple(planes), size, source.fourcc, source.modifier


def _length(fd: int) -> int:
    return os.lseek(fd, 0, os.SEEK_END)
