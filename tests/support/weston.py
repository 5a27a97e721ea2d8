"""A real Wayland compositor with a seat: weston in a window of an Xvfb."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np

from tests.support.process import Child
from tests.support.screen import Picture, colours
from tests.support.wait import until
from tests.support.x11 import Xvfb

BACKGROUND = (0x12, 0x34, 0x56)
"""Colour of the empty desktop (with the desktop shell)."""

_CONFIG = """\
[core]
idle-time=0
[shell]
panel-position=none
background-color=0xff{:02x}{:02x}{:02x}
background-image=
locking=false
animation=none
startup-animation=none
close-animation=none
"""


class Weston(Child):
    """Weston with the pixman renderer, its output at the top left of `xvfb`.

    The output has `width` x `height` pixels, `scale` of them to a unit of windows.

    `shell` is `desktop`, which leaves windows their size, or `kiosk`, which
    makes each as large as the output, as a tiling compositor does. Keys and
    pointer events come from `xvfb.xdotool` and reach clients through weston's
    seat. The pointer is parked at the bottom right of the output, where it also
    keeps the keyboard; weston cannot hide it, it covers the last few units.
    """

    def __init__(
        self,
        xvfb: Xvfb,
        folder: Path,
        width: int = 1280,
        height: int = 900,
        *,
        shell: str = "desktop",
        scale: int = 1,
    ) -> None:
        self.folder = folder
        self._xvfb = xvfb
        self._size = width, height
        self.scale = scale
        folder.chmod(0o700)  # demanded of an XDG_RUNTIME_DIR
        self.socket = folder / "wayland-test"
        config = folder / "weston.ini"
        config.write_text(_CONFIG.format(*BACKGROUND))
        xvfb.park_pointer()  # weston starts with a pointer of its own at an odd place
        # --debug gives every client the right to take screenshots.
        super().__init__(
            [
                *("weston", "--backend", _module("x11-backend"), "--debug"),
                *("--shell", _module(f"{shell}-shell"), "--config", str(config)),
                *("--socket", self.socket.name, f"--width={width // scale}"),
                *(f"--height={height // scale}", f"--scale={scale}"),
                "--renderer=pixman" if version() >= (12, 0) else "--use-pixman",
            ],
            folder / "weston.log",
            env=xvfb.environment(XDG_RUNTIME_DIR=str(folder)),
        )
        try:
            until(self._ready, "weston's desktop on the X screen", 20.0)
            self._park_pointer()
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Weston:
        return self

    def _ready(self) -> bool:
        self.check_alive()
        width, height = self._size
        corner = self._xvfb.region(width - 1, height - 1, 1, 1)
        return self.socket.exists() and bool(corner.any())

    def _park_pointer(self) -> None:
        width, height = self._size
        self._xvfb.xdotool("mousemove", width - 1, height - 1)

        def alone() -> bool:  # the pointer's picture reaches a few units up and left of its place
            margin = 8 * self.scale
            return colours(self._xvfb.region(0, 0, width - margin, height - margin)) == 1

        until(alone, "weston's pointer to move to the corner")

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a client of this compositor, and of no X server."""
        env = self._xvfb.environment()
        del env["DISPLAY"]
        own = {"WAYLAND_DISPLAY": self.socket.name, "XDG_RUNTIME_DIR": str(self.folder)}
        return {**env, **own, **more}

    def screenshot(self) -> Picture:
        """The whole output, as weston's own screenshooter saves it."""
        subprocess.run(
            ["weston-screenshooter"],
            env=self.environment(XDG_PICTURES_DIR=str(self.folder)),
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=20,
        )
        (path,) = self.folder.glob("wayland-screenshot-*.png")
        picture = read_png(path)
        path.unlink()
        return picture


def read_png(path: Path) -> Picture:
    """Read a PNG without transparency, through the cairo library that weston needs itself."""
    cairo = ctypes.CDLL("libcairo.so.2")
    for name in ("image_surface_create_from_png", "image_surface_get_data"):
        getattr(cairo, f"cairo_{name}").restype = ctypes.c_void_p
    surface = ctypes.c_void_p(cairo.cairo_image_surface_create_from_png(str(path).encode()))
    try:
        if cairo.cairo_surface_status(surface):
            raise ValueError(f"{path}: not a PNG")
        width, height, stride = (
            int(getattr(cairo, f"cairo_image_surface_get_{what}")(surface))
            for what in ("width", "height", "stride")
        )
        raw = ctypes.string_at(cairo.cairo_image_surface_get_data(surface), stride * height)
    finally:
        cairo.cairo_surface_destroy(surface)
    # Native-endian words 0xAARRGGBB, on x86 the bytes B, G, R, A.
    words = np.frombuffer(raw, np.uint8).reshape(height, stride)[:, : 4 * width]
    return words.reshape(height, width, 4)[..., 2::-1].copy()


def version() -> tuple[int, int]:
    """Major and minor number of the installed weston. Raises if there is none."""
    text = subprocess.run(["weston", "--version"], check=True, capture_output=True, text=True)
    found = re.search(r"weston (\d+)\.(\d+)", text.stdout)
    assert found, text.stdout
    return int(found[1]), int(found[2])


def _module(name: str) -> str:
    """A module as `--backend` and `--shell` want it: a file name before weston 12."""
    return name.rpartition("-")[0] if version() >= (12, 0) else f"{name}.so"
