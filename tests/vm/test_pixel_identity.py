"""What the X server or the compositor shows is what QEMU itself sees, pixel by pixel.

Each test brings a guest to a picture, stops it, and compares QEMU's own
screendump with the contents of the screen where glview's window is. Nothing
is read back through GL: a picture that never reached the screen does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import guests, probe
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.screen import Picture, assert_same, difference, pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

REFRESH = 0.03
"""Seconds between two looks of QEMU at the guest's frame buffer."""

CURSOR = 9 * 2
"""Pixels of the blinking text cursor."""

VGA = ["VGA", "virtio-vga", "qxl-vga", "cirrus-vga", "vmware-svga"]
"""Devices with text modes and a choice of graphic modes."""
LINEAR = ["bochs-display", "ramfb"]
"""Devices with one linear frame buffer, into which the firmware paints its text."""

TRANSPORTS = {"map": (), "bytes": ("--no-map",)}

StartQemu = Callable[..., Qemu]
StartViewer = Callable[..., Viewer]

devices = pytest.mark.parametrize("device", VGA + LINEAR)
presents = pytest.mark.parametrize("present", ["shm", "swap"])
"""Ways to the screen, of which a viewer by itself takes one for all tests."""
transports = pytest.mark.parametrize(
    "transport", [pytest.param("map", marks=requires("listener-map")), "bytes"]
)


def check(qemu: Qemu, viewer: Viewer) -> Picture:
    """Stop the guest, wait for what it last drew, compare every pixel; then run on.

    Returns what both show.
    """
    qemu.stop()
    want = qemu.screendump()
    viewer.wait_shows(want)
    time.sleep(2 * REFRESH)  # nothing may follow that spoils it
    assert not viewer.difference(qemu.screendump())
    qemu.cont()
    return want


def watch(start_viewer: StartViewer, desktop: Xvfb | Weston, qemu: Qemu, *args: str) -> Viewer:
    """glview on that VM, over peer-to-peer."""
    return start_viewer(desktop, "--qmp", qemu.qmp_path, *args)


def lit(qemu: Qemu) -> int:
    """Number of pixels that are not black."""
    return int(np.count_nonzero(qemu.screendump().any(axis=-1)))


def ready(qemu: Qemu) -> None:
    """Wait until the typewriter prints what is typed, and nothing else any more."""
    qemu.wait_firmware("Booting from 0000:7c00")
    type_key(qemu, "a")


def type_key(qemu: Qemu, key: str) -> None:
    """Type a letter and wait until the guest shows it; a blinking cursor is not as large."""
    qemu.stop()
    before = qemu.screendump()
    qemu.cont()
    qemu.send_keys(key)

    def shown() -> bool:
        return int((qemu.screendump() != before).any(axis=-1).sum()) > CURSOR

    until(shown, f"the letter {key}")


def set_mode(qemu: Qemu, key: str) -> None:
    """Let the typewriter set the mode of that key, and print something there."""
    mode = guests.MODES[key]
    qemu.send_keys(key)
    until(lambda: qemu.screendump().shape == (mode.height, mode.width, 3), f"the mode of {key}")
    type_key(qemu, "x")


@transports
@devices
def test_firmware_text(
    device: str, transport: str, start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """SeaBIOS's banner and prompt."""
    qemu = start_qemu(devices=[device], options=guests.boot_menu())
    viewer = watch(start_viewer, xvfb, qemu, *TRANSPORTS[transport])
    qemu.wait_firmware("Press ESC for boot menu")
    until(lambda: lit(qemu) > 1000, "the prompt")
    check(qemu, viewer)
    if device in VGA:
        maps = Path(f"/proc/{viewer.pid}/maps").read_text()
        assert ("memfd:displaysurface" in maps) == (transport == "map")


@transports
@devices
def test_ipxe(
    device: str, transport: str, start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb
) -> None:
    """iPXE's coloured lines, which scroll the text it finds."""
    qemu = start_qemu(devices=[device], options=guests.ipxe())
    viewer = watch(start_viewer, xvfb, qemu, *TRANSPORTS[transport])
    qemu.wait_firmware("Booting from ROM")
    before = lit(qemu)
    until(lambda: abs(lit(qemu) - before) > 500, "iPXE's banner")
    check(qemu, viewer)


@transports
@devices
def test_picture(
    device: str,
    transport: str,
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """A picture of ours, in which no swapped channel, shift or lost row goes unnoticed.

    The firmware shows it as bootsplash; where it has no such mode, it is
    written into the frame buffer.
    """
    want = pattern(1024, 768)
    if device in VGA:
        qemu = start_qemu(devices=[device], options=guests.splash(tmp_path, want))
    else:
        qemu = start_qemu(devices=[device], options=guests.typewriter(tmp_path), qtest=True)
        ready(qemu)
        qemu.stop()  # it may still be painting the letter
        frame = qemu.framebuffer()
        want = pattern(frame.width, frame.height)
        frame.draw(0, 0, want)
    viewer = watch(start_viewer, xvfb, qemu, *TRANSPORTS[transport])
    until(lambda: not difference(qemu.screendump(), want), "the guest to show the picture")
    assert_same(check(qemu, viewer), want, "what both show")


@transports
@devices
def test_partial_updates_of_text(
    device: str,
    transport: str,
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """Typed characters, each a small update, on a screen that is never drawn in full again."""
    qemu = start_qemu(devices=[device], options=guests.typewriter(tmp_path))
    viewer = watch(start_viewer, xvfb, qemu, *TRANSPORTS[transport])
    ready(qemu)
    check(qemu, viewer)
    for key in "glview":
        type_key(qemu, key)
        check(qemu, viewer)


def rectangles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Odd sizes, at all edges of a frame: x, y, width, height."""
    return [
        (0, 0, 1, 1),
        (width - 3, 7, 3, 60),
        (5, height - 31, 250, 31),
        (131, 77, 333, 1),
        (width - 1, height - 1, 1, 1),
    ]


@presents
@transports
@pytest.mark.parametrize("device", [d for d in VGA + LINEAR if d != "cirrus-vga"])
def test_partial_updates_of_pixels(
    device: str,
    transport: str,
    present: str,
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """Rectangles written into a frame buffer of 32 bits; Cirrus has no such mode."""
    qemu = start_qemu(devices=[device], options=guests.typewriter(tmp_path), qtest=True)
    viewer = watch(start_viewer, xvfb, qemu, "--present", present, *TRANSPORTS[transport])
    ready(qemu)
    if device in VGA:
        set_mode(qemu, "f3")
    qemu.stop()  # it may still be painting the letter
    frame = qemu.framebuffer()
    want = qemu.screendump()
    viewer.wait_shows(want)
    for seed, (x, y, width, height) in enumerate(rectangles(frame.width, frame.height)):
        part = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        frame.draw(x, y, part)
        want[y : y + height, x : x + width] = part
        viewer.wait_shows(want)
    assert_same(check(qemu, viewer), want, "what both show")


@presents
@transports
@pytest.mark.parametrize("device", VGA)
def test_mode_switches(
    device: str,
    transport: str,
    present: str,
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """Text to graphics and back, larger and smaller, 8 to 32 bits; the window follows."""
    qemu = start_qemu(devices=[device], options=guests.typewriter(tmp_path))
    viewer = watch(start_viewer, xvfb, qemu, "--present", present, *TRANSPORTS[transport])
    ready(qemu)
    check(qemu, viewer)
    for key in ("f6", "f1", "f4", "f2", "f5", "f7", "f1", "f3"):
        if device != "cirrus-vga" or key not in ("f2", "f3", "f4"):
            set_mode(qemu, key)
            check(qemu, viewer)


@transports
def test_splash_and_text_in_turn(
    transport: str,
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """1024x768 by the firmware, 720x400 by Escape, and back by a reset of the machine."""
    want = pattern(1024, 768)
    qemu = start_qemu(options=guests.splash(tmp_path, want))
    viewer = watch(start_viewer, xvfb, qemu, *TRANSPORTS[transport])
    for _ in range(2):
        viewer.wait_shows(want)
        qemu.send_keys("esc")
        until(lambda: qemu.screendump().shape == (400, 720, 3), "text")
        check(qemu, viewer)
        qemu.reset()
    viewer.wait_shows(want)


@pytest.mark.parametrize("gl", ["es", "core"])
def test_both_gl_profiles(
    gl: str, start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """OpenGL ES and OpenGL core draw the same pixels."""
    want = pattern(1024, 768)
    qemu = start_qemu(options=guests.splash(tmp_path, want))
    viewer = watch(start_viewer, xvfb, qemu, "--gl", gl)
    viewer.wait_shows(want)
    qemu.send_keys("esc")
    until(lambda: qemu.screendump().shape == (400, 720, 3), "text")
    check(qemu, viewer)


@requires("linux-kernel")
def test_linux_console(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """A Linux kernel's console while it scrolls, and at its end."""
    kernel = probe.kernel_image()
    assert kernel
    serial = tmp_path / "serial.log"
    qemu = start_qemu(options=guests.linux(kernel, serial), memory=256)
    viewer = watch(start_viewer, xvfb, qemu)
    until(lambda: "Memory:" in serial.read_text(errors="replace"), "the kernel", 60)
    check(qemu, viewer)
    until(lambda: "end Kernel panic" in serial.read_text(errors="replace"), "its end", 60)
    check(qemu, viewer)


@transports
@pytest.mark.parametrize("device", ["VGA", "ramfb"])
def test_under_a_compositor(
    device: str,
    transport: str,
    weston: Weston,
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    tmp_path: Path,
) -> None:
    """Typed characters and, on VGA, text and graphics in turn, in weston's own screenshot.

    The largest mode comes first: weston places a window where all of it can be
    seen, and leaves its corner there when it grows again.
    """
    qemu = start_qemu(devices=[device], options=guests.typewriter(tmp_path))
    ready(qemu)
    if device in VGA:
        set_mode(qemu, "f4")
    viewer = watch(start_viewer, weston, qemu, *TRANSPORTS[transport])
    check(qemu, viewer)
    type_key(qemu, "g")
    check(qemu, viewer)
    for key in ("f1", "f3", "f1", "f4") if device in VGA else ():
        set_mode(qemu, key)
        check(qemu, viewer)
