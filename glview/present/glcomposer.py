"""Composing by OpenGL, without a window."""

from __future__ import annotations

from glview.gl.api import Api
from glview.gl.offscreen import Offscreen
from glview.gl.scene import Scene
from glview.present.drawing import Drawing
from glview.scanout.geometry import Rect


class GLComposer(Drawing):
    """See `Composer`."""

    def __init__(self, wanted: Api | None) -> None:
        """`wanted` is the kind of context, None for either. Raises NoGraphicsError."""
        self._screen = Offscreen(wanted)
        super().__init__(self._screen.gl, self._screen.egl, alpha=True)

    def compose(self, scene: Scene, rect: Rect, address: int) -> None:
        self._screen.resize(scene.width, scene.height)
        self.renderer.draw(scene, rect)
        stride = 4 * scene.width
        self._screen.read(rect, address + rect.y * stride + 4 * rect.x, stride)

    def close(self) -> None:
        super().close()
        self._screen.close()
