"""Start GLFW on the first window system that answers.

What the environment names may be dead: a compositor that has ended leaves its socket,
`sudo`, tmux and ssh keep variables of other sessions. So each is tried, and only where
none works that is an error, which names the cause for each.
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

from glview.errors import GlviewError, InstallError, NoDisplayError
from glview.ui import platform as window_system
from glview.ui.keymap import Platform
from glview.wayland import client

log = logging.getLogger(__name__)

Choice = Literal["auto", "wayland", "x11"]

_VARIABLE = {"wayland": "WAYLAND_DISPLAY", "x11": "DISPLAY"}
_ACCESS = {"wayland": "get_wayland_display", "x11": "get_x11_display"}

# GLFW 3.4's init hint and its values; older bindings have no names for them.
_PLATFORM_HINT = 0x00050003
_HINTS = {"wayland": 0x00060003, "x11": 0x00060004}


_TO_LOAD = 8  # descriptors that loading GLFW takes at most, with some to spare


def _check_descriptors() -> None:
    """Raise OSError where no descriptor is left to read a library by: glfw tells no reason."""
    fds: list[int] = []
    try:
        while len(fds) < _TO_LOAD:
            fds.append(os.dup(0))
    finally:
        for fd in fds:
            os.close(fd)


def candidates(choice: Choice = "auto") -> tuple[Platform, ...]:
    """Return the window systems to try, the best first. Raises NoDisplayError where none is.

    PYGLFW_LIBRARY_VARIANT says which comes first; else Wayland does. GLFW by itself would
    look at XDG_SESSION_TYPE only, which is unset over ssh and under systemd.
    """
    if choice != "auto":
        return (choice,)
    found: list[Platform] = []
    if os.environ.get("WAYLAND_DISPLAY") or os.environ.get("WAYLAND_SOCKET"):
        found.append("wayland")
    if os.environ.get("DISPLAY"):
        found.append("x11")
    wanted = os.environ.get("PYGLFW_LIBRARY_VARIANT", "").lower()
    found.sort(key=lambda platform: platform != wanted)
    if not found:
        raise NoDisplayError(
            "there is no display to open a window on",
            "set DISPLAY for an X server or WAYLAND_DISPLAY for a compositor",
        )
    return tuple(found)


def start_glfw(platforms: tuple[Platform, ...]) -> tuple[ModuleType, Platform]:
    """Return GLFW, initialised on the first of `platforms` that works, and which that is.

    Raises NoDisplayError with the cause for each, and InstallError where GLFW is missing.
    """
    errors: list[GlviewError] = []
    for platform in platforms:
        try:
            glfw = load_glfw(platform)
        except (NoDisplayError, InstallError) as error:
            errors.append(error)
            log.info("%s", error)
        else:
            return glfw, platform
    if len(errors) == 1 or all(isinstance(error, InstallError) for error in errors):
        raise errors[0]
    raise NoDisplayError("; ".join(str(error) for error in errors))


def load_glfw(platform: Platform) -> ModuleType:
    """Import glfw with its library for `platform`, and initialise it.

    Raises NoDisplayError, and InstallError where there is no such library.
    """
    try:
        glfw = _import(platform)
    except ImportError as error:
        _check_descriptors()
        raise InstallError(f"glfw cannot be loaded: {error}", "pip install glfw") from None
    if not hasattr(glfw, _ACCESS[platform]):
        raise _refusal(platform, f"{glfw._glfw._name} is a GLFW without it")
    glfw.__dict__["ERROR_REPORTING"] = "ignore"
    faults = window_system.collect_faults(glfw)
    if glfw.get_version() >= (3, 4):  # earlier ones have one window system only
        glfw.init_hint(_PLATFORM_HINT, _HINTS[platform])
    if platform == "wayland" and _lacks_seat(glfw):
        raise _refusal(platform, "the compositor has no seat, which GLFW before 3.5 needs")
    if not (_start_x11(glfw) if platform == "x11" else glfw.init()):
        cause = _compositor_fault() if platform == "wayland" else ""
        cause = cause or (faults[-1] if faults else "no reason given")
        if (lack := os.strerror(errno.EMFILE)) in cause:
            raise OSError(errno.EMFILE, lack)
        raise _refusal(platform, cause)
    return glfw


def _lacks_seat(glfw: ModuleType) -> bool:
    """Return whether GLFW would crash; a connection in WAYLAND_SOCKET can be used once only."""
    if glfw.get_version() >= (3, 5) or "WAYLAND_SOCKET" in os.environ:
        return False
    return not client.has_seat()


def _import(platform: Platform) -> ModuleType:
    """Import the module glfw anew, with the library that holds `platform`. Raises ImportError."""
    for name in ("glfw", "glfw.library"):  # left from a window system that did not answer
        sys.modules.pop(name, None)
    library = os.environ.get("PYGLFW_LIBRARY") or _bundled_library(platform)
    # Named outright, it is not searched for with a child process each.
    with _environment(PYGLFW_LIBRARY_VARIANT=platform, PYGLFW_LIBRARY=library):
        import glfw
    module: ModuleType = glfw
    return module


def _start_x11(glfw: ModuleType) -> bool:
    """Initialise GLFW on the X server.

    Xlib is spared reading 5000 compose sequences, which takes 15 ms: keys are wanted
    here, not text. On Wayland that would be an error message of libxkbcommon's.
    """
    window_system.end_without_x11()
    with _environment(XCOMPOSEFILE=os.devnull):
        return bool(glfw.init())


def _refusal(platform: Platform, cause: str) -> NoDisplayError:
    name = _VARIABLE[platform]
    value = os.environ.get(name)
    return NoDisplayError(f"cannot use {name}{'' if value is None else f'={value}'}: {cause}")


def _compositor_fault() -> str:
    """Return why no compositor can be reached; empty where one is there. GLFW does not say."""
    name = os.environ.get("WAYLAND_DISPLAY") or "wayland-0"
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder and not name.startswith("/"):
        return "XDG_RUNTIME_DIR is not set"
    path = os.path.join(folder or "", name)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return f"nobody listens on {path}"
        except OSError as error:
            return f"{path}: {error.strerror or error}"
    return ""


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set variables of the environment for a while; None leaves one as it is."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _bundled_library(platform: Platform) -> str | None:
    """Return the library that the wheel of glfw brings for `platform`, if it brings one."""
    spec = importlib.util.find_spec("glfw")
    if spec is None or spec.origin is None:
        return None
    path = os.path.join(os.path.dirname(spec.origin), platform, "libglfw.so")
    return path if os.path.isfile(path) else None
