"""Opens a window together with the presenter that is the fastest for it.

On X11 with a software renderer that is X shared memory, by a window without
OpenGL: then Mesa is not loaded before something has to be composed. Whether
OpenGL would be drawn by the CPU is known without it where there is no GPU to
open; else it has to be asked.
"""

from __future__ import annotations

import glob
import logging
import os
from types import ModuleType

from glview.errors import NoGraphicsError
from glview.present import xshm
from glview.present.presenter import Presenter, Wanted
from glview.present.shm import ShmPresenter
from glview.ui.keymap import Platform
from glview.ui.window import Window, WindowEvents

log = logging.getLogger(__name__)

# GPUs with drivers that come without a render node of the kernel's: NVIDIA's, WSL's, ARM's.
_OTHER_GPUS = ("/dev/nvidia*", "/dev/dxg", "/dev/mali*", "/dev/kgsl-3d0")
_TRUE = ("1", "true", "yes", "y", "on")  # as Mesa reads its environment


def open_window(
    glfw: ModuleType,
    platform: Platform,
    title: str,
    size: tuple[int, int],
    wanted: Wanted,
    events: WindowEvents,
) -> tuple[Window, Presenter]:
    """A window whose framebuffer is of `size` pixels, and its presenter. Raises GlviewError."""
    if _wants_shared_memory(platform, wanted):
        shown = None
        if wanted.present == "auto" and not cpu_draws():
            shown = _on_gpu(glfw, platform, title, size, wanted, events)
        shown = shown or _by_shared_memory(glfw, platform, title, size, wanted, events)
        if shown is not None:
            return shown
    return _by_swap(glfw, platform, title, size, wanted, events)


def _wants_shared_memory(platform: Platform, wanted: Wanted) -> bool:
    """Return whether to try shared memory first: for `vsync` only a swap will do."""
    if wanted.present == "shm" and platform != "x11":
        log.warning("--present shm needs X11; pictures are swapped here")
        return False
    return wanted.present == "shm" or (
        wanted.present == "auto" and platform == "x11" and not wanted.vsync
    )


def cpu_draws() -> bool:
    """Whether OpenGL is drawn by the CPU for certain; False where that is to be found out."""
    if any(glob.glob(pattern) for pattern in _OTHER_GPUS):
        return False
    if os.environ.get("LIBGL_ALWAYS_SOFTWARE", "").lower() in _TRUE:
        return True
    nodes = glob.glob("/dev/dri/renderD*")
    return not any(os.access(node, os.R_OK | os.W_OK) for node in nodes)


def _by_swap(
    glfw: ModuleType,
    platform: Platform,
    title: str,
    size: tuple[int, int],
    wanted: Wanted,
    events: WindowEvents,
) -> tuple[Window, Presenter]:
    from glview.present.swap import SwapPresenter
    from glview.ui.glwindow import GLWindow

    window = GLWindow(glfw, platform, title, size, wanted.api, events, vsync=wanted.vsync)
    return window, SwapPresenter(window)


def _on_gpu(
    glfw: ModuleType,
    platform: Platform,
    title: str,
    size: tuple[int, int],
    wanted: Wanted,
    events: WindowEvents,
) -> tuple[Window, Presenter] | None:
    """The same, None unless a GPU draws."""
    from glview.present.swap import SwapPresenter
    from glview.ui.glwindow import GLWindow

    try:
        window = GLWindow(
            glfw, platform, title, size, wanted.api, events, vsync=wanted.vsync, visible=False
        )
    except NoGraphicsError as error:
        log.info("no OpenGL: %s", error)
        return None
    if window.gl.software:
        window.close()
        return None
    window.show()
    return window, SwapPresenter(window)


def _by_shared_memory(
    glfw: ModuleType,
    platform: Platform,
    title: str,
    size: tuple[int, int],
    wanted: Wanted,
    events: WindowEvents,
) -> tuple[Window, Presenter] | None:
    """The same by X shared memory, None where the X server does not take it."""
    window = Window(glfw, platform, title, size, events, visible=False)
    try:
        connection = xshm.Connection(window.x11_id)
    except NoGraphicsError as error:
        level = logging.WARNING if wanted.present == "shm" else logging.INFO
        log.log(level, "no X shared memory, pictures are swapped: %s", error)
        window.close()
        return None
    window.show()
    log.info("pictures are put out of X shared memory")
    return window, ShmPresenter(connection, wanted)
