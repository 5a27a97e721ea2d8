"""What is asked of the window system and the driver, by the code that the viewer uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import cast

from glview.doctor import dri3
from glview.doctor.child import Teller
from glview.doctor.facts import Trial
from glview.errors import NoGraphicsError
from glview.gl import buffers, selftest
from glview.gl.api import Api
from glview.gl.dmabuf import Importer
from glview.present import xcb
from glview.scanout.formats import MOD_LINEAR, fourcc_code, fourcc_text
from glview.ui.glwindow import GLWindow
from glview.ui.keymap import Platform
from glview.ui.loading import Choice, candidates, start_glfw
from glview.ui.window import WindowEvents

API: dict[str, Api | None] = {"auto": None, "es": "es", "core": "core"}
CHOICE: dict[str, Choice] = {"auto": "auto", "wayland": "wayland", "x11": "x11"}

EGL_EXTENSIONS = (
    "EGL_EXT_image_dma_buf_import",
    "EGL_EXT_image_dma_buf_import_modifiers",
    "EGL_KHR_fence_sync",
    "EGL_ANDROID_native_fence_sync",
    "EGL_KHR_surfaceless_context",
    "EGL_MESA_image_dma_buf_export",
)
GL_EXTENSIONS = (
    "GL_OES_EGL_image",
    "GL_OES_EGL_image_external",
    "GL_EXT_texture_format_BGRA8888",
    "GL_EXT_texture_storage",
)
_FORMATS = ("XR24", "AR24", "XB24", "AB24", "NV12", "P010")


class _Deaf:
    """Hears nothing of what happens to the window."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def window(tell: Teller, api: Api | None, choice: str) -> None:
    """Everything in `WindowFacts`."""
    opened = _open(tell, api, choice)
    _describe(tell, opened)
    tell.step("querying dma-buf formats")
    tell.fact("formats", _formats(opened))
    tell.step("querying the GPU")
    tell.fact("drm_node", opened.egl.drm_node())
    if opened.platform == "x11":
        _ask_x_server(tell, opened)
    trials: list[Trial] = []
    for fmt in selftest.GUEST_FORMATS:
        name = fourcc_text(fmt.fourcc)
        tell.step(f"uploading {name}")
        trials.append(Trial("upload", name, *selftest.upload(opened.gl, fmt)))
        tell.fact("uploads", [asdict(trial) for trial in trials])


def importing(tell: Teller, api: Api | None, choice: str, kind: str, node: str) -> None:
    """The import self-test in one kind of buffer, see `buffers.make`: `trials`."""
    opened = _open(tell, api, choice)
    importer = Importer(opened.gl, opened.egl)
    tell.step(f"making a {kind}")
    try:
        buffer = buffers.make(kind, node)
    except OSError as error:
        raise NoGraphicsError(f"no {kind}: {error}") from None
    trials: list[Trial] = []
    for fmt in selftest.GUEST_FORMATS:
        name = fourcc_text(fmt.fourcc)
        tell.step(f"importing {name}")
        outcome = selftest.imported(opened.gl, importer, buffer, fmt)
        trials.append(Trial(kind, name, *outcome))
        tell.fact("trials", [asdict(trial) for trial in trials])


def _open(tell: Teller, api: Api | None, choice: str) -> GLWindow:
    tell.step("looking for a display")
    platforms = candidates(CHOICE[choice])
    _tell_display(tell, platforms[0])
    tell.step("starting GLFW")
    glfw, platform = start_glfw(platforms)
    _tell_display(tell, platform)
    tell.fact("glfw_version", glfw.get_version_string().decode())
    tell.fact("glfw_library", str(glfw._glfw._name))
    tell.step("opening a window with OpenGL")
    size, events = (buffers.WIDTH, buffers.HEIGHT), cast(WindowEvents, _Deaf())
    return GLWindow(glfw, platform, "glview doctor", size, api, events, visible=False)


def _tell_display(tell: Teller, platform: Platform) -> None:
    name = "WAYLAND_DISPLAY" if platform == "wayland" else "DISPLAY"
    tell.fact("platform", platform)
    tell.fact("display", f"{name}={os.environ.get(name, '')}")


def _describe(tell: Teller, opened: GLWindow) -> None:
    egl, gl = opened.egl, opened.gl
    tell.fact("api", "OpenGL ES" if gl.es else "OpenGL core")
    tell.fact("egl_vendor", egl.vendor)
    tell.fact("egl_version", egl.version)
    tell.fact("egl_driver", egl.driver_name())
    tell.fact("gl_version", gl.version)
    tell.fact("gl_renderer", gl.renderer)
    tell.fact("extensions", {name: name in egl.extensions for name in EGL_EXTENSIONS})
    tell.fact("gl_extensions", {name: name in gl.extensions for name in GL_EXTENSIONS})


def _formats(opened: GLWindow) -> dict[str, list[str]] | None:
    """The formats that guests use, with the modifiers that the driver imports."""
    there = opened.egl.dmabuf_formats()
    if not there:
        return None
    codes = {name: fourcc_code(name) for name in _FORMATS}
    return {name: _modifiers(opened, code) for name, code in codes.items() if code in there}


def _modifiers(opened: GLWindow, fourcc: int) -> list[str]:
    modifiers = opened.egl.dmabuf_modifiers(fourcc).items()
    names = {MOD_LINEAR: "LINEAR"}
    return [
        names.get(number, f"{number:#x}") + (" (external)" if external else "")
        for number, external in modifiers
    ]


def _ask_x_server(tell: Teller, opened: GLWindow) -> None:
    tell.step("asking the X server for its GPU")
    tell.fact("dri3_node", dri3.node(opened.x11_id))
    tell.step("asking the X server for shared memory")
    try:
        xcb.Display(opened.x11_id).close()
    except NoGraphicsError as error:
        tell.fact("shm", str(error.args[0]))
