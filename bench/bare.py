"""`python -m bench.bare WIDTH HEIGHT COLOUR`: the least that shows a texture through Python.

GLFW, EGL and OpenGL ES, one texture of one colour (0xRRGGBB) over the whole window; it
stays until it is killed.
"""

from __future__ import annotations

import ctypes
import sys
import time

from glview.ui.loading import load_glfw

_RGBA, _UNSIGNED_BYTE, _TEXTURE_2D = 0x1908, 0x1401, 0x0DE1
_READ_FRAMEBUFFER, _COLOR_ATTACHMENT0 = 0x8CA8, 0x8CE0
_COLOR_BUFFER_BIT, _NEAREST = 0x4000, 0x2600


def main(width: int, height: int, colour: int) -> None:
    """Show it."""
    glfw = load_glfw("x11")  # import glfw by itself takes longer
    glfw.window_hint(glfw.CLIENT_API, glfw.OPENGL_ES_API)
    glfw.window_hint(glfw.CONTEXT_CREATION_API, glfw.EGL_CONTEXT_API)
    glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, 3)
    window = glfw.create_window(width, height, "bare", None, None)
    glfw.make_context_current(window)
    glfw.swap_interval(0)
    gl = ctypes.CDLL("libGLESv2.so.2")
    _texture(gl, width, height, colour)
    for _ in range(3):  # the window is mapped, and exposed, in its own time
        glfw.poll_events()
        corners = 0, 0, width, height
        gl.glBlitFramebuffer(*corners, *corners, _COLOR_BUFFER_BIT, _NEAREST)
        glfw.swap_buffers(window)
        time.sleep(0.02)
    while not glfw.window_should_close(window):
        glfw.wait_events()


def _texture(gl: ctypes.CDLL, width: int, height: int, colour: int) -> None:
    """A texture, to be read from by blits."""
    name = ctypes.c_uint()
    gl.glGenTextures(1, ctypes.byref(name))
    gl.glBindTexture(_TEXTURE_2D, name)
    pixels = (colour << 8 | 0xFF).to_bytes(4, "big") * (width * height)
    size = width, height, 0, _RGBA, _UNSIGNED_BYTE
    gl.glTexImage2D(_TEXTURE_2D, 0, _RGBA, *size, pixels)
    frame = ctypes.c_uint()
    gl.glGenFramebuffers(1, ctypes.byref(frame))
    gl.glBindFramebuffer(_READ_FRAMEBUFFER, frame)
    attached = _READ_FRAMEBUFFER, _COLOR_ATTACHMENT0, _TEXTURE_2D, name, 0
    gl.glFramebufferTexture2D(*attached)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3], 0))
