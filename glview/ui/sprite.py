"""The guest's pointer: its picture from CursorDefine, its place from wherever is quickest."""

from __future__ import annotations

from glview.gl.scene import Image
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Cursor, Pointer


class Sprite:
    """What the guest said last about its pointer."""

    def __init__(self) -> None:
        self._cursor: Cursor | None = None
        self._image: Image | None = None
        self._pointer = Pointer(0, 0, False)

    def update(self, cursor: Cursor | None, pointer: Pointer | None) -> None:
        """Take in what is new; None is what is not."""
        if cursor is not None:
            self._cursor = cursor
            self._image = Image(cursor.width, cursor.height, cursor.pixels, "bgra")
        if pointer is not None:
            self._pointer = pointer

    def forget(self) -> None:
        """Another VM, or none."""
        self._cursor = self._image = None
        self._pointer = Pointer(0, 0, False)

    @property
    def visible(self) -> bool:
        """Whether the guest shows its pointer."""
        return self._cursor is not None and self._pointer.visible

    def placed(
        self, place: Rect, guest: tuple[int, int], host: tuple[float, float] | None
    ) -> tuple[Image, Rect] | None:
        """The sprite and its rectangle in framebuffer pixels, None where hidden.

        `place` is where the picture of `guest` pixels is drawn. `host` is the
        host's pointer in framebuffer pixels where the guest's follows it: then
        the sprite is there at once, without a round trip through the guest.
        """
        if self._image is None or self._cursor is None or not self._pointer.visible:
            return None
        across, down = place.width / guest[0], place.height / guest[1]
        if host is not None:
            x = host[0] - self._cursor.hot_x * across
            y = host[1] - self._cursor.hot_y * down
        else:  # virtio-gpu says where the sprite's top left is
            x = place.x + self._pointer.x * across
            y = place.y + self._pointer.y * down
        size = round(self._image.width * across), round(self._image.height * down)
        return self._image, Rect(int(x // 1), int(y // 1), max(1, size[0]), max(1, size[1]))
