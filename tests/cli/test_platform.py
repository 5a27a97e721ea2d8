"""Which window system is used, where the environment names dead ones and living ones."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from glview.testing import ConsoleOptions, FakeVm
from tests.support.canvas import Canvas
from tests.support.carriers import Sent
from tests.support.layouts import LAYOUTS
from tests.support.process import Child
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston, version
from tests.support.x11 import Xvfb

StartOn = Callable[..., Viewer]
DEAD_X11 = ":9999"
DEBIAN_GLFW = "/usr/lib/x86_64-linux-gnu/libglfw.so.3"


def _no_socket(folder: Path) -> dict[str, str]:
    return {"WAYLAND_DISPLAY": "wayland-9", "XDG_RUNTIME_DIR": str(folder)}


def _stale_socket(folder: Path) -> dict[str, str]:
    """A compositor that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "wayland-9"))
    return _no_socket(folder)


def _no_folder(_folder: Path) -> dict[str, str]:
    return {"WAYLAND_DISPLAY": "wayland-9"}


DEAD_WAYLAND = {
    "no socket": (_no_socket, "No such file or directory"),
    "stale socket": (_stale_socket, "nobody listens"),
    "no XDG_RUNTIME_DIR": (_no_folder, "XDG_RUNTIME_DIR is not set"),
}

dead_wayland = pytest.mark.parametrize("dead", DEAD_WAYLAND)


@pytest.fixture
def start_on(tmp_path: Path) -> Iterator[StartOn]:
    """A function that starts a viewer with exactly these displays; it is to use `desktop`."""
    with ExitStack() as stack:

        def start(desktop: Xvfb | Weston, *args: str, **env: str) -> Viewer:
            vm, sock = FakeVm.pair(consoles=(ConsoleOptions(),))
            stack.enter_context(vm)
            with sock:
                fd = sock.fileno()
                bare = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"), "")
                viewer = Viewer(
                    tmp_path,
                    desktop,
                    *("--fd", str(fd), *args),
                    env={**bare, **env},
                    pass_fds=(fd,),
                )
            stack.enter_context(viewer)
            with Canvas(LAYOUTS["x8r8g8b8"], 320, 200) as canvas:
                Sent().show(vm.console().wait_listener(), canvas)
                viewer.wait_shows(canvas.picture())
            return viewer

        yield start


def said(viewer: Viewer) -> list[str]:
    """Return what it wrote, without the lines that Mesa writes where there is no GPU."""
    lines = viewer.output.splitlines()
    return [line for line in lines if line and not line.startswith(("libEGL warning:", "MESA"))]


def refused(tmp_path: Path, env: Mapping[str, str], *args: str, code: int = 10) -> str:
    """Run glview with exactly these displays to its end, which must be `code` and one line."""
    bare = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"), "")
    done = subprocess.run(
        [sys.executable, "-m", "glview", "--address", f"unix:path={tmp_path}/none", *args],
        env={**os.environ, **bare, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "glview: " in line)
    assert "Traceback" not in done.stderr
    return line


@dead_wayland
def test_a_dead_compositor_beside_a_living_x_server(
    dead: str, start_on: StartOn, xvfb: Xvfb, tmp_path: Path
) -> None:
    start_on(xvfb, DISPLAY=xvfb.display, **DEAD_WAYLAND[dead][0](tmp_path))


def test_a_dead_x_server_beside_a_living_compositor(start_on: StartOn, weston: Weston) -> None:
    """Wayland comes first; the X server does where GLFW's own variable says so."""
    living = {name: weston.environment()[name] for name in ("WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")}
    viewer = start_on(weston, DISPLAY=DEAD_X11, **living, PYGLFW_LIBRARY_VARIANT="x11")
    assert not said(viewer)


def test_nothing_is_said_at_a_start_on_wayland(start_on: StartOn, weston: Weston) -> None:
    living = {name: weston.environment()[name] for name in ("WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")}
    assert not said(start_on(weston, **living))


def test_the_option_decides(start_on: StartOn, own_xvfb: Xvfb, weston: Weston) -> None:
    both = {**weston.environment(), "DISPLAY": own_xvfb.display}
    names = "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DISPLAY"
    there = {name: both[name] for name in names}
    start_on(own_xvfb, "--platform", "x11", **there).close()
    start_on(weston, "--platform", "wayland", **there, XDG_SESSION_TYPE="x11")


@pytest.mark.parametrize("platform", ["x11", "wayland"])
def test_a_library_that_holds_both(
    platform: str, start_on: StartOn, own_xvfb: Xvfb, weston: Weston, tmp_path: Path
) -> None:
    """Debian's GLFW, told the other one by the environment; before 3.4 it holds X11 alone."""
    both = {**weston.environment(), "DISPLAY": own_xvfb.display}
    there = {name: both[name] for name in ("WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DISPLAY")}
    there |= {
        "PYGLFW_LIBRARY": DEBIAN_GLFW,
        "XDG_SESSION_TYPE": "x11" if platform == "wayland" else "wayland",
    }
    library = ctypes.CDLL(DEBIAN_GLFW)
    if platform == "x11" or hasattr(library, "glfwGetWaylandDisplay"):
        desktop = own_xvfb if platform == "x11" else weston
        viewer = start_on(desktop, "--platform", platform, **there)
        assert DEBIAN_GLFW in Path(f"/proc/{viewer.pid}/maps").read_text()
    else:
        line = refused(tmp_path, there, "--platform", platform)
        assert "is a GLFW without it" in line
        start_on(own_xvfb, **there)


@dead_wayland
def test_both_dead(dead: str, tmp_path: Path) -> None:
    """One line that names both causes."""
    make, words = DEAD_WAYLAND[dead]
    line = refused(tmp_path, {"DISPLAY": DEAD_X11, **make(tmp_path)})
    assert "WAYLAND_DISPLAY=wayland-9" in line
    assert words in line
    assert f"DISPLAY={DEAD_X11}" in line


def test_what_the_option_names_is_not_replaced(
    own_xvfb: Xvfb, weston: Weston, tmp_path: Path
) -> None:
    env = {"DISPLAY": own_xvfb.display, **_no_socket(tmp_path)}
    line = refused(tmp_path, env, "--platform", "wayland")
    assert "wayland-9" in line
    assert own_xvfb.display not in line
    living = {name: weston.environment()[name] for name in ("WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")}
    line = refused(tmp_path, living, "--platform", "x11")
    assert "DISPLAY" in line
    assert "WAYLAND" not in line


def test_a_library_that_is_none(tmp_path: Path, own_xvfb: Xvfb) -> None:
    missing = "/no/such/libglfw.so"
    line = refused(tmp_path, {"DISPLAY": own_xvfb.display, "PYGLFW_LIBRARY": missing}, code=20)
    assert "glfw cannot be loaded" in line


def test_a_compositor_without_a_seat(
    start_on: StartOn, own_xvfb: Xvfb, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Without input devices there, the X server is used, or one line names what is missing."""
    folder = tmp_path_factory.mktemp("seatless")
    folder.chmod(0o700)
    there = {"WAYLAND_DISPLAY": "seatless", "XDG_RUNTIME_DIR": str(folder)}
    new = version() >= (12, 0)
    words = "--backend", "headless" if new else "headless-backend.so", "--socket=seatless"
    env = {**own_xvfb.environment(), "XDG_RUNTIME_DIR": str(folder)}
    with Child(["weston", *words], folder / "weston.log", env=env):
        until((folder / "seatless").exists, "weston")
        assert "no seat" in refused(tmp_path, there)
        start_on(own_xvfb, DISPLAY=own_xvfb.display, **there)
