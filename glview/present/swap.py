"""Presenting by eglSwapBuffers: for GPUs, and on Wayland.

Drivers swap between a few buffers. Where they tell how old the one is that comes
next, only what has changed since is drawn into it; and where they take it, they are
told what that is, for compositors to look at nothing else.
"""

from __future__ import annotations

from glview.gl.scene import Scene
from glview.present.damage import Damage, History
from glview.present.drawing import Drawing
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Shortcut
from glview.scanout.source import Source
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
        self._damage = Damage()
        self._history = History()
        self._drawn: tuple[Rect, int] | None = None  # and how high the window is

    def poll(self) -> bool:
        return False

    def ready(self) -> bool:
        return True

    def accept(self, source: Source, damage: Rect) -> None:
        super().accept(source, self._damage.accept(source, damage))

    def draw(self, scene: Scene) -> None:
        rect = self._damage.take(scene)
        if rect is None:
            return
        if self._first not in (None, (scene.width, scene.height)):
            self._draw_in_first_size(scene)
        part = self._history.since(rect, self._window.buffer_age())
        self.renderer.draw(scene, part)
        self._drawn = rect, scene.height

    def _draw_in_first_size(self, scene: Scene) -> None:
        """Have Mesa notice that the window has another size than when it was made.

        It looks after every swap, but not before the first one. So that is
        of the part of the picture that there is room for.
        """
        assert self._first is not None
        width, height = self._first
        self.renderer.draw(scene._replace(width=width, height=height))
        self._swap(Rect(0, 0, width, height), height)

    def show(self) -> bool:
        if self._drawn is None:
            return False
        self._swap(*self._drawn)
        self._drawn = None
        return True

    def _swap(self, changed: Rect, height: int) -> None:
        x, y, across, down = changed
        self._window.swap((x, height - y - down, across, down))
        self._first = None

    def damaged(self) -> None:
        self._damage.forget()
