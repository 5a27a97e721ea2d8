"""A presenter whose every step a recorder is told of, while it records."""

from __future__ import annotations

import time
from collections import deque

from glview.gl.scene import Scene
from glview.present.presenter import Presenter
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.mailbox import Shortcut
from glview.scanout.source import DmabufSource, PixelSource, Source
from glview.stats.recorder import Frame, Recorder
from glview.ui.window import Window


class MeasuredPresenter:
    """See `Presenter`; `inner` does the work. `window` tells what of it is on the screen."""

    def __init__(self, inner: Presenter, window: Window, recorder: Recorder) -> None:
        self._inner = inner
        self._window = window
        self._recorder = recorder
        self._before = 0
        self._frames: deque[Frame] = deque()  # whose being shown the window system will tell

    @property
    def fd(self) -> int | None:
        return self._inner.fd

    @property
    def fence_fd(self) -> int | None:
        return self._inner.fence_fd

    @property
    def under_way(self) -> int:
        return self._inner.under_way

    @property
    def shortcut(self) -> Shortcut | None:
        return None if self._recorder.on else self._inner.shortcut

    @property
    def imports(self) -> Counts:
        return self._inner.imports

    def poll(self) -> bool:
        lost = self._inner.poll()
        waiting = self._inner.under_way + (not self._window.ready)
        while len(self._frames) > waiting:
            self._recorder.finish(self._frames.popleft(), shown=not lost)
        return lost

    def ready(self) -> bool:
        return self._inner.ready()

    def accept(self, source: Source, damage: Rect) -> None:
        begun = time.monotonic()
        self._inner.accept(source, damage)
        if self._recorder.on:
            self._recorder.accept(begun, _uploaded(source, damage))
            if isinstance(source, DmabufSource):
                self._recorder.buffers = self._inner.imports.triple

    def draw(self, scene: Scene) -> None:
        drawing = time.monotonic()
        self._before = self._inner.under_way
        self._inner.draw(scene)
        if self._recorder.on:
            self._recorder.draw(drawing)

    def released(self) -> bool:
        return self._inner.released()

    def show(self) -> bool:
        ready = self._window.ready
        events = self._inner.show()
        frame = self._recorder.swap() if self._recorder.on else None
        if frame is None:
            return events
        told = self._inner.under_way > self._before or (ready and not self._window.ready)
        if told:
            self._frames.append(frame)
        else:  # nobody will say when it is shown
            self._recorder.finish(frame, shown=False)
        return events

    def damaged(self) -> None:
        self._inner.damaged()

    def keep(self) -> None:
        self._inner.keep()

    def close(self) -> None:
        for frame in self._frames:
            self._recorder.finish(frame, shown=False)
        self._inner.close()


def _uploaded(source: Source, damage: Rect) -> int:
    """Bytes of changed pixels that go to GL or to the X server; none of a dma-buf do."""
    rect = damage.clip(source.width, source.height)
    if rect is None or not isinstance(source, PixelSource):
        return 0
    return rect.width * rect.height * source.format.size
