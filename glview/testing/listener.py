"""What QEMU does to one registered listener: authentication, GetAll, and a method per call."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any

from glview.dbus import sasl
from glview.dbus.wire import unwrap
from glview.testing import calls
from glview.testing.link import REPLY_TIMEOUT, Link, Pending, Pixels, Reply

GET_ALL_TIMEOUT = 25.0  # seconds, GDBus's default
ALL_OPTIONAL = (calls.MAP, calls.DMABUF2)


class FakeListener(Link):
    """A client's listener, seen from QEMU. Geometry is in pixels, offset and stride in bytes.

    Methods send one call each, with any arguments at all: checking them is the client's duty.
    Descriptors stay the caller's. All raise ConnectionError where the client has gone.
    `main_loop` is held while QEMU's main loop would stand still.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        optional: Iterable[str] = ALL_OPTIONAL,
        big_endian: bool = False,
        main_loop: AbstractContextManager[object] | None = None,
    ) -> None:
        super().__init__(sock, big_endian=big_endian)
        self.interfaces: list[str] = []
        self.can_map = False
        self.has_dmabuf2 = False
        self.auth_seconds = 0.0
        self.get_all_seconds: list[float] = []
        self._optional = tuple(optional)
        self._main_loop = main_loop or nullcontext()

    def register(self, get_all_timeout: float = GET_ALL_TIMEOUT) -> None:
        """Authenticate the client, then read its properties: QEMU's main loop waits for this.

        As in QEMU there is no time limit for authentication, and a GetAll that fails counts as
        an empty list. Raises AuthError, NotDBusError.
        """
        with self._main_loop:
            self._authenticate()
            self._read_properties(get_all_timeout)

    def _authenticate(self) -> None:
        start = monotonic()
        try:
            sasl.accept(self._sock, timeout=None)
        except BaseException:
            self._release()
            raise
        self.auth_seconds = monotonic() - start
        self.start()

    def _read_properties(self, get_all_timeout: float) -> None:
        self.interfaces = self._get_all(calls.LISTENER, get_all_timeout).get("Interfaces", [])
        listed = [name for name in self._optional if name in self.interfaces]
        for name in listed:
            self._get_all(name, get_all_timeout)
        self.can_map, self.has_dmabuf2 = calls.MAP in listed, calls.DMABUF2 in listed

    def _get_all(self, interface: str, timeout: float) -> dict[str, Any]:
        reply = self.call(calls.GET_ALL, (interface,), timeout=timeout).wait()
        self.get_all_seconds.append(reply.seconds)
        if not reply.ok or not reply.body or not isinstance(reply.body[0], dict):
            return {}
        properties: dict[str, Any] = unwrap(reply.body[0])
        return properties

    def scanout(
        self, width: int, height: int, stride: int, pixman_format: int, data: Pixels
    ) -> None:
        """A whole picture as bytes; QEMU sends ``stride * height`` of them."""
        self.post(calls.SCANOUT, (width, height, stride, pixman_format, b""), data=data)

    def update(
        self,
        x: int,
        y: int,
        width: int,
        height: int,
        stride: int,
        pixman_format: int,
        data: Pixels,
    ) -> None:
        """A rectangle as bytes, from QEMU packed: ``stride == width * bytes per pixel``."""
        args = (x, y, width, height, stride, pixman_format, b"")
        self.post(calls.UPDATE, args, data=data)

    def scanout_map(
        self,
        fd: int,
        offset: int,
        width: int,
        height: int,
        stride: int,
        pixman_format: int,
        timeout: float = REPLY_TIMEOUT,
    ) -> Reply:
        """Share memory and wait for the answer.

        An error or silence means no more maps for this listener: `can_map` is False then.
        """
        args = (0, offset, width, height, stride, pixman_format)
        with self._main_loop:
            reply = self.call(calls.SCANOUT_MAP, args, (fd,), timeout).wait()
        self.can_map = self.can_map and reply.ok
        return reply

    def update_map(self, x: int, y: int, width: int, height: int) -> None:
        """A rectangle of the shared memory has changed."""
        self.post(calls.UPDATE_MAP, (x, y, width, height))

    def scanout_dmabuf(
        self,
        fd: int,
        width: int,
        height: int,
        stride: int,
        fourcc: int,
        modifier: int = 0,
        y0_top: bool = False,
    ) -> None:
        """Version 1: one plane, no offset, no position."""
        args = (0, width, height, stride, fourcc, modifier, y0_top)
        self.post(calls.SCANOUT_DMABUF, args, (fd,))

    def scanout_dmabuf2(
        self,
        fds: tuple[int, ...],
        x: int,
        y: int,
        width: int,
        height: int,
        offsets: tuple[int, ...],
        strides: tuple[int, ...],
        num_planes: int,
        fourcc: int,
        backing_width: int,
        backing_height: int,
        modifier: int = 0,
        y0_top: bool = False,
    ) -> None:
        """A rectangle of a buffer of `num_planes` planes; `fds` may be fewer (shared planes)."""
        args = (
            list(range(len(fds))), x, y, width, height, list(offsets), list(strides), num_planes,
            fourcc, backing_width, backing_height, modifier, y0_top,
        )  # fmt: skip
        self.post(calls.SCANOUT_DMABUF2, args, fds)

    def update_dmabuf_later(
        self, x: int, y: int, width: int, height: int, timeout: float = REPLY_TIMEOUT
    ) -> Pending:
        """A rectangle of the buffer has changed; the reply is collected by `Pending.wait`."""
        return self.call(calls.UPDATE_DMABUF, (x, y, width, height), timeout=timeout)

    def update_dmabuf(self, x: int, y: int, width: int, height: int) -> Reply:
        """The same, waiting as the guest does."""
        return self.update_dmabuf_later(x, y, width, height).wait()

    def disable(self) -> None:
        """The scanout is switched off, or a dma-buf was released."""
        self.post(calls.DISABLE, ())

    def mouse_set(self, x: int, y: int, on: int) -> None:
        """Where the cursor sprite is, and whether it shows."""
        self.post(calls.MOUSE_SET, (x, y, on))

    def cursor_define(self, width: int, height: int, hot_x: int, hot_y: int, data: Pixels) -> None:
        """A cursor sprite: ``width * height`` words 0xAARRGGBB, premultiplied."""
        self.post(calls.CURSOR_DEFINE, (width, height, hot_x, hot_y, b""), data=data)
