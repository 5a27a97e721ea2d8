"""What the guest shows, and which of QEMU's calls tells which listener about it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from glview.testing.link import Reply
from glview.testing.listener import FakeListener
from glview.testing.pictures import DRM_TWINS, PIXMAN, MemfdPicture, fourcc

T = TypeVar("T")

_GONE = (ConnectionError, TimeoutError)  # what a client that left, or reads nothing, brings about

_FOURCC = {PIXMAN[name]: fourcc(twin) for name, twin in DRM_TWINS.items()}


class Transport(Enum):
    """How the picture reaches the client.

    BYTES: gl=off and a surface that cannot be shared. MAP: gl=off and one that can, for
    listeners that take it, bytes for the others. DMABUF: gl=on; the planes are memory files.
    """

    BYTES = "bytes"
    MAP = "map"
    DMABUF = "dmabuf"


class Cursor(NamedTuple):
    """A sprite, premultiplied B, G, R, A bytes of shape (height, width, 4)."""

    sprite: NDArray[np.uint8]
    hot_x: int
    hot_y: int


class Output:
    """One console's picture and its listeners; whoever draws calls `switch` and `update`.

    A listener whose client leaves in the middle of a call is left alone: it is removed by
    whoever watches it. Threads may share an output.
    """

    def __init__(self, transport: Transport = Transport.MAP) -> None:
        self.transport = transport
        self.surface: MemfdPicture | None = None
        self.listeners: list[FakeListener] = []
        self._cursor: Cursor | None = None
        self._mouse = (0, 0, 0)
        self._lock = threading.RLock()
        self._mapped: dict[FakeListener, MemfdPicture] = {}

    def add(self, listener: FakeListener) -> None:
        """A listener has registered: it gets picture, cursor and mouse, as far as there are any."""
        with self._lock:
            self.listeners.append(listener)
            if self.surface is not None:
                with contextlib.suppress(*_GONE):
                    self._greet(listener, self.surface)

    def _greet(self, listener: FakeListener, surface: MemfdPicture) -> None:
        if self.transport is Transport.DMABUF:
            self._scanout_dmabuf(listener, surface)
        else:
            self._update_software(listener, surface, (0, 0, surface.width, surface.height))
        if self._cursor is not None:
            self._send_cursor(listener, self._cursor)
        listener.mouse_set(*self._mouse)
        if self.transport is Transport.DMABUF:
            listener.update_dmabuf(0, 0, surface.width, surface.height)

    def remove(self, listener: FakeListener) -> None:
        """The listener's client has gone."""
        with self._lock:
            self.listeners.remove(listener)
            self._mapped.pop(listener, None)

    def switch(self, surface: MemfdPicture) -> None:
        """Show `surface` from now on; it stays the caller's to close, after the next switch.

        With gl=off nothing is sent before the next `update`, as in QEMU.
        """
        with self._lock:
            self.surface = surface
            self._mapped.clear()
            if self.transport is Transport.DMABUF:
                self._each(lambda listener: self._scanout_dmabuf(listener, surface))

    def blank(self) -> None:
        """There is no picture any more: nothing is sent, and who comes now gets nothing."""
        with self._lock:
            self.surface = None
            self._mapped.clear()

    def update(self, x: int, y: int, width: int, height: int) -> list[Reply]:
        """Tell everybody that a rectangle has changed.

        With gl=on this waits as the guest does, for all replies, which are returned.
        """
        with self._lock:
            surface, rect = self.surface, (x, y, width, height)
            if surface is None:
                raise RuntimeError("update before switch: there is no surface")
            if self.transport is Transport.DMABUF:
                pending = self._each(lambda listener: listener.update_dmabuf_later(*rect))
                return [call.wait() for call in pending]
            self._each(lambda listener: self._update_software(listener, surface, rect))
            return []

    def _update_software(
        self, listener: FakeListener, surface: MemfdPicture, rect: tuple[int, int, int, int]
    ) -> None:
        if self._map(listener, surface):
            listener.update_map(*rect)
        elif rect == (0, 0, surface.width, surface.height):
            listener.scanout(*rect[2:], surface.stride, surface.code, surface.all_rows())
        else:
            data = surface.rectangle(*rect)
            listener.update(*rect, data.nbytes // rect[3], surface.code, data)

    def _map(self, listener: FakeListener, surface: MemfdPicture) -> bool:
        """Whether `listener` sees the surface's memory; offers it if it has not been."""
        if self.transport is not Transport.MAP or not listener.can_map:
            return False
        if self._mapped.get(listener) is surface:
            return True
        reply = listener.scanout_map(
            surface.fd, surface.offset, surface.width, surface.height, surface.stride, surface.code
        )
        if reply.ok:
            self._mapped[listener] = surface
        return reply.ok

    def _scanout_dmabuf(self, listener: FakeListener, surface: MemfdPicture) -> None:
        size, code = (surface.width, surface.height), _FOURCC[surface.code]
        if listener.has_dmabuf2:
            listener.scanout_dmabuf2(
                (surface.fd,), 0, 0, *size, (surface.offset,), (surface.stride,), 1, code, *size
            )
        else:
            listener.scanout_dmabuf(surface.fd, *size, surface.stride, code)

    def define_cursor(self, sprite: NDArray[np.uint8], hot_x: int = 0, hot_y: int = 0) -> None:
        """Give the cursor a shape: B, G, R, A bytes, premultiplied, (height, width, 4)."""
        with self._lock:
            self._cursor = Cursor(np.ascontiguousarray(sprite), hot_x, hot_y)
            cursor = self._cursor
            self._each(lambda listener: self._send_cursor(listener, cursor))

    def move_cursor(self, x: int, y: int, on: bool = True) -> None:
        """Put the sprite's top left corner at x, y, or hide it."""
        with self._lock:
            self._mouse = (x, y, int(on))
            self._each(lambda listener: listener.mouse_set(*self._mouse))

    @staticmethod
    def _send_cursor(listener: FakeListener, cursor: Cursor) -> None:
        height, width = cursor.sprite.shape[:2]
        listener.cursor_define(width, height, cursor.hot_x, cursor.hot_y, cursor.sprite.data)

    def _each(self, act: Callable[[FakeListener], T]) -> list[T]:
        """`act` on each listener; those whose client leaves meanwhile are left out."""
        results = []
        for listener in tuple(self.listeners):
            with contextlib.suppress(*_GONE):
                results.append(act(listener))
        return results
