"""Presenting by eglSwapBuffers: for GPUs, and on Wayland."""

from __future__ import annotations

from glview.gl.scene import Scene
from glview.present.drawing import Drawing
from glview.scanout.mailbox import Shortcut
from glview.ui.glwindow import GLWindow


class SwapPresenter(Drawing):
    """See `Presenter`."""

    fd: int | None = None
    under_way = 0
    shortcut: Shortcut | None = None

    def __init__(self, window: GLWindow) -> None:
        super().__init__(window.gl, window.egl, alpha=window.alpha)
        self._window = window
        self._first: tuple[int, int] | None = window.size

    def poll(self) -> bool:
        return False

    def ready(self) -> bool:
        return True

    def draw(self, scene: Scene) -> None:
        if self._first not in (None, (scene.width, scene.height)):
            self._draw_in_first_size(scene)
        self.renderer.draw(scene)

    def _draw_in_first_size(self, scene: Scene) -> None:
        """Have Mesa notice that the window has another size than when it was made.

        It looks after every swap, but not before the first one. So that is
        of the part of the picture that there is room for.
        """
        assert self._first is not None
        width, height = self._first
        self.renderer.draw(scene._replace(width=width, height=height))
        self.show()

    def show(self) -> bool:
        self._window.swap()
        self._first = None
        return True

    def damaged(self) -> None:
        """Every frame is drawn whole."""
