"""Presenting out of shared memory: for X11 where GL is drawn by the CPU, or not at all.

Software Mesa's swap sends the whole window to the X server whatever changed.
Here the X server has the guest's own memory attached and is told which
rectangle of it to copy. What has to be composed - the pointer, text, a
scaled or dimmed picture, a dma-buf, other pixel formats - is drawn into memory
of ours, and put out of that in the same way. What draws it is not loaded before.

Pacing: one batch of puts is under way at a time, and what changes meanwhile
is put together after it. So a stopped X server is never waited for, a slow
one is never flooded, and nobody writes into memory that it still reads.
Without pacing it is a few batches, unless they are composed.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from glview.errors import NoDisplayError, NoGraphicsError
from glview.gl.scene import Scene
from glview.present import composer, xshm
from glview.present.canvas import Canvas
from glview.present.composer import Composer
from glview.present.damage import Damage
from glview.present.lane import Lane
from glview.present.presenter import Wanted
from glview.present.segments import Segments
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.mailbox import Shortcut
from glview.scanout.source import DmabufSource, PixelSource, Source

log = logging.getLogger(__name__)

_MOST = 16  # batches under way without pacing: the socket takes them all


class ShmPresenter:
    """See `Presenter`. Owns `connection`, which puts, and what composes.

    While pictures are put, the composer's copy goes stale: `_missed` is what
    that lacks of `_source`.
    """

    def __init__(self, connection: xshm.Connection, wanted: Wanted) -> None:
        self._connection = connection
        self._wanted = wanted
        self._most = 1 if wanted.pacing else _MOST
        self._segments = Segments(connection)
        self._lane = Lane(connection, self._segments, self._most)
        self._composer: Composer | None = None
        self._canvas: Canvas | None = None
        self._source: PixelSource | None = None
        self._missed: Rect | None = None
        self._damage = Damage()
        self._composed = False  # the newest of what is under way
        self._complaint = ""  # about OpenGL, said already
        self._direct = True  # what can be put is put

    # -- answers -----------------------------------------------------------

    @property
    def fd(self) -> int | None:
        return self._connection.fd if self._lane.under_way else None

    @property
    def fence_fd(self) -> int | None:
        return self._composer.fence_fd if self._composer is not None else None

    @property
    def under_way(self) -> int:
        return self._lane.under_way

    @property
    def shortcut(self) -> Shortcut | None:
        return self._lane

    @property
    def imports(self) -> Counts:
        return self._composer.imports if self._composer is not None else Counts()

    def poll(self) -> bool:
        lane = self._lane
        if lane.under_way:
            lane.collect()  # what else may have happened shows when the next batch does
        if not lane.fault:
            return False
        self._fail(lane.fault)
        return True

    def ready(self) -> bool:
        self._take_over()  # else it might not be so any more when the frame is drawn
        return self._lane.under_way < (1 if self._composed else self._most)

    def _fail(self, fault: str) -> None:
        """The X server refused a put: memory of ours is what remains. Raises NoDisplayError."""
        if self._composed or not self._direct:
            raise NoDisplayError(
                f"the X server shows no shared memory any more: {fault}", "try --present swap"
            )
        log.warning("the guest's memory is not put out any more: %s", fault)
        self._take_over()
        self._direct = False
        self._damage.forget()
        self._lane.drop()

    # -- a frame -----------------------------------------------------------

    def _take_over(self) -> None:
        """The listener thread puts nothing from here on; the composer lacks what it did put."""
        changed = self._lane.close()
        if changed is not None:
            self._missed = changed.union(self._missed)

    def accept(self, source: Source, damage: Rect) -> None:
        self._take_over()
        damage = self._damage.accept(source, damage)
        if isinstance(source, DmabufSource):
            self._source = None
            self._loaded().accept(source, damage.union(self._missed))
            self._missed = None
        else:
            self._source = source
            self._missed = damage.union(self._missed)

    def draw(self, scene: Scene) -> None:
        self._take_over()
        rect = self._damage.take(scene)
        source = self._source
        if source is not None and self._is_direct(scene, source):
            segment = self._segments.of(source)
            if rect is not None:
                self._composed = False
                self._lane.put(source, segment, rect)
            self._lane.open(source, segment)
        elif rect is not None:
            self._composed = True
            self._lane.begin()
            self._compose(scene, rect)

    def _is_direct(self, scene: Scene, source: PixelSource) -> bool:
        return self._direct and _can_put(source) and _is_plain(scene, source)

    def _compose(self, scene: Scene, rect: Rect) -> None:
        canvas = self._canvas
        if canvas is None or (canvas.width, canvas.height) != (scene.width, scene.height):
            if canvas is not None:
                canvas.close()
            self._canvas = canvas = Canvas(self._connection, scene.width, scene.height)
        try:
            self._catch_up()
            self._loaded().compose(self._possible(scene), rect, canvas.address)
        except NoGraphicsError as error:
            self._compose_without_gl(error, scene, rect, canvas.address)
        self._connection.put(canvas.pixels, rect, rect.y, last=True)

    def _possible(self, scene: Scene) -> Scene:
        """Without the picture, if its pixels went before anybody wanted them here."""
        return scene if self._missed is None else scene._replace(place=None)

    def _catch_up(self) -> None:
        source = self._source
        if source is not None and self._missed is not None and not source.closed:
            self._loaded().accept(source, self._missed)
            self._missed = None

    def _loaded(self) -> Composer:
        if self._composer is None:
            self._composer = composer.load(self._wanted.api)
        return self._composer

    def _compose_without_gl(
        self, error: NoGraphicsError, scene: Scene, rect: Rect, address: int
    ) -> None:
        """The frame, or the picture, is too large for the driver: slow, but nobody needs it."""
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.warning("frames are composed without OpenGL: %s", error)
        spare, source = composer.without_gl(), self._source
        if source is None or source.closed:
            scene = scene._replace(place=None)
        else:
            spare.accept(source, Rect(0, 0, *self._damage.guest))
        spare.compose(scene, rect, address)

    def keep(self) -> None:
        self._take_over()
        with suppress(NoGraphicsError):
            self._catch_up()
        self._source = None
        if self._composer is not None:
            self._composer.keep()
        self._segments.forget()
        self._connection.flush()

    def show(self) -> bool:
        self._connection.flush()
        return False

    def released(self) -> bool:
        return self._composer is None or self._composer.released()

    def damaged(self) -> None:
        self._damage.forget()

    def close(self) -> None:
        self._take_over()
        self._lane.drop()
        if self._canvas is not None:
            self._canvas.close()
        self._connection.close()
        if self._composer is not None:
            self._composer.close()


def _can_put(source: PixelSource) -> bool:
    return (
        source.format.channels == "bgrx"
        and source.stride % 4 == 0
        and source.memory.offset % 4 == 0
        and source.stride // 4 <= xshm.MAX_TOTAL_WIDTH
        and source.memory.offset + source.memory.size <= xshm.MAX_OFFSET
    )


def _is_plain(scene: Scene, source: PixelSource) -> bool:
    """Whether the window shows the source's pixels as they are, and nothing else."""
    return (
        scene.place == (0, 0, scene.width, scene.height)
        and (scene.width, scene.height) == (source.width, source.height)
        and scene.light == 1.0
        and scene.sprite is None
        and scene.text is None
        and scene.hud is None
        and not source.closed
        and not source.memory.shrunk
    )
