"""Presenting out of shared memory: for X11 where GL is drawn by the CPU.

Software Mesa's swap sends the whole window to the X server whatever changed.
Here the X server has the guest's own memory attached and is told which
rectangle of it to copy. What has to be composed - the pointer, text, a
scaled or dimmed picture, a dma-buf, other pixel formats - is left to GL.

Pacing: one batch of puts is under way at a time, and what changes meanwhile
is put together after it. So a stopped X server is never waited for, a slow
one is never flooded, and nobody writes into memory that it still reads.
Without pacing it is a few batches.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from glview.errors import NoGraphicsError
from glview.gl.renderer import Scene
from glview.present import xcb
from glview.present.presenter import Choice, Presenter
from glview.present.segments import Segment, Segments
from glview.present.swap import SwapPresenter
from glview.scanout.geometry import MAX_SIDE, Rect
from glview.scanout.kept import Counts
from glview.scanout.source import PixelSource, Source
from glview.ui.window import Window

log = logging.getLogger(__name__)

_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")
_EVERYTHING = Rect(0, 0, MAX_SIDE, MAX_SIDE)
_MOST = 16  # batches under way without pacing: the socket takes them all


def choose(window: Window, wanted: Choice, *, pacing: bool = True) -> Presenter:
    """The presenter for a window; shared memory by itself only where it is the faster one."""
    swap = SwapPresenter(window)
    software = any(word in window.gl.renderer.lower() for word in _SOFTWARE)
    if wanted == "swap" or window.platform != "x11" or (wanted == "auto" and not software):
        return swap
    try:
        connection = xcb.Connection(window.x11_id)
    except NoGraphicsError as error:
        log.info("no X shared memory: %s", error)
        return swap
    log.info("pictures are put out of X shared memory")
    return ShmPresenter(window, swap, connection, 1 if pacing else _MOST)


class ShmPresenter:
    """See `Presenter`. Owns `swap`, which composes, and `connection`, which puts.

    While pictures are put, GL's texture goes stale, and while GL composes,
    the window does not hold the bare picture: `_missed` is what the texture
    lacks of `_source`, `_unput` what the window lacks. At most `most` batches
    of puts are under way at a time.
    """

    def __init__(
        self, window: Window, swap: SwapPresenter, connection: xcb.Connection, most: int
    ) -> None:
        self._window = window
        self._swap = swap
        self._connection: xcb.Connection | None = connection
        self._segments = Segments(connection)
        self._source: PixelSource | None = None
        self._missed: Rect | None = None
        self._unput: Rect | None = _EVERYTHING
        self._most = most
        self._under_way: deque[ExitStack] = deque()  # each holds the source that is being put
        self._composed = False  # the latest frame is GL's
        self._swapped = False  # and perhaps not on the screen yet

    # -- answers -----------------------------------------------------------

    @property
    def fd(self) -> int | None:
        return self._connection.fd if self._connection and self._under_way else None

    @property
    def fence_fd(self) -> int | None:
        return self._swap.fence_fd

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    @property
    def imports(self) -> Counts:
        return self._swap.imports

    def poll(self) -> bool:
        if self._connection is None or not self._under_way:
            return False  # what else may have happened shows when the next batch does
        done, fault = self._connection.poll()
        self._finish(done)
        if fault:
            log.warning("no X shared memory any more: %s", fault)
            self._disconnect()
        return bool(fault)

    def ready(self) -> bool:
        return len(self._under_way) < self._most

    def _finish(self, batches: int) -> None:
        for _ in range(min(batches, len(self._under_way))):
            self._under_way.popleft().close()

    def _disconnect(self) -> None:
        self._finish(len(self._under_way))
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- a frame -----------------------------------------------------------

    def accept(self, source: Source, damage: Rect) -> None:
        if isinstance(source, PixelSource) and self._can_put(source):
            self._source = source
            self._missed = damage.union(self._missed)
            self._unput = damage.union(self._unput)
        else:
            self._source = None
            self._swap.accept(source, damage.union(self._missed))
            self._missed = None

    def _can_put(self, source: PixelSource) -> bool:
        return (
            self._connection is not None
            and source.format.channels == "bgrx"
            and source.stride % 4 == 0
            and source.memory.offset % 4 == 0
            and source.stride // 4 <= xcb.MAX_TOTAL_WIDTH
            and source.memory.offset + source.memory.size <= xcb.MAX_OFFSET
            and max(source.width, source.height) <= self._window.gl.max_size  # GL's turn may come
        )

    def draw(self, scene: Scene) -> None:
        source, connection = self._source, self._connection
        if source is None or connection is None or not _is_plain(scene, source):
            self._compose(scene)
            return
        self._composed = False
        rect = self._unput.clip(source.width, source.height) if self._unput else None
        self._unput = None
        if rect is not None:
            self._put(connection, source, rect)

    def _put(self, connection: xcb.Connection, source: PixelSource, rect: Rect) -> None:
        if self._swapped:  # GL's frame goes by another connection, and must not come later
            self._window.settle()
            self._swapped = False
        segment = self._segments.of(source)
        reading = ExitStack()
        reading.enter_context(source)
        self._under_way.append(reading)
        puts = list(_puts(source, segment, rect))
        for number, (pixels, part, at) in enumerate(puts, 1):
            connection.put(pixels, part, at, last=number == len(puts))

    def _compose(self, scene: Scene) -> None:
        self._catch_up()
        if self._missed is not None:  # the pixels went before anybody wanted them here
            scene = replace(scene, place=None)
        self._unput = _EVERYTHING
        self._composed = self._swapped = True
        self._swap.draw(scene)

    def _catch_up(self) -> None:
        source = self._source
        if source is not None and self._missed is not None and not source.closed:
            self._swap.accept(source, self._missed)
            self._missed = None

    def keep(self) -> None:
        self._catch_up()
        self._source = None
        self._swap.keep()
        if self._connection is not None:
            self._segments.forget()
            self._connection.flush()

    def show(self) -> bool:
        if self._composed:
            return self._swap.show()
        if self._connection is not None:
            self._connection.flush()
        return False

    def released(self) -> bool:
        return self._swap.released()

    def damaged(self) -> None:
        self._unput = _EVERYTHING

    def close(self) -> None:
        self._disconnect()
        self._swap.close()


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


_Put = tuple[xcb.Pixels, tuple[int, int, int, int], tuple[int, int]]


def _puts(source: PixelSource, segment: Segment, rect: Rect) -> Iterator[_Put]:
    """What to put, from where, to where, so that `rect` is shown.

    The X server wants whole rows, padding included; where the file ends with
    the last pixel, the last row is one by itself.
    """
    offset, stride = source.memory.offset, source.stride
    x, y, width, height = rect
    whole = min((segment.size - offset) // stride, source.height)
    rows = min(height, whole - y)
    if rows > 0:
        pixels = xcb.Pixels(segment.id, offset, stride // 4, whole)
        yield pixels, (x, y, width, rows), (x, y)
    if rows < height:
        pixels = xcb.Pixels(segment.id, offset + whole * stride, source.width, 1)
        yield pixels, (x, 0, width, 1), (x, whole)
