"""What the viewer needs from a way of showing frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from glview.gl.scene import Scene
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.mailbox import Shortcut
from glview.scanout.source import Source

if TYPE_CHECKING:
    from glview.gl.api import Api

Choice = Literal["auto", "swap", "shm"]


class Wanted(NamedTuple):
    """How to show frames; `api` is the kind of OpenGL, None for whichever works.

    Without `pacing` a frame does not wait until the one before is on the screen. With
    `vsync` a swap comes between two refreshes of the monitor.
    """

    present: Choice = "auto"
    api: Api | None = None
    pacing: bool = True
    vsync: bool = False


class Presenter(Protocol):
    """Takes sources in and shows scenes. Belongs to the main thread."""

    @property
    def fd(self) -> int | None:
        """Readable when `poll` has something to do; None where it never has."""

    @property
    def fence_fd(self) -> int | None:
        """Readable when `released` turns true, where that can be waited for."""

    @property
    def under_way(self) -> int:
        """How many of the frames shown are not on the screen yet, as far as that is told."""

    @property
    def shortcut(self) -> Shortcut | None:
        """A shorter way for updates, if there is one."""

    @property
    def imports(self) -> Counts:
        """What became of the dma-bufs of this guest."""

    def poll(self) -> bool:
        """Take in answers of the window system. True where a frame got lost: draw again."""

    def ready(self) -> bool:
        """Whether the next frame may be drawn; if not, `fd` tells when to `poll`."""

    def accept(self, source: Source, damage: Rect) -> None:
        """Make `source`, of which `damage` changed, the picture. Raises NoGraphicsError.

        A dma-buf begins to be read here, and is free again once `released`.
        """

    def draw(self, scene: Scene) -> None:
        """Draw a frame. It never reads a dma-buf."""

    def released(self) -> bool:
        """Whether the dma-buf accepted last is no longer read; never waits."""

    def show(self) -> bool:
        """Put the drawn frame on the screen. True where the window's events may have been read."""

    def damaged(self) -> None:
        """The window lost what was shown in it."""

    def keep(self) -> None:
        """All sources are about to be closed: have a copy of the picture."""

    def close(self) -> None:
        """Delete everything."""
