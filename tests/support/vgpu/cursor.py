"""The hardware pointer of a virtio GPU: a sprite that the device lays over the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.vgpu import wire
from tests.support.vgpu.wire import Bytes, Command

if TYPE_CHECKING:
    from tests.support.vgpu.gpu import Gpu
    from tests.support.vgpu.resource import Resource2D

SIDE = 64
"""The device takes no sprite of another size."""


class Cursor:
    """The pointer of one head; hidden at first."""

    def __init__(self, gpu: Gpu, head: int) -> None:
        self._gpu, self._head = gpu, head
        self._resource: Resource2D | None = None

    def define(self, sprite: Bytes, x: int, y: int, *, hot: tuple[int, int] = (0, 0)) -> None:
        """Show `sprite`, 64 x 64 of R, G, B, A premultiplied, with its top left at x, y."""
        assert sprite.shape == (SIDE, SIDE, 4)
        if self._resource is None:
            self._resource = self._gpu.resource_2d(SIDE, SIDE, "B8G8R8A8")
        self._resource.put(sprite)
        self._update(Command.UPDATE_CURSOR, x, y, self._resource.id, hot)

    def move(self, x: int, y: int) -> None:
        """Move the sprite's top left to x, y, which may be outside of the picture."""
        assert self._resource, "there is no sprite yet"
        self._update(Command.MOVE_CURSOR, x, y, self._resource.id)

    def hide(self) -> None:
        """Show no sprite; `define` shows one again."""
        self._update(Command.UPDATE_CURSOR, 0, 0, 0)

    def _update(
        self, command: Command, x: int, y: int, resource: int, hot: tuple[int, int] = (0, 0)
    ) -> None:
        body = wire.words(self._head, x, y, 0, resource, *hot, 0)
        self._gpu.update_cursor(command, body)
