"""Memory of ours that frames are composed in, and that the X server has attached."""

from __future__ import annotations

from glview.present import xshm
from glview.scanout.memory import Memory


class Canvas:
    """A frame of `width` x `height` pixels of B, G, R, X bytes, without gaps.

    `address` is where it begins, `pixels` what the X server knows it as.
    """

    def __init__(self, connection: xshm.Connection, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._connection = connection
        self._memory = Memory(4 * width * height)
        self.address = self._memory.address
        segment = connection.attach(self._memory.fd)
        self.pixels = segment, 0, width, height

    def close(self) -> None:
        """Let go of it, once what was asked before is done."""
        self._connection.detach(self.pixels[0])
        self._memory.close()
