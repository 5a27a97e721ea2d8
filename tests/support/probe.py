"""What this machine can do, found by trying; and the versions that decide it.

Run as a program (`python -m tests.support.probe`) it prints what EGL says, as
JSON: a driver that crashes on the attempt takes only that process with it.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.x11 import Xvfb

Version = tuple[int, ...]

QEMU = "qemu-system-x86_64"
EXTERNAL_GPU = Path("/usr/lib/qemu/vhost-user-gpu")
"""In Debian's qemu-system-gui, of which scripts/vm/layer takes nothing else."""


@functools.cache
def qemu_version() -> Version | None:
    """QEMU's version, as (10, 0, 13), or None without QEMU."""
    try:
        done = subprocess.run([QEMU, "--version"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return _version(done.stdout, r"version ([\d.]+)")


def mesa_version() -> Version | None:
    """Mesa's version, as (25, 0, 7), or None where another driver draws."""
    return _version(str(_egl("surfaceless")["version"]), r"Mesa ([\d.]+)")


def python_version() -> Version:
    """Version of the interpreter that runs the tests."""
    return sys.version_info[:3]


def kernel_image() -> Path | None:
    """A Linux kernel to boot in a guest: the one scripts/setup unpacked, or the machine's."""
    places = [Path(sys.prefix, "share/glview"), Path(__file__).parents[2] / ".venv/share/glview"]
    for folder in (*places, Path("/boot")):
        for image in sorted(folder.glob("vmlinuz*")):
            if os.access(image, os.R_OK):
                return image
    return None


def imports_memfd(platform: str) -> Callable[[], bool]:
    """A probe that says whether EGL takes a memfd as the plane of a dma-buf.

    `platform` is "x11", on Xvfb, or "surfaceless".
    """
    return lambda: bool(_egl(platform)["imports"])


def exports_dmabuf() -> bool:
    """Whether QEMU can run with gl=on and hand out real dma-bufs."""
    render_nodes = list(Path("/dev/dri").glob("renderD*"))
    return bool(render_nodes) and Path("/dev/udmabuf").exists()


def exports_from_outside() -> bool:
    """Whether that can be done by QEMU's GPU in a process of its own."""
    return exports_dmabuf() and EXTERNAL_GPU.exists()


def qemu_at_least(*least: int) -> Callable[[], bool]:
    """A probe that says whether QEMU is that version or newer."""
    return lambda: (qemu_version() or ()) >= least


def qemu_unlike(first: Version, last: Version) -> Callable[[], bool]:
    """A probe that says whether QEMU lies outside `first` <= version < `last`."""
    return lambda: not first <= (qemu_version() or ()) < last


def _version(text: str, pattern: str) -> Version | None:
    found = re.search(pattern, text)
    return tuple(int(part) for part in found[1].split(".")) if found else None


@functools.cache
def _egl(platform: str) -> dict[str, object]:
    """The answer of this module run as a program; nothing known if that fails."""
    if platform == "x11":
        with tempfile.TemporaryDirectory() as folder, Xvfb(Path(folder), 64, 64) as server:
            return _run(server.environment(EGL_PLATFORM="x11"))
    return _run({**os.environ, "EGL_PLATFORM": platform})


def _run(environ: Mapping[str, str]) -> dict[str, object]:
    argv = [sys.executable, "-m", "tests.support.probe"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        argv, cwd=root, env=environ, check=False, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        return {"version": "", "imports": False}
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


# Names and numbers from EGL/egl.h, EGL/eglext.h, GLES2/gl2.h and drm_fourcc.h.
_EGL_OPENGL_ES_API = 0x30A0
_EGL_NONE = 0x3038
_EGL_WIDTH, _EGL_HEIGHT, _EGL_CONTEXT_CLIENT_VERSION = 0x3057, 0x3056, 0x3098
_EGL_LINUX_DMA_BUF_EXT, _EGL_LINUX_DRM_FOURCC_EXT = 0x3270, 0x3271
_EGL_PLANE0_FD, _EGL_PLANE0_OFFSET, _EGL_PLANE0_PITCH = 0x3272, 0x3273, 0x3274
_GL_VERSION = 0x1F02
_DRM_FORMAT_XRGB8888 = 0x34325258


def _ask_egl() -> dict[str, object]:
    """Open EGL on the platform that EGL_PLATFORM names; ask for the version, import a memfd."""
    egl = ctypes.CDLL("libEGL.so.1")
    pointer = ctypes.c_void_p
    for name in ("eglGetProcAddress", "eglGetDisplay", "eglCreateContext"):
        getattr(egl, name).restype = pointer
    display = pointer(egl.eglGetDisplay(None))
    if not egl.eglInitialize(display, None, None):
        sys.exit("no EGL")
    egl.eglBindAPI(_EGL_OPENGL_ES_API)
    attributes = (ctypes.c_int * 3)(_EGL_CONTEXT_CLIENT_VERSION, 2, _EGL_NONE)
    context = pointer(egl.eglCreateContext(display, None, None, attributes))
    egl.eglMakeCurrent(display, None, None, context)
    address = pointer(egl.eglGetProcAddress(b"glGetString"))
    get_string = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_uint)(address.value or 0)
    version = (get_string(_GL_VERSION) or b"").decode()
    return {"version": version, "imports": _import_memfd(egl, display)}


def _import_memfd(egl: ctypes.CDLL, display: ctypes.c_void_p) -> bool:
    address = egl.eglGetProcAddress(b"eglCreateImageKHR")
    if not address:
        return False
    pointer = ctypes.c_void_p
    create = ctypes.CFUNCTYPE(
        pointer, pointer, pointer, ctypes.c_uint, pointer, ctypes.POINTER(ctypes.c_int)
    )(address)
    width, height = 64, 16
    fd = os.memfd_create("plane")
    os.ftruncate(fd, width * 4 * height)
    attributes = [
        *(_EGL_WIDTH, width, _EGL_HEIGHT, height),
        *(_EGL_LINUX_DRM_FOURCC_EXT, _DRM_FORMAT_XRGB8888),
        *(_EGL_PLANE0_FD, fd, _EGL_PLANE0_OFFSET, 0, _EGL_PLANE0_PITCH, width * 4),
        _EGL_NONE,
    ]
    array = (ctypes.c_int * len(attributes))(*attributes)
    return bool(create(display, None, _EGL_LINUX_DMA_BUF_EXT, None, array))


if __name__ == "__main__":
    json.dump(_ask_egl(), sys.stdout)
