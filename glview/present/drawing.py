"""Drawing by OpenGL: the renderer, and when the guest's buffer is free again."""

from __future__ import annotations

import logging

from glview.gl import fence
from glview.gl.api import GL
from glview.gl.egl import EGL
from glview.gl.renderer import Renderer
from glview.scanout.geometry import Rect
from glview.scanout.kept import Counts
from glview.scanout.source import DmabufSource, Source

log = logging.getLogger(__name__)

# A copy is usually through in this; longer, and the main loop looks again later.
_FENCE_WAIT = 0.001  # seconds


class Drawing:
    """Takes sources in. The guest's buffer is free when the fence after its copy has passed."""

    def __init__(self, gl: GL, egl: EGL, *, alpha: bool) -> None:
        """`alpha` says that what is drawn on has an alpha byte that nobody looks at."""
        log.info("%s, %s", gl.version, gl.renderer)
        self._gl, self._egl = gl, egl
        self.renderer = Renderer(gl, egl, window_alpha=alpha)
        self._fence: fence.Fence | None = None

    @property
    def fence_fd(self) -> int | None:
        """Readable when `released` turns true, where that can be waited for."""
        return self._fence.fd if self._fence is not None else None

    @property
    def imports(self) -> Counts:
        """What became of the dma-bufs of this guest."""
        return self.renderer.imports.counts

    def accept(self, source: Source, damage: Rect) -> None:
        """Make `source`, of which `damage` changed, the picture. Raises NoGraphicsError."""
        self.renderer.accept(source, damage)
        if isinstance(source, DmabufSource):
            self._drop_fence()
            self._fence = fence.insert(self._gl, self._egl)
            self._passed(_FENCE_WAIT)

    def released(self) -> bool:
        """Whether the dma-buf accepted last is no longer read; never waits."""
        return self._passed(0.0)

    def keep(self) -> None:
        """All sources are about to be closed; the picture stays."""
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
        """Delete everything."""
        self._drop_fence()
        self.renderer.close()
