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
        self._size = window.size  # at the last swap
        self._swapped = False
        self._damage = Damage()
        self._history = History()
        self._drawn: tuple[Rect, tuple[int, int]] | None = None  # and the window's size

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
        if self._size != (scene.width, scene.height) and self._may_not_know:
            self._draw_in_old_size(scene)
        part = self._history.since(rect, self._window.buffer_age())
        self.renderer.draw(scene, part)
        self._drawn = rect, (scene.width, scene.height)

    @property
    def _may_not_know(self) -> bool:
        """Whether the driver may take the window to be as large as it was.

        Software Mesa on X11 looks after every swap, at the first thing that is drawn
        then, be it a copy long before the frame. No driver looks before the first swap.
        """
        on_x11 = self._window.platform == "x11"
        return not self._swapped or (on_x11 and self._window.gl.software)

    def _draw_in_old_size(self, scene: Scene) -> None:
        """Have the driver look at the window again, which it does after a swap.

        That is of what the window shows already where this is still in the buffer; else
        of the part of the picture that there is room for.
        """
        if self._window.buffer_age() != 1:
            width, height = self._size
            self.renderer.draw(scene._replace(width=width, height=height))
        self._swap(Rect(0, 0, *self._size), self._size)

    def show(self) -> bool:
        if self._drawn is None:
            return False
        self._swap(*self._drawn)
        self._drawn = None
        return True

    def _swap(self, changed: Rect, size: tuple[int, int]) -> None:
        x, y, across, down = changed
        self._window.swap((x, size[1] - y - down, across, down))
        self._size, self._swapped = size, True

    def damaged(self) -> None:
        self._damage.forget()
