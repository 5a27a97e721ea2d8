"""`glview run`, `glview demo` and `glview --list`, as a user types them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from glview.qemu.splash import splash
from tests.support import guests
from tests.support.bus import Bus
from tests.support.qemu import Qemu, on_bus
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

StartViewer = Callable[..., Viewer]

QEMU = "qemu-system-x86_64"
PICTURE = pattern(1024, 768)
KILLED = 128 + signal.SIGKILL


def children(process: int) -> list[int]:
    """Process ids of the QEMUs that a process has started."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    threads = Path(f"/proc/{process}/task").iterdir()
    listed += [pid for t in threads for pid in (t / "children").read_text().split()]
    return sorted({int(pid) for pid in listed})


def ended(process: int) -> bool:
    """Whether a process is gone for good."""
    return not Path(f"/proc/{process}").exists()


def test_run_shows_qemu_and_passes_its_exit_code_on(
    xvfb: Xvfb, start_viewer: StartViewer, tmp_path: Path
) -> None:
    options = guests.splash(tmp_path, PICTURE)
    viewer = start_viewer(xvfb, "run", "--", QEMU, "-accel", "tcg", "-vga", "std", *options)
    viewer.wait_shows(PICTURE, timeout=20.0)
    (qemu,) = children(viewer.pid)
    os.kill(qemu, signal.SIGKILL)
    assert viewer.wait() == KILLED


def test_closing_the_window_ends_qemu(
    xvfb: Xvfb, start_viewer: StartViewer, tmp_path: Path
) -> None:
    options = guests.splash(tmp_path, PICTURE)
    viewer = start_viewer(xvfb, "run", "--", QEMU, "-accel", "tcg", "-vga", "std", *options)
    viewer.wait_shows(PICTURE, timeout=20.0)
    (qemu,) = children(viewer.pid)
    viewer.signal(signal.SIGTERM)
    assert viewer.wait() == 0
    until(lambda: ended(qemu), "QEMU to end")


def test_demo_shows_its_picture_and_takes_keys(xvfb: Xvfb, start_viewer: StartViewer) -> None:
    viewer = start_viewer(xvfb, "demo")
    viewer.wait_shows(splash(), timeout=20.0)
    window = viewer.window()
    xvfb.xdotool("windowfocus", window.id, "key", "Escape")  # SeaBIOS leaves its picture for text
    until(lambda: viewer.window().height == 400, "the boot menu")


def test_demo_without_qemu_shows_a_stand_in(
    xvfb: Xvfb, start_viewer: StartViewer, tmp_path: Path
) -> None:
    setpriv = shutil.which("setpriv")  # by which the viewer is started here
    assert setpriv
    (tmp_path / "setpriv").symlink_to(setpriv)
    viewer = start_viewer(xvfb, "demo", env={"PATH": str(tmp_path)})
    until(lambda: viewer.window() and viewer.picture().any(), "the stand-in's picture")
    assert "QEMU is not installed" in viewer.output


def test_list_names_every_vm(bus: Bus, start_qemu: Callable[..., Qemu]) -> None:
    for name in ("first", "second"):
        start_qemu(display=on_bus(bus.address), name=name)

    def listed() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "glview", "--address", bus.address, "--list"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout if "second" in done.stdout else ""

    table = until(listed, "both VMs on the bus")
    assert "first" in table
    assert "VGA" in table
