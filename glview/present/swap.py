"""Presenting by eglSwapBuffers: for GPUs, and wherever GL composes."""

from __future__ import annotations

from dataclasses import replace

from glview.gl import fence
from glview.gl.renderer import Renderer, Scene
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.source import DmabufSource, Source
from glview.ui.window import Window

# A copy is usually through in this; longer, and the main loop looks again later.
_FENCE_WAIT = 0.001  # seconds


class SwapPresenter:
    """See `Presenter`. The guest's buffer is free when the fence after its copy has passed."""

    fd: int | None = None
    under_way = 0

    def __init__(self, window: Window) -> None:
        self._window = window
        self.renderer = Renderer(window.gl, window.egl, window_alpha=window.alpha)
        self._fence: fence.Fence | None = None
        self._first: tuple[int, int] | None = window.size

    def poll(self) -> bool:
        return False

    def ready(self) -> bool:
        return True

    @property
    def fence_fd(self) -> int | None:
        return self._fence.fd if self._fence is not None else None

    @property
    def imports(self) -> Counts:
        return self.renderer.imports.counts

    def accept(self, source: Source, damage: Rect) -> None:
        self.renderer.accept(source, damage)
        if isinstance(source, DmabufSource):
            self._drop_fence()
            self._fence = fence.insert(self._window.gl, self._window.egl)
            self._passed(_FENCE_WAIT)

    def draw(self, scene: Scene) -> None:
        if self._first not in (None, (scene.width, scene.height)):
            self._draw_in_first_size(scene)
        self.renderer.draw(scene)

    def released(self) -> bool:
        return self._passed(0.0)

    def _draw_in_first_size(self, scene: Scene) -> None:
        """Have Mesa notice that the window has another size than when it was made.

        It looks after every swap, but not before the first one. So that is
        of the part of the picture that there is room for.
        """
        assert self._first is not None
        width, height = self._first
        self.renderer.draw(replace(scene, width=width, height=height))
        self.show()

    def show(self) -> bool:
        self._window.swap()
        self._first = None
        return True

    def damaged(self) -> None:
        """Every frame is drawn whole."""

    def keep(self) -> None:
        self._drop_fence()
        self.renderer.keep()

    def _passed(self, wait: float) -> bool:
        if self._fence is not None and self._fence.passed(wait):
            self._drop_fence()
        return self._fence is None

    def _drop_fence(self) -> None:
        if self._fence is not None:
            self._fence.close()
            self._fence = None

    def close(self) -> None:
        self._drop_fence()
        self.renderer.close()
