"""Choose a window system, load GLFW for it, and ask what GLFW leaves out."""

from __future__ import annotations

import ctypes
import select
import sys
from functools import cache
from types import ModuleType

from glview import ending
from glview.errors import NoDisplayError
from glview.ui.keymap import Platform
from glview.wayland import client


def collect_faults(glfw: ModuleType) -> list[str]:
    """A list that GLFW's error texts are put into from here on."""
    faults: list[str] = []

    def note(_code: int, text: bytes | str) -> None:
        faults.append(text.decode(errors="replace") if isinstance(text, bytes) else text)

    glfw.set_error_callback(note)
    return faults


def connection_fd(glfw: ModuleType, platform: Platform) -> int:
    """The descriptor that becomes readable when the window system has events."""
    if platform == "x11":
        return int(_xlib().XConnectionNumber(glfw.get_x11_display()))
    return int(_wayland().wl_display_get_fd(wayland_display(glfw)))


def check_connection(glfw: ModuleType, platform: Platform) -> None:
    """Raise NoDisplayError if the window system has gone.

    To GLFW a compositor that goes is the user's wish to close. An X server that goes while
    there is a window ends the process by itself, see `end_without_x11`.
    """
    # libwayland notes no error where it was writing that failed: then the hang-up is what tells.
    connection = select.poll()
    connection.register(connection_fd(glfw, platform), select.POLLRDHUP)
    if platform == "wayland" and _wayland().wl_display_get_error(wayland_display(glfw)):
        raise NoDisplayError("the Wayland compositor has gone")
    if connection.poll(0):
        what = "Wayland compositor" if platform == "wayland" else "X server"
        raise NoDisplayError(f"the {what} has gone")


def has_events(glfw: ModuleType, platform: Platform) -> bool:
    """Return True while events that were read from the descriptor wait in a queue."""
    if platform == "wayland":
        return client.has_events(wayland_display(glfw))
    return bool(_xlib().XPending(glfw.get_x11_display()))


def _end_without_x11(_display: int) -> int:
    """Xlib ends the process when this returns, by exit(), which waits for drivers' threads."""
    print("glview: the X server has gone", file=sys.stderr)
    ending.leave(NoDisplayError.exit_code)


_x11_lost = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_end_without_x11)


def end_without_x11() -> None:
    """End the process in order when the X server goes; before a connection is made."""
    _xlib().XSetIOErrorHandler(_x11_lost)


class _WindowAttributes(ctypes.Structure):
    """The start of Xlib's XWindowAttributes, with room for the rest."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("x", "y", "width", "height", "border", "depth")),
        ("rest", ctypes.c_char * 512),
    )


def x11_depth(glfw: ModuleType, window: object) -> int:
    """Bits of a pixel that the X server looks at: 24, or 32 where alpha makes it see-through."""
    attributes = _WindowAttributes()
    get = _xlib().XGetWindowAttributes
    get.argtypes = (ctypes.c_void_p, ctypes.c_ulong, ctypes.POINTER(_WindowAttributes))
    get(glfw.get_x11_display(), glfw.get_x11_window(window), ctypes.byref(attributes))
    return int(attributes.depth)


def x11_display(glfw: ModuleType) -> int:
    """The address of GLFW's Display."""
    return int(glfw.get_x11_display())


def wayland_display(glfw: ModuleType) -> int:
    """The address of GLFW's wl_display."""
    display = glfw._glfw.glfwGetWaylandDisplay
    display.restype = ctypes.c_void_p
    return int(display())


@cache
def _wayland() -> ctypes.CDLL:
    library = ctypes.CDLL("libwayland-client.so.0")
    library.wl_display_get_fd.argtypes = (ctypes.c_void_p,)
    library.wl_display_get_error.argtypes = (ctypes.c_void_p,)
    return library


@cache
def _xlib() -> ctypes.CDLL:
    library = ctypes.CDLL("libX11.so.6")
    library.XConnectionNumber.argtypes = (ctypes.c_void_p,)
    library.XPending.argtypes = (ctypes.c_void_p,)
    return library
