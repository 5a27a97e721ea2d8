"""Rendering by virgl commands, as far as known pixels take it.

(virglrenderer's virgl_protocol.h: a command is a word of length, object type
and command, and `length` more words)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.support.vgpu import wire
from tests.support.vgpu.wire import Bytes, Command

if TYPE_CHECKING:
    from tests.support.vgpu.gpu import Gpu
    from tests.support.vgpu.resource import Resource, Resource3D

_CREATE_OBJECT, _SET_FRAMEBUFFER, _CLEAR, _INLINE_WRITE = 1, 5, 7, 9
_SURFACE = 8  # type of object
_COLOR_0 = 1 << 2  # what CLEAR clears


class Context:
    """A virgl context. `Gpu.context` makes one.

    What it renders is not shown before a flush of the resource.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.id = gpu.new_id()
        self._surfaces: dict[int, int] = {}
        name = b"glview".ljust(64, b"\0")
        gpu.call(Command.CTX_CREATE, wire.words(6, 0) + name, context=self.id)

    def attach(self, *resources: Resource) -> None:
        """Let the context use resources, once each, before its commands name them."""
        for resource in resources:
            body = wire.words(resource.id, 0)
            self._gpu.call(Command.CTX_ATTACH_RESOURCE, body, context=self.id)

    def clear(self, target: Resource3D, colour: tuple[int, int, int], alpha: int = 0) -> None:
        """Fill a resource with one colour of 8 bits per channel."""
        surface = self._surface(target)
        self.submit(
            _command(_SET_FRAMEBUFFER, 0, [1, 0, surface])
            + _command(_CLEAR, 0, [_COLOR_0, *_floats(*colour, alpha), *_DEPTH_1, 0])
        )

    def write(self, target: Resource3D, picture: Bytes, x: int = 0, y: int = 0) -> None:
        """Write pixels that travel in the command itself: at most 16,000."""
        height, width = picture.shape[:2]
        pixels = target.format.encode(picture).tobytes()
        box = x, y, 0, width, height, 1
        head = [target.id, 0, 0, 4 * width, 0, *box]  # level, usage, stride, layer stride
        data = struct.unpack(f"<{len(pixels) // 4}I", pixels)
        self.submit(_command(_INLINE_WRITE, 0, [*head, *data]))

    def submit(self, stream: bytes) -> None:
        """Run commands; return when the host has finished them."""
        body = wire.words(len(stream), 0) + stream
        self._gpu.call(Command.SUBMIT_3D, body, fence=True, context=self.id)

    def destroy(self) -> None:
        """End the context."""
        self._gpu.call(Command.CTX_DESTROY, context=self.id)

    def _surface(self, target: Resource3D) -> int:
        """The object through which a resource is rendered into, made at its first use."""
        if target.id not in self._surfaces:
            self._surfaces[target.id] = handle = self._gpu.new_id()
            level, layers = 0, 0
            words = [handle, target.id, target.format.code, level, layers]
            self.submit(_command(_CREATE_OBJECT, _SURFACE, words))
        return self._surfaces[target.id]


_DEPTH_1 = struct.unpack("<2I", struct.pack("<d", 1.0))


def _command(command: int, kind: int, words: Sequence[int]) -> bytes:
    assert len(words) < 1 << 16
    return wire.words(len(words) << 16 | kind << 8 | command, *words)


def _floats(*values: int) -> tuple[int, ...]:
    """Channels of 8 bits as the words of floats from 0 to 1."""
    return struct.unpack("<4I", struct.pack("<4f", *(value / 255 for value in values)))
