"""Pictures of a virtio GPU: guest memory, and for most kinds a copy in the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.support.vgpu import wire
from tests.support.vgpu.ram import Block
from tests.support.vgpu.wire import Bytes, Command, Format, Rect

if TYPE_CHECKING:
    from tests.support.vgpu.gpu import Gpu
    from tests.support.vgpu.virtio import Pending


class Resource:
    """`width` x `height` pixels under `id`, backed by pages of guest RAM.

    Its kind says how pixels get from there to the host. `Gpu` makes them.
    """

    def __init__(
        self,
        gpu: Gpu,
        fmt: Format,
        width: int,
        height: int,
        *,
        stride: int = 0,
        offset: int = 0,
    ) -> None:
        self.gpu, self.format = gpu, fmt
        self.width, self.height = width, height
        self.stride = stride or 4 * width
        self.offset = offset
        self.id = gpu.new_id()
        self.block: Block = gpu.ram.allocate(offset + self.stride * height)
        shape, steps = (height, width, 4), (self.stride, 4, 1)
        first = self.block.bytes[offset:]
        self._pixels: Bytes = np.lib.stride_tricks.as_strided(first, shape, steps)

    @property
    def all(self) -> Rect:
        """The whole of it."""
        return 0, 0, self.width, self.height

    def draw(self, picture: Bytes, x: int = 0, y: int = 0) -> Rect:
        """Write into guest memory, which the host does not see yet; return where.

        `picture` has 3 channels or 4, red first.
        """
        height, width = picture.shape[:2]
        self._pixels[y : y + height, x : x + width] = self.format.encode(picture)
        return x, y, width, height

    def put(self, picture: Bytes, x: int = 0, y: int = 0) -> Rect:
        """Draw, and let the host have it; nothing is shown before a flush. Return where."""
        rect = self.draw(picture, x, y)
        self.transfer(rect)
        return rect

    def show(self, picture: Bytes, x: int = 0, y: int = 0) -> None:
        """Draw, transfer, flush: all that a change on the screen takes."""
        self.flush(self.put(picture, x, y))

    def transfer(self, rect: Rect | None = None) -> None:
        """Copy that part of guest memory, or all of it, to the host's copy."""
        raise NotImplementedError

    def set_scanout(self, rect: Rect, head: int) -> None:
        """Have `head` show that part."""
        self.gpu.call(Command.SET_SCANOUT, wire.words(*rect, head, self.id))

    def flush(self, rect: Rect | None = None, *, fence: bool = True) -> None:
        """Tell the host that what it shows of that part, or of all, has changed; wait."""
        self.gpu.check(self.send_flush(rect, fence=fence))

    def send_flush(self, rect: Rect | None = None, *, fence: bool = True) -> Pending:
        """The same without waiting: with a fence the answer comes when it is on display."""
        body = wire.words(*(rect or self.all), self.id, 0)
        return self.gpu.send(Command.RESOURCE_FLUSH, body, fence=fence)

    def unref(self) -> None:
        """Destroy it."""
        self.gpu.call(Command.RESOURCE_UNREF, wire.words(self.id, 0))
        self.gpu.ram.release(self.block)

    def entries(self) -> bytes:
        """Its pages as the device wants to hear of them, in two pieces where there are two."""
        size = len(self.block.bytes)
        half = size // 8192 * 4096
        pieces = [(0, half), (half, size - half)] if half else [(0, size)]
        listed = (
            wire.long(self.block.address + start) + wire.words(length, 0)
            for start, length in pieces
        )
        return b"".join(listed)

    @property
    def pieces(self) -> int:
        """How many entries there are."""
        return len(self.entries()) // 16

    def attach_backing(self) -> None:
        """Tell the device where its pages are."""
        body = wire.words(self.id, self.pieces) + self.entries()
        self.gpu.call(Command.RESOURCE_ATTACH_BACKING, body)

    def _at(self, rect: Rect) -> int:
        """Where in guest memory that part begins."""
        return self.offset + rect[1] * self.stride + 4 * rect[0]


class Resource2D(Resource):
    """RESOURCE_CREATE_2D: what a guest without 3D draws into."""

    def __init__(self, gpu: Gpu, fmt: Format, width: int, height: int) -> None:
        super().__init__(gpu, fmt, width, height)
        body = wire.words(self.id, fmt.code, width, height)
        gpu.call(Command.RESOURCE_CREATE_2D, body)
        self.attach_backing()

    def transfer(self, rect: Rect | None = None) -> None:
        """TRANSFER_TO_HOST_2D."""
        rect = rect or self.all
        body = wire.words(*rect) + wire.long(self._at(rect)) + wire.words(self.id, 0)
        self.gpu.call(Command.TRANSFER_TO_HOST_2D, body)


class Resource3D(Resource):
    """RESOURCE_CREATE_3D: a texture and render target of virgl.

    With `y_0_top` the host stores the picture bottom up. Pictures put in are
    top down all the same.
    """

    def __init__(
        self, gpu: Gpu, fmt: Format, width: int, height: int, *, y_0_top: bool = False
    ) -> None:
        super().__init__(gpu, fmt, width, height)
        bind = wire.BIND_RENDER_TARGET | wire.BIND_SAMPLER_VIEW | wire.BIND_SCANOUT
        flags = wire.FLAG_Y_0_TOP if y_0_top else 0
        size = width, height, 1, 1  # depth, layers
        body = wire.words(self.id, wire.TEXTURE_2D, fmt.code, bind, *size, 0, 0, flags, 0)
        gpu.call(Command.RESOURCE_CREATE_3D, body)
        self.attach_backing()

    def transfer(self, rect: Rect | None = None) -> None:
        """TRANSFER_TO_HOST_3D, of no context, as Linux does for its own frame buffers."""
        rect = rect or self.all
        x, y, width, height = rect
        box = wire.words(x, y, 0, width, height, 1)
        rest = wire.words(self.id, 0, self.stride, 0)  # level, stride, layer stride
        self.gpu.call(Command.TRANSFER_TO_HOST_3D, box + wire.long(self._at(rect)) + rest)


class Blob(Resource):
    """RESOURCE_CREATE_BLOB of guest memory: the host shows the guest's own pages.

    Rows are `stride` bytes apart and begin `offset` bytes into the memory, which
    QEMU with gl=on does not pass on. `virtio-vga-gl` takes no scanout of them.
    """

    def __init__(
        self, gpu: Gpu, fmt: Format, width: int, height: int, *, stride: int = 0, offset: int = 0
    ) -> None:
        super().__init__(gpu, fmt, width, height, stride=stride, offset=offset)
        size = len(self.block.bytes)
        kind = wire.BLOB_MEM_GUEST, wire.BLOB_FLAG_SHAREABLE
        body = wire.words(self.id, *kind, self.pieces) + wire.long(0) + wire.long(size)
        gpu.call(Command.RESOURCE_CREATE_BLOB, body + self.entries())

    def transfer(self, rect: Rect | None = None) -> None:
        """Nothing to do: there is no copy."""

    def set_scanout(self, rect: Rect, head: int) -> None:
        """SET_SCANOUT_BLOB."""
        size = self.width, self.height, self.format.code, 0
        planes = self.stride, 0, 0, 0, self.offset, 0, 0, 0
        self.gpu.call(Command.SET_SCANOUT_BLOB, wire.words(*rect, head, self.id, *size, *planes))
