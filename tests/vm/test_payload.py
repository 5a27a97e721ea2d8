"""The bench's guest draws what its serial port says, as QEMU's own screendump shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import payload
from bench.guest import Guest
from tests.support.screen import Picture, assert_same
from tests.support.wait import until


def plain(number: int) -> Picture:
    """The guest's screen, all of that colour."""
    width, height = payload.SIZE
    rgb = payload.COLOURS[number].to_bytes(3, "big")
    return np.full((height, width, 3), np.frombuffer(rgb, np.uint8))


def test_each_byte_fills_the_screen_or_the_square(tmp_path: Path) -> None:
    """The middle of every other picture differs from what surrounds it."""
    x, y, width, height = payload.SQUARE
    with Guest(tmp_path) as guest:
        assert_same(guest.qemu.screendump(), plain(0), "at the start")
        for everywhere, inside in ((1, 2), (2, 1), (0, 2), (1, 0)):
            guest.order(everywhere)
            guest.wait_drawn()
            want = plain(everywhere)
            assert_same(guest.qemu.screendump(), want, f"colour {everywhere}")
            guest.order(inside, in_square=True)
            guest.wait_drawn()
            want[y : y + height, x : x + width] = plain(inside)[:height, :width]
            assert_same(guest.qemu.screendump(), want, f"{inside} in {everywhere}")


def test_it_rests_between_two_bytes(tmp_path: Path) -> None:
    """A guest that polled would keep QEMU busy, and with it what is measured."""
    with Guest(tmp_path) as guest:
        guest.order(1)
        guest.wait_drawn()
        until(lambda: "HLT=1" in guest.qemu.hmp("info registers"), "the CPU to halt", 2.0)
