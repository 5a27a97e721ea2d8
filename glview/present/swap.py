"""Presenting by eglSwapBuffers: for GPUs, and wherever GL composes."""

from __future__ import annotations

from dataclasses import replace

from glview.gl.egl import EGL
from glview.gl.renderer import Renderer, Scene
from glview.scanout.geometry import Rect
from glview.scanout.source import Source
from glview.ui.window import Window

# A draw is usually through in this; longer, and the main loop looks again later.
_FENCE_WAIT_NS = 4_000_000


class SwapPresenter:
    """See `Presenter`. The guest's buffer is free when the fence after the draw has passed."""

    fd: int | None = None

    def __init__(self, window: Window) -> None:
        self._window = window
        self._egl: EGL = window.egl
        self.renderer = Renderer(window.gl, window.egl, window_alpha=window.alpha)
        self._fence = 0
        self._first: tuple[int, int] | None = window.size

    def poll(self) -> bool:
        return False

    def ready(self) -> bool:
        return True

    def accept(self, source: Source, damage: Rect) -> None:
        self.renderer.accept(source, damage)

    def draw(self, scene: Scene) -> bool:
        if self._first not in (None, (scene.width, scene.height)):
            self._draw_in_first_size(scene)
        self.renderer.draw(scene)
        if not self.renderer.imported:
            return True
        self._drop_fence()
        self._fence = self._egl.create_fence()
        if not self._fence:
            self._window.gl.Finish()
            return True
        return self._passed(_FENCE_WAIT_NS)

    def released(self) -> bool:
        return not self._fence or self._passed(0)

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
        """The texture is the copy."""

    def _passed(self, wait: int) -> bool:
        if not self._egl.fence_passed(self._fence, wait):
            return False
        self._drop_fence()
        return True

    def _drop_fence(self) -> None:
        if self._fence:
            self._egl.destroy_fence(self._fence)
            self._fence = 0

    def close(self) -> None:
        self._drop_fence()
        self.renderer.close()
