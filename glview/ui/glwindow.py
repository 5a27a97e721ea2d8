"""A window with an OpenGL context of GLFW's, through EGL."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from glview.errors import NoGraphicsError
from glview.gl.api import GL, Api
from glview.gl.egl import EGL
from glview.ui import platform as window_system
from glview.ui.keymap import Platform
from glview.ui.refresh import Refresh
from glview.ui.window import Window, WindowEvents, shown_title


class GLWindow(Window):
    """A window whose OpenGL context, `gl`, is current, on the EGL display `egl`.

    `alpha` says that its pixels have an alpha byte that nobody looks at.
    """

    def __init__(
        self,
        glfw: ModuleType,
        platform: Platform,
        title: str,
        size: tuple[int, int],
        wanted: Api | None,
        events: WindowEvents,
        *,
        vsync: bool = False,
        visible: bool = True,
    ) -> None:
        """`wanted` is the kind of context, None for OpenGL ES 3.0 or, failing that, 3.3 core.

        With `vsync` swaps come between two refreshes. Raises NoGraphicsError.
        """
        self._wanted, self._vsync = wanted, vsync
        self.alpha = platform == "x11"
        super().__init__(glfw, platform, title, size, events, visible=visible)
        self._refresh: Refresh | None = None
        if platform == "x11":  # Wayland asks for frames
            refresh = self._refresh = Refresh(glfw, self._handle)
            glfw.set_window_pos_callback(
                self._handle, lambda w, x, y: refresh.moved(x, y, self.size)
            )

    def _create(self, title: str, size: tuple[int, int]) -> Any:  # noqa: ANN401 - GLFW's own
        glfw = self._glfw
        handle, kind = self._create_with(title, size, self._wanted)
        if self.alpha and window_system.x11_depth(glfw, handle) == 32:
            glfw.destroy_window(handle)  # a compositor would show what is behind it
            self.alpha = False
            handle, kind = self._create_with(title, size, kind)
        glfw.make_context_current(handle)
        glfw.swap_interval(int(self._vsync))
        self.egl = EGL(glfw.get_egl_display())
        self._surface: int = glfw.get_egl_surface(handle)
        self.gl = GL(self.egl.find, es=kind == "es")
        return handle

    def _create_with(
        self, title: str, size: tuple[int, int], wanted: Api | None
    ) -> tuple[Any, Api]:
        glfw = self._glfw
        faults = window_system.collect_faults(glfw)
        kinds: tuple[Api, ...] = (wanted,) if wanted else ("es", "core")
        for kind in kinds:
            self._hint_gl(kind)
            handle = glfw.create_window(*size, shown_title(title), None, None)
            if handle:
                return handle, kind
        cause = faults[0] if faults else "no reason given"
        raise NoGraphicsError(
            f"no OpenGL ES 3.0 or OpenGL 3.3 context through EGL: {cause}",
            "install libegl1, libgles2 and libgl1-mesa-dri, or the driver of your GPU",
        )

    def _hint_gl(self, kind: Api) -> None:
        glfw = self._glfw
        self._hint()
        glfw.window_hint(glfw.CONTEXT_CREATION_API, glfw.EGL_CONTEXT_API)
        if kind == "es":
            glfw.window_hint(glfw.CLIENT_API, glfw.OPENGL_ES_API)
            major, minor = 3, 0
        else:
            glfw.window_hint(glfw.CLIENT_API, glfw.OPENGL_API)
            glfw.window_hint(glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE)
            major, minor = 3, 3
        glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, major)
        glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, minor)
        glfw.window_hint(glfw.DEPTH_BITS, 0)
        glfw.window_hint(glfw.STENCIL_BITS, 0)
        glfw.window_hint(glfw.ALPHA_BITS, 8 if self.alpha else 0)

    @property
    def next_frame(self) -> float:
        return self._refresh.next if self._refresh is not None else 0.0

    def buffer_age(self) -> int:
        """How many swaps ago the buffer that is drawn into next was; 0 where nobody knows."""
        return self.egl.buffer_age(self._surface)

    def swap(self, changed: tuple[int, int, int, int]) -> None:
        """Show what was drawn; of the window only `changed` is new, counted from the bottom."""
        if self.platform == "x11":
            # Software Mesa spins for ever on a connection that broke; Xlib notices it here.
            window_system.has_events(self._glfw, self.platform)
        if self._frames is not None:
            self._frames.ask()
        self.egl.swap(self._surface, changed)
        if self._refresh is not None:
            self._refresh.swapped()
