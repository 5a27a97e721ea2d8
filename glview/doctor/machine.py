"""Facts that need no driver: versions, and device files with our right to open them."""

from __future__ import annotations

import ctypes
import fcntl
import grp
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from glview import __version__
from glview.doctor.facts import Node

_DRM_VERSION = 0xC0406400
PACKAGES = ("glfw", "numpy", "PyOpenGL", "dbus-next", "qemu.qmp")


def versions() -> dict[str, str]:
    """Of glview, Python, its packages and the kernel."""
    found = {"glview": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "kernel": f"{platform.system()} {platform.release()}"}


def nodes(dev: Path = Path("/dev")) -> list[Node]:
    """The device files that dma-bufs come from."""
    places = ("dri/renderD*", "dri/card*", "udmabuf", "dma_heap/*")
    paths = (path for place in places for path in sorted(dev.glob(place)))
    return [_node(path) for path in paths]


def render_nodes(found: Iterable[Node]) -> list[Node]:
    """Those of them that QEMU can draw with."""
    return [node for node in found if "/renderD" in node.path]


def _node(path: Path) -> Node:
    if path.name.startswith("card"):  # opening it may make us the master of the screen
        allowed = os.access(path, os.R_OK | os.W_OK)
        return Node(str(path), problem="" if allowed else _advise(path, "Permission denied"))
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return Node(str(path), problem=_advise(path, str(error.strerror)))
    try:
        return Node(str(path), _driver(fd) if path.parent.name == "dri" else "")
    finally:
        os.close(fd)


class _Version(ctypes.Structure):
    """The kernel's struct drm_version, as far as its name; the rest stays empty. (drm.h)"""

    _fields_ = (
        ("numbers", ctypes.c_int * 3),
        ("name_length", ctypes.c_size_t),
        ("name", ctypes.c_void_p),
        ("rest", ctypes.c_size_t * 4),
    )


def _driver(fd: int) -> str:
    """The name of the kernel's driver behind a node of /dev/dri; empty if it does not tell."""
    name = ctypes.create_string_buffer(64)
    version = _Version(name_length=len(name) - 1, name=ctypes.addressof(name))
    try:
        fcntl.ioctl(fd, _DRM_VERSION, version)
    except OSError:
        return ""
    return name.value.decode(errors="replace")


def _advise(path: Path, problem: str) -> str:
    """The problem, and which group one should be in, where that is an answer."""
    group = _group(path)
    return f"{problem}; group {group} may" if group else problem


def _group(path: Path) -> str:
    """The group of a file, empty where we are in it or it has none to speak of."""
    try:
        group = path.stat().st_gid
        return "" if group == 0 or group in os.getgroups() else grp.getgrgid(group).gr_name
    except (OSError, KeyError):
        return ""
