"""Buffers kept over page flips: a guest flips between the same two or three.

Each flip announces a buffer by new descriptors, so it is the file that is
remembered, by its inode. What is kept has a descriptor of its own: as long as
that is open, no other file can get that inode.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from glview.scanout.memory import Memory

log = logging.getLogger(__name__)

MOST = 8  # buffers
MOST_BYTES = 512 << 20  # of buffers that the guest may have let go of already
MOST_SECONDS = 10.0  # since one was announced last


class Closable(Protocol):
    """What can be kept."""

    def close(self) -> None:
        """Let go of it."""


T = TypeVar("T", bound=Closable)


class Counts:
    """What became of the buffers that one guest announced.

    `imports` of them had to be imported or mapped, `hits` were there from
    before, and `evictions` were let go of for being too many or too old.
    """

    def __init__(self) -> None:
        self.imports = self.hits = self.evictions = 0

    @property
    def triple(self) -> tuple[int, int, int]:
        """The three, as they are now."""
        return self.imports, self.hits, self.evictions

    def __str__(self) -> str:
        return f"{self.imports} imports, {self.hits} hits, {self.evictions} evictions"


class _Entry(Generic[T]):
    def __init__(self, value: T, size: int) -> None:
        self.value = value
        self.size = size  # bytes
        self.used = 0.0  # monotonic seconds


class Kept(Generic[T]):
    """Owns what was added, least recently used first out. `name` is for the log."""

    def __init__(self, name: str) -> None:
        self.counts = Counts()
        self._name = name
        self._entries: dict[Hashable, _Entry[T]] = {}  # the most recently used is the last
        self._shape = (0, 0)

    def only(self, shape: tuple[int, int]) -> None:
        """Drop everything, unless it is of this width and height."""
        if shape != self._shape:
            self.forget()
            self._shape = shape

    def find(self, key: Hashable) -> T | None:
        """What was added under this key, if it is still here."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.counts.hits += 1
        self._put(key, entry)
        return entry.value

    def add(self, key: Hashable, value: T, size: int) -> None:
        """Keep a buffer of `size` bytes, in the place of what had the key before."""
        self.counts.imports += 1
        if key in self._entries:
            self._entries.pop(key).value.close()
        self._put(key, _Entry(value, size))

    def _put(self, key: Hashable, entry: _Entry[T]) -> None:
        entry.used = time.monotonic()
        self._entries[key] = entry
        self.tidy()

    def tidy(self) -> None:
        """Drop the least recently used beyond the bounds, never the newest. To be called often."""
        while len(self._entries) > 1:
            key = next(iter(self._entries))
            old = time.monotonic() - self._entries[key].used > MOST_SECONDS
            if not (old or len(self._entries) > MOST or self._size > MOST_BYTES):
                return
            self.counts.evictions += 1
            self._entries.pop(key).value.close()

    @property
    def _size(self) -> int:
        return sum(entry.size for entry in self._entries.values())

    def forget(self) -> None:
        """Drop everything."""
        for entry in self._entries.values():
            entry.value.close()
        self._entries.clear()

    def end(self) -> None:
        """The guest has gone: drop everything, say how it went, and count from 0."""
        self.forget()
        if self.counts.imports:
            log.info("%s: %s", self._name, self.counts)
        self.counts = Counts()


class Maps(Kept[Memory]):
    """Mappings of memory that QEMU shares. Making one anew costs a fault for every 16 pages."""

    def __init__(self) -> None:
        super().__init__("shared memory")

    def memory(self, fd: int, offset: int, size: int) -> Memory:
        """`size` bytes of `fd` from `offset`, a share for the caller to close.

        `fd` is taken over. Raises OSError where it cannot be mapped.
        """
        file = os.fstat(fd)
        key = file.st_dev, file.st_ino, offset, size
        memory = self.find(key)
        if memory is None or memory.blanked:
            memory = Memory(size, fd, offset)
            self.add(key, memory, size)
        else:
            os.close(fd)
        return memory.share()
