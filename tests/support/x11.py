"""A real X server without a screen, whose frame buffer is a file we can read.

What the file holds is what a monitor would show: no client, no driver and no
read-back call stands between it and the test.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.process import Child
from tests.support.screen import Picture
from tests.support.wait import until


@dataclass(frozen=True)
class Window:
    """A top-level window: its id, title and class, and its inside on the screen, in pixels."""

    id: int
    name: str
    wm_class: str
    x: int
    y: int
    width: int
    height: int


class Xvfb(Child):
    """Xvfb of `width` x `height` x 24 on a display number of its own choice.

    `cursor=False` leaves the host pointer out of the picture, where the
    server would otherwise paint it.
    """

    def __init__(
        self, folder: Path, width: int = 1920, height: int = 1200, *, cursor: bool = False
    ) -> None:
        self.folder = folder
        reader, writer = os.pipe()
        try:
            super().__init__(
                [
                    *("Xvfb", "-displayfd", str(writer), "-fbdir", str(folder)),
                    *("-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"),
                    *(() if cursor else ("-nocursor",)),
                ],
                folder / "xvfb.log",
                pass_fds=[writer],
            )
        finally:
            os.close(writer)
        with os.fdopen(reader) as numbers:
            line = numbers.readline()
        if not line:
            self.wait()
            self.check_alive()
        self.display = f":{int(line)}"
        self._screen = _XwdFile(folder / "Xvfb_screen0")

    def __enter__(self) -> Xvfb:
        return self

    def __exit__(self, *error: object) -> None:
        self._screen.close()
        self.kill()

    def kill(self) -> None:
        """End it at once. Its number is another server's as soon as it is dead, so clean first."""
        if self.alive:
            Path(f"/tmp/.X11-unix/X{self.display[1:]}").unlink(missing_ok=True)
        super().kill()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a client of this server, and of no other display."""
        clean = {key: value for key, value in os.environ.items() if key not in _DISPLAY_KEYS}
        return {**clean, "DISPLAY": self.display, **more}

    def screenshot(self) -> Picture:
        """A copy of the whole screen."""
        return self._screen.picture()

    def region(self, x: int, y: int, width: int, height: int) -> Picture:
        """A copy of a part of the screen; what lies outside the screen is left out."""
        return self._screen.picture(x, y, width, height)

    def inside(self, window: Window) -> Picture:
        """A copy of the part of the screen that a window covers."""
        return self.region(window.x, window.y, window.width, window.height)

    def windows(self) -> list[Window]:
        """All mapped top-level windows that have a class, lowest first."""
        tree = self._tool("xwininfo", "-root", "-children")
        found = [self.window(int(number, 16)) for number in _CHILD.findall(tree)]
        return [window for window in reversed(found) if window and window.wm_class]

    def window(self, number: int) -> Window | None:
        """The window of that id as it is now, or None if it is gone or not mapped."""
        try:
            info = self._tool("xwininfo", "-id", str(number))
            props = self._tool("xprop", "-id", str(number), "WM_CLASS")
        except subprocess.CalledProcessError:
            return None
        if "IsViewable" not in info:
            return None
        name = re.search(r'"(.*)"$', info.splitlines()[1])
        x, y, width, height = (int(v) for v in _GEOMETRY.findall(info)[:4])
        classes = re.findall(r'"([^"]*)"', props)
        wm_class = classes[-1] if classes else ""
        return Window(number, name[1] if name else "", wm_class, x, y, width, height)

    def wait_window(self, wm_class: str, timeout: float = 10.0) -> Window:
        """Wait for a mapped window of that class, case ignored. Raises `Timeout`."""

        def look() -> Window | None:
            matching = (w for w in self.windows() if w.wm_class.lower() == wm_class.lower())
            return next(matching, None)

        return until(look, f"a window of class {wm_class}", timeout)

    def xdotool(self, *words: str | int) -> str:
        """Run one xdotool command line: real X events, through the XTEST extension."""
        return self._tool("xdotool", *(str(word) for word in words))

    def find_window(self, pid: int) -> str:
        """Return the id of a visible window of a process, as text; empty if there is none."""
        try:
            return self.xdotool("search", "--onlyvisible", "--pid", pid).partition("\n")[0]
        except subprocess.CalledProcessError:
            return ""

    def park_pointer(self) -> None:
        """Move the host pointer to the bottom right corner, outside of windows."""
        height, width, _ = self.screenshot().shape
        self.xdotool("mousemove", width - 1, height - 1)

    def xkb_options(self, options: str) -> None:
        """Give the keyboard other options of XKB, as "caps:swapescape"."""
        self._tool("setxkbmap", "-layout", "us", "-option", options)

    def _tool(self, *argv: str) -> str:
        done = subprocess.run(
            argv, env=self.environment(), check=True, capture_output=True, text=True, timeout=20
        )
        return done.stdout


class _XwdFile:
    """The file that `Xvfb -fbdir` keeps mapped: an XWD dump that is always current."""

    def __init__(self, path: Path) -> None:
        until(lambda: path.exists() and path.stat().st_size > _XWD_HEADER.size, f"{path}")
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        header = _XWD_HEADER.unpack_from(self._map)
        size, version, _, depth, width, height, _, little = header[:8]
        bits, stride = header[11], header[12]
        if (version, depth, bits) != (7, 24, 32):
            raise ValueError(f"{path}: XWD {version}, depth {depth}, {bits} bits per pixel")
        start = size + 12 * header[19]  # the colour map lies between
        pixels = np.frombuffer(self._map, np.uint8, stride * height, start)
        rows = pixels.reshape(height, stride)[:, : width * 4].reshape(height, width, 4)
        # Words 0x00RRGGBB in the server's byte order: 0 is little-endian.
        self._rgb = rows[..., 2::-1] if little == 0 else rows[..., 1:]

    def picture(
        self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None
    ) -> Picture:
        right = None if width is None else max(x + width, 0)
        bottom = None if height is None else max(y + height, 0)
        return self._rgb[max(y, 0) : bottom, max(x, 0) : right].copy()

    def close(self) -> None:
        del self._rgb
        self._map.close()


_XWD_HEADER = struct.Struct(">25I")  # X11/XWDFile.h: always big-endian
_DISPLAY_KEYS = {"DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "XDG_SESSION_TYPE", "XAUTHORITY"}
_CHILD = re.compile(r"^ +(0x[0-9a-f]+) ", re.MULTILINE)
_GEOMETRY = re.compile(r"(?:Absolute upper-left [XY]|Width|Height): +(-?\d+)", re.MULTILINE)


@contextlib.contextmanager
def client(xvfb: Xvfb, argv: list[str], env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Run any other X client for the length of a `with` block."""
    log = xvfb.folder / f"{Path(argv[0]).name}.log"
    with Child(argv, log, env=env or xvfb.environment()) as child:
        yield child
