"""Who makes a frame out of a scene where the window system takes finished pixels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from glview.errors import NoGraphicsError
from glview.gl.scene import Scene
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.source import Source

if TYPE_CHECKING:
    from glview.gl.api import Api

log = logging.getLogger(__name__)


class Composer(Protocol):
    """Takes sources in, and writes frames to memory."""

    @property
    def fence_fd(self) -> int | None:
        """As in `Presenter`."""

    @property
    def imports(self) -> Counts:
        """As in `Presenter`."""

    def accept(self, source: Source, damage: Rect) -> None:
        """As in `Presenter`; raises NoGraphicsError."""

    def released(self) -> bool:
        """As in `Presenter`."""

    def keep(self) -> None:
        """As in `Presenter`."""

    def compose(self, scene: Scene, rect: Rect, address: int) -> None:
        """Write the part `rect` of the frame as B, G, R, X bytes.

        `address` is where the whole frame begins, its rows one after the other.
        """

    def close(self) -> None:
        """Delete everything."""


def load(wanted: Api | None) -> Composer:
    """OpenGL if there is any, else the CPU. Takes a moment: neither is loaded before."""
    try:
        from glview.present.glcomposer import GLComposer

        return GLComposer(wanted)
    except NoGraphicsError as error:
        log.warning("frames are composed without OpenGL: %s", error)
    return without_gl()


def without_gl() -> Composer:
    """The CPU."""
    from glview.present.cpucomposer import CPUComposer

    return CPUComposer()
