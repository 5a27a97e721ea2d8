"""What of a window must be drawn anew, when only that is sent to the screen."""

from __future__ import annotations

from glview.gl.scene import Scene
from glview.scanout.geometry import Rect


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
