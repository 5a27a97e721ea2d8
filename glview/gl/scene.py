"""What a frame shows, whoever draws it. Needs no OpenGL."""

from __future__ import annotations

from typing import NamedTuple

from glview.scanout.geometry import Rect


class Image(NamedTuple):
    """Premultiplied pixels of our own, `channels` naming a pixel's bytes: ``bgra`` or ``rgba``."""

    width: int
    height: int
    pixels: bytes
    channels: str


class Scene(NamedTuple):
    """What one frame shows; all rectangles in framebuffer pixels, origin top left.

    `place` is where the guest's picture goes, None for a black window.
    `light` < 1 dims it. Images come with the rectangle they cover.
    """

    width: int
    height: int
    place: Rect | None
    light: float = 1.0
    sprite: tuple[Image, Rect] | None = None
    text: tuple[Image, Rect] | None = None
    hud: tuple[Image, Rect] | None = None
