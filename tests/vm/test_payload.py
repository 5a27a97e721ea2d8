"""The bench's guest draws what its serial port says, as QEMU's own screendump shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import contest, payload
from bench.contest import Effort
from bench.guest import Guest
from bench.rivals import GLVIEW
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


def test_what_it_draws_is_seen_through_glview(tmp_path: Path) -> None:
    """A whole contest with one that takes part: every change is found on the screen."""
    found = contest.run([GLVIEW], Effort(turns=1, updates=3, idle=0.1), tmp_path / "log")
    assert [(row.change, len(row.latency), row.lost) for row in found.shown] == [
        ("full", 3, 0),
        ("64x64", 3, 0),
    ]
    for row in found.shown:
        assert min(row.drawn) > 0
        assert row.viewer_cpu[0] > 0
        assert row.qemu_cpu[0] > 0
    assert set(found.rests[0].rss) == {"viewer", "QEMU", "X server"}
