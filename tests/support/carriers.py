"""How a canvas gets to the viewer: one way for each kind of scanout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from glview.testing import FakeListener
from glview.testing.link import Reply
from tests.support.canvas import Canvas, Rect


class Carrier(Protocol):
    """A kind of scanout."""

    def show(self, listener: FakeListener, canvas: Canvas) -> None:
        """Announce the canvas and that all of it has changed."""

    def update(self, listener: FakeListener, canvas: Canvas, rect: Rect) -> None:
        """Announce that a rectangle has changed."""


class Sent:
    """As bytes: Scanout and Update."""

    def show(self, listener: FakeListener, canvas: Canvas) -> None:
        size, stride = (canvas.width, canvas.height), canvas.stride
        listener.scanout(*size, stride, canvas.layout.pixman, canvas.rows())

    def update(self, listener: FakeListener, canvas: Canvas, rect: Rect) -> None:
        stride = rect[2] * canvas.layout.size
        listener.update(*rect, stride, canvas.layout.pixman, canvas.packed(*rect))


class Mapped:
    """As shared memory: ScanoutMap and UpdateMap."""

    def show(self, listener: FakeListener, canvas: Canvas) -> None:
        reply = listener.scanout_map(
            *(canvas.fd, canvas.offset, canvas.width, canvas.height),
            *(canvas.stride, canvas.layout.pixman),
        )
        assert reply.ok, reply
        self.update(listener, canvas, canvas.all)

    def update(self, listener: FakeListener, canvas: Canvas, rect: Rect) -> None:
        listener.update_map(*rect)


@dataclass(frozen=True)
class Dmabuf:
    """As a dma-buf: ScanoutDMABUF, or ScanoutDMABUF2 with `version` 2, and UpdateDMABUF.

    `bottom_up` says that the first row in memory is the lowest of the picture.
    """

    version: int = 2
    bottom_up: bool = False
    modifier: int = 0

    def show(self, listener: FakeListener, canvas: Canvas) -> None:
        self.announce(listener, canvas, canvas.all)
        self.update(listener, canvas, canvas.all)

    def announce(self, listener: FakeListener, canvas: Canvas, rect: Rect) -> None:
        """Announce a rectangle of rows in memory, which version 1 cannot, as the scanout."""
        size, code = (canvas.width, canvas.height), canvas.layout.drm
        stride, modifier, bottom_up = canvas.stride, self.modifier, self.bottom_up
        if self.version == 1:
            listener.scanout_dmabuf(canvas.fd, *size, stride, code, modifier, bottom_up)
            return
        planes = (canvas.offset,), (stride,), 1
        listener.scanout_dmabuf2((canvas.fd,), *rect, *planes, code, *size, modifier, bottom_up)

    def update(self, listener: FakeListener, canvas: Canvas, rect: Rect) -> None:
        reply: Reply = listener.update_dmabuf(*rect)
        assert reply.ok, reply
