"""Nothing is loaded that the first picture does not need; and what does without a driver."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glview.testing import FakeVm
from tests.support.blend import over, sprite
from tests.support.bus import Bus
from tests.support.canvas import Canvas
from tests.support.carriers import Carrier, Mapped, Sent
from tests.support.layouts import LAYOUTS
from tests.support.stage import Stage
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

XRGB = LAYOUTS["x8r8g8b8"]
SIZE = 321, 203

HEAVY = {
    *("numpy", "OpenGL", "asyncio", "dbus_next", "qemu", "inspect", "dataclasses", "concurrent"),
    *("glview.gl.renderer", "glview.gl.egl", "glview.ui.font", "glview.present.drawing"),
}
"""Modules that take long to load, and ours that would load libraries."""
DRIVER = re.compile(r"lib(EGL|GL|gallium|LLVM)[-_.\w]*\.so")

NAMING = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Has Python name every module that it loads."""
NO_EGL = {"__EGL_VENDOR_LIBRARY_FILENAMES": "/no/such.json"}
"""Leaves libEGL without a driver."""

each_carrier = pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])


def heavy_modules(viewer: Viewer) -> set[str]:
    """What was loaded of HEAVY, by Python's own words."""
    loaded = {line.split("|")[-1].strip() for line in viewer.output.splitlines() if "|" in line}
    assert "glview.app" in loaded
    return {name for name in HEAVY if any(f"{m}.".startswith(f"{name}.") for m in loaded)}


def driver(viewer: Viewer) -> set[str]:
    """OpenGL's libraries in the viewer's memory."""
    maps = Path(f"/proc/{viewer.pid}/maps").read_text()
    return {found[0] for found in DRIVER.finditer(maps)}


@each_carrier
def test_a_plain_picture_peer_to_peer(xvfb: Xvfb, tmp_path: Path, carrier: Carrier) -> None:
    """And what has to be composed does load it."""
    options = "--present", "shm"
    with Stage(tmp_path, xvfb, *options, env=NAMING) as stage, Canvas(XRGB, *SIZE) as canvas:
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        assert not heavy_modules(stage.viewer)
        assert not driver(stage.viewer)
        shape = sprite(16, 16)
        stage.listener.cursor_define(16, 16, 0, 0, shape[..., [2, 1, 0, 3]].tobytes())
        stage.listener.mouse_set(50, 60, 1)
        stage.wait_shows(over(canvas.picture(), shape, 50, 60), "the pointer", tolerance=1)
        assert driver(stage.viewer)
        assert {"OpenGL", "glview.gl.renderer"} <= heavy_modules(stage.viewer)


def test_a_plain_picture_on_a_bus(
    xvfb: Xvfb, bus: Bus, start_viewer: Callable[..., Viewer]
) -> None:
    options = "--present", "shm"
    with FakeVm() as vm, Canvas(XRGB, *SIZE) as canvas:
        assert vm.join_bus(bus.address)
        viewer = start_viewer(xvfb, "--address", bus.address, *options, env=NAMING)
        Mapped().show(vm.console().wait_listener(), canvas)
        viewer.wait_shows(canvas.picture())
        assert not heavy_modules(viewer)
        assert not driver(viewer)


@each_carrier
def test_without_a_driver(xvfb: Xvfb, tmp_path: Path, carrier: Carrier) -> None:
    """Every format, the pointer, other sizes: by the CPU alone."""
    shape = sprite(24, 16)
    with Stage(tmp_path, xvfb, env=NO_EGL) as stage:
        for name, layout in LAYOUTS.items():
            with Canvas(layout, *SIZE, SIZE[0] * layout.size + 5) as canvas:
                carrier.show(stage.listener, canvas)
                stage.wait_shows(canvas.picture(), name)
                canvas.scribble(30, 20, 50, 40)
                carrier.update(stage.listener, canvas, (30, 20, 50, 40))
                stage.wait_shows(canvas.picture(), f"a change of {name}")
        stage.wait_output("frames are composed without OpenGL")
        with Canvas(XRGB, *SIZE) as canvas:
            carrier.show(stage.listener, canvas)
            stage.listener.cursor_define(24, 16, 0, 0, shape[..., [2, 1, 0, 3]].tobytes())
            for x, y in ((0, 0), (57, 31), (-10, -7), (316, 200), (-500, 0)):
                stage.listener.mouse_set(x, y, 1)
                want = over(canvas.picture(), shape, x, y)
                stage.wait_shows(want, f"it at {x}, {y}", tolerance=1)
            stage.listener.mouse_set(10, 20, 1)
            stage.x.resize(stage.window, 2 * SIZE[0] + 40, 2 * SIZE[1])
            large = over(canvas.picture(), shape, 10, 20).repeat(2, 0).repeat(2, 1)
            stage.wait_shows(np.pad(large, ((0, 0), (20, 20), (0, 0))), "twice", tolerance=1)


def test_a_vm_that_has_gone_without_a_driver(
    xvfb: Xvfb, bus: Bus, start_viewer: Callable[..., Viewer]
) -> None:
    """Its last picture is dimmed, and a line of text says so."""
    with FakeVm() as vm, Canvas(XRGB, 640, 480) as canvas:
        assert vm.join_bus(bus.address)
        viewer = start_viewer(xvfb, "--address", bus.address, env=NO_EGL)
        Mapped().show(vm.console().wait_listener(), canvas)
        viewer.wait_shows(canvas.picture())
        want = canvas.picture() * 0.4

    def dimmed() -> bool:
        got = viewer.picture()
        text = (got[400:].min(-1) == 255).sum()
        return bool(np.abs(got[:300] - want[:300]).max() <= 1 and text > 100)

    until(dimmed, "the dimmed picture with text")
