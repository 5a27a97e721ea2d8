"""The instruments themselves: a test that cannot see a wrong pixel proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import guests
from tests.support.process import Child
from tests.support.qemu import Qemu
from tests.support.screen import colours, difference, find, pattern
from tests.support.wait import until
from tests.support.weston import BACKGROUND, Weston
from tests.support.x11 import Xvfb


def test_one_wrong_pixel_is_seen() -> None:
    """By any channel, by one step, in any place; and equal pictures are equal."""
    want = pattern(64, 48)
    assert difference(want.copy(), want) == ""
    for y, x, channel in ((0, 0, 0), (47, 63, 2), (20, 31, 1)):
        got = want.copy()
        got[y, x, channel] ^= 1
        assert f"1 of 3072 pixels differ, within x {x}..{x}, y {y}..{y}" in difference(got, want)
    assert "size 63x48, want 64x48" in difference(want[:, 1:], want)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: p[::-1],
        lambda p: p[:, ::-1],
        lambda p: p[..., ::-1],
        lambda p: np.roll(p, 1, axis=0),
        lambda p: np.roll(p, 1, axis=1),
    ],
    ids=["upside-down", "mirrored", "red-for-blue", "a-row-off", "a-column-off"],
)
def test_pattern_has_no_symmetry(wrong: Callable[..., np.ndarray]) -> None:
    """The picture that tests show differs from each of its usual corruptions."""
    want = pattern(64, 48)
    assert difference(wrong(want), want)


def test_find_wants_every_pixel() -> None:
    """A part is found where it is, and not where one pixel is wrong."""
    picture = np.zeros((100, 120, 3), np.uint8)
    part = pattern(16, 12)
    assert find(picture, part) is None
    picture[30:42, 50:66] = part
    assert find(picture, part) == (50, 30)
    picture[35, 55, 1] ^= 1
    assert find(picture, part) is None


def test_screendump_is_exact(start_qemu: Callable[..., Qemu], tmp_path: Path) -> None:
    """QEMU's own view of a bootsplash is the picture that the test wrote."""
    want = pattern(1024, 768)
    qemu = start_qemu(options=guests.splash(tmp_path, want))
    until(lambda: not difference(qemu.screendump(), want), "the splash")


def test_x_screen_and_weston_agree(own_xvfb: Xvfb, weston: Weston, tmp_path: Path) -> None:
    """The X server's frame buffer file and weston's screenshot hold the same pixels."""
    assert tuple(own_xvfb.region(5, 5, 1, 1)[0, 0]) == BACKGROUND
    log = tmp_path / "client.log"
    with Child(["weston-simple-damage"], log, env=weston.environment()) as client:
        until(lambda: colours(own_xvfb.region(0, 0, 1270, 890)) > 1, "the client")
        with client.paused():

            def agree() -> bool:  # but for weston's pointer, which may come a moment later
                shot = weston.screenshot()
                height, width, _ = shot.shape
                return not difference(own_xvfb.region(0, 0, width, height), shot)

            until(agree, "the same pixels")


def test_paused_process_stands_still(start_qemu: Callable[..., Qemu]) -> None:
    """A stopped QEMU uses no CPU and answers again afterwards."""
    qemu = start_qemu()
    with qemu.paused():
        assert "T (stopped)" in Path(f"/proc/{qemu.pid}/status").read_text()
    assert qemu.status()["running"]
