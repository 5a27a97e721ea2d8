"""What the viewer needs from a way of showing frames."""

from __future__ import annotations

from typing import Protocol

from glview.gl.renderer import Scene
from glview.scanout.geometry import Rect
from glview.scanout.source import Source


class Presenter(Protocol):
    """Takes sources in and shows scenes. Belongs to the main thread."""

    def accept(self, source: Source, damage: Rect) -> None:
        """Make `source`, of which `damage` changed, the picture. Raises NoGraphicsError."""

    def draw(self, scene: Scene) -> bool:
        """Draw a frame. True once the guest's buffer is no longer read."""

    def released(self) -> bool:
        """Whether the frames drawn so far no longer read the guest's buffer; never waits."""

    def show(self) -> None:
        """Put the drawn frame on the screen."""

    def close(self) -> None:
        """Delete everything."""
