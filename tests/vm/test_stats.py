"""Figures, HUD and trace of a viewer of real QEMU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.guests import typewriter
from tests.support.qemu import Qemu
from tests.support.screen import Picture
from tests.support.stats import journeys, lines, read_trace
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb


def test_what_is_typed_is_seen_and_counted(
    tmp_path: Path,
    own_xvfb: Xvfb,
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
) -> None:
    """Each key is an update; the HUD comes and goes by its keys, over the guest's own picture."""
    qemu = start_qemu(options=typewriter(tmp_path))
    path = tmp_path / "trace.json"
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path, "--stats", "--trace", path)
    qemu.wait_firmware("Booting from 0000:7c00")
    qemu.send_keys("f3")

    def shows_guest() -> bool:
        return np.array_equal(viewer.picture(), qemu.screendump())

    until(lambda: viewer.window().width == 800 and shows_guest(), "a mode of the guest's")
    for key in "glview":
        before = viewer.picture()
        qemu.send_keys(key)
        until(lambda: not np.array_equal(viewer.picture(), before), f"{key} to be seen")  # noqa: B023
        until(shows_guest, f"all of {key}")  # QEMU may have looked while the guest drew it
    switch(own_xvfb, viewer)
    until(lambda: has_hud(viewer.picture(), qemu.screendump()), "the HUD")
    qemu.send_keys("a")
    until(lambda: has_hud(viewer.picture(), qemu.screendump()), "the HUD beside what is typed")
    switch(own_xvfb, viewer)
    until(shows_guest, "nothing but the guest")
    assert viewer.close() == 0
    last = lines(viewer.output)[-1]
    assert last.updates >= 8  # a mode and seven letters, at least
    assert last.updates - last.frames - last.drops in (0, 1)  # one may come at the end
    assert last.frames >= 8
    for journey in journeys(read_trace(path)).values():
        latency = journey.swapped - journey.arrived
        assert sum(journey.stages.values()) == pytest.approx(latency, rel=0.05)
        assert journey.about["transport"] in ("bytes", "map")


def switch(xvfb: Xvfb, viewer: Viewer) -> None:
    """Press the keys of the HUD."""
    window = viewer.window()
    xvfb.xdotool("mousemove", window.x + 400, window.y + 500)
    xvfb.xdotool("key", "ctrl+alt+shift+F12")
    xvfb.park_pointer()


def has_hud(shown: Picture, guest: Picture) -> bool:
    """Whether a box of text is at the top right of the guest's picture, and nothing else."""
    if shown.shape != guest.shape:
        return False
    rows, columns = np.nonzero((shown != guest).any(axis=-1))
    if not len(rows) or rows.max() > 300 or columns.min() < 400:
        return False
    box = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return bool((box == 255).all(axis=-1).sum() > 300)
