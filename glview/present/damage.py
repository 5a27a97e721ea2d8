"""What of a window must be drawn anew."""

from __future__ import annotations

from collections import deque

from glview.gl.scene import Scene
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, Source

_OLDEST = 4  # how old a buffer may be that is only drawn in part


class Damage:
    """What the window lacks of the picture and of what stands over it.

    `shown` is the scene that the window holds, None where that is not certain.
    """

    def __init__(self) -> None:
        self.guest = (0, 0)
        """Size of the picture."""
        self._damage: Rect | None = None
        self._shown: Scene | None = None

    def accept(self, source: Source, damage: Rect) -> Rect:
        """`damage` of the picture changed; returns that, in pixels of the picture."""
        whole = Rect(0, 0, source.width, source.height)
        if isinstance(source, DmabufSource) and not source.whole:
            damage = whole  # it is in the buffer's pixels
        size = source.width, source.height
        self._damage = damage.union(self._damage) if size == self.guest else whole
        self.guest = size
        return damage

    def forget(self) -> None:
        """The window lost what was shown in it."""
        self._shown = None

    def take(self, scene: Scene) -> Rect | None:
        """The part of the window that has to be drawn so that it shows `scene`."""
        rect = changed(self._shown, scene, self._damage, self.guest)
        self._shown, self._damage = scene, None
        return rect


class History:
    """What the last few frames have drawn, for buffers that are drawn into in turn."""

    def __init__(self) -> None:
        self._rects: deque[Rect] = deque(maxlen=_OLDEST - 1)

    def since(self, rect: Rect, age: int) -> Rect | None:
        """What a buffer of that age lacks when `rect` changes now; None: all of it.

        The age of a buffer is how many frames ago it was drawn into, 0 where
        nobody knows. (EGL_EXT_buffer_age)
        """
        behind = age - 1
        lacks = rect if 0 <= behind <= len(self._rects) else None
        if lacks is not None:
            for earlier in list(self._rects)[:behind]:
                lacks = lacks.union(earlier)
        self._rects.appendleft(rect)
        return lacks


def changed(
    old: Scene | None, new: Scene, damage: Rect | None, guest: tuple[int, int]
) -> Rect | None:
    """The part of the window that `new` changes, None where that is nothing.

    `old` is what the window holds, None where that is uncertain; `damage` is
    what else changed of the picture, in pixels of the `guest`, which is as large.
    """
    if old is None or old[:4] != new[:4]:
        return Rect(0, 0, new.width, new.height)
    rect: Rect | None = None
    if damage is not None and new.place is not None:
        same_size = guest == new.place[2:]
        rect = damage.moved(*new.place[:2]) if same_size else new.place
    images = (old.sprite, new.sprite), (old.text, new.text), (old.hud, new.hud)
    for before, after in images:
        if before != after:
            for item in (before, after):
                rect = item[1].union(rect) if item is not None else rect
    return rect.clip(new.width, new.height) if rect is not None else None
