"""Facts that need no driver: versions, and device files with our right to open them."""

from __future__ import annotations

import grp
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from glview import __version__
from glview.doctor.facts import Node

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
    return [Node(str(path), _driver(path.name), _problem(path)) for path in paths]


def render_nodes(found: Iterable[Node]) -> list[Node]:
    """Those of them that QEMU can draw with."""
    return [node for node in found if "/renderD" in node.path]


def _driver(name: str) -> str:
    """The kernel's driver of a /dev/dri node; empty where there is no device behind it."""
    link = Path(f"/sys/class/drm/{name}/device/driver")
    return link.resolve().name if link.exists() else ""


def _problem(path: Path) -> str:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{error.strerror}; {_group(path)}" if _group(path) else str(error.strerror)
    return ""


def _group(path: Path) -> str:
    """The group that one should be in, in words; empty where that is no answer."""
    try:
        group = path.stat().st_gid
        if group == 0 or group in os.getgroups():
            return ""
        return f"group {grp.getgrgid(group).gr_name} may"
    except (OSError, KeyError):
        return ""
