"""Whose updates are held back: those of a guest whose flush never ends, and nobody else's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from glview.qemu import livelock
from glview.qemu.livelock import AFTER, BEHIND, FRAME, REST, Livelock
from glview.scanout.formats import MOD_INVALID, MOD_LINEAR
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, Plane
from glview.testing.pictures import fourcc

WHOLE = Rect(0, 0, 640, 480)
QEMU = BEHIND / 10
"""Seconds that QEMU takes to send the same update again."""


class Guest:
    """Time, which passes only here, and a guest whose every update is answered `viewer` later."""

    def __init__(self, viewer: float = 0.001) -> None:
        self.now = 100.0
        self.delays: list[float] = []
        self._viewer = viewer
        self._answered = 0.0
        self._passed_on = 0
        self.livelock = Livelock(self._pass_on, lambda: self._answered)

    def _pass_on(self, _rect: Rect, serial: int) -> None:
        assert serial == len(self.delays)
        self._passed_on += 1

    def scanout(
        self, fd: int, modifier: int = MOD_INVALID, *, planes: int = 1, y0_top: bool = False
    ) -> None:
        """A buffer of 640x480."""
        plane = Plane(fd, 0, 2560)
        rect = *WHOLE[:2], *WHOLE[2:]
        self.livelock.scanout(
            DmabufSource((plane,) * planes, rect, WHOLE[2:], fourcc("XR24"), modifier, y0_top)
        )

    def update(self, rect: Rect = WHOLE, *, after: float = QEMU) -> float:
        """One more, so long after the last answer; how long it was held back."""
        self.now += after
        came = self.now
        self.livelock.update(rect, len(self.delays))
        if self.livelock.due is not None:
            self.livelock.tick(self.livelock.due - 1e-6)
            assert self._passed_on == len(self.delays)
            self.now = self.livelock.due
            self.livelock.tick(self.now)
        assert self._passed_on == len(self.delays) + 1
        self.delays.append(self.now - came)
        self.now += self._viewer
        self._answered = self.now
        return self.delays[-1]

    def updates(self, seconds: float) -> list[float]:
        """Nothing else for so long; how long each was held back."""
        end = self.now + seconds
        delays = []
        while self.now < end:
            delays.append(self.update())
        return delays


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Guest:
    """A guest that has shown nothing yet."""
    made = Guest()
    monkeypatch.setattr(livelock, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def memory() -> Iterator[int]:
    """Guest memory."""
    fd = os.memfd_create("guest")
    yield fd
    os.close(fd)


def test_a_flush_that_never_ends(guest: Guest, memory: int) -> None:
    """As fast as it is answered for a second, then as fast as a screen."""
    guest.scanout(memory)
    assert max(guest.updates(AFTER)) == 0.0
    delays = guest.updates(2.0)
    assert len(delays) == pytest.approx(120, abs=2)
    assert max(delays) <= FRAME


@pytest.mark.parametrize("viewer", [0.0, 0.005, 0.015])
def test_however_fast_the_viewer_is(
    monkeypatch: pytest.MonkeyPatch, memory: int, viewer: float
) -> None:
    guest = Guest(viewer)
    monkeypatch.setattr(livelock, "time", SimpleNamespace(monotonic=lambda: guest.now))
    guest.scanout(memory)
    assert max(guest.updates(AFTER)) == 0.0
    delays = guest.updates(2.0)
    assert len(delays) == pytest.approx(120, abs=2)
    assert max(delays) <= FRAME - viewer


def test_a_viewer_slower_than_a_screen(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    """There is nothing to hold back."""
    guest = Guest(0.02)
    monkeypatch.setattr(livelock, "time", SimpleNamespace(monotonic=lambda: guest.now))
    guest.scanout(memory)
    assert max(guest.updates(3 * AFTER)) == 0.0


def test_a_rest_ends_it(guest: Guest, memory: int) -> None:
    guest.scanout(memory)
    guest.updates(AFTER)
    assert guest.update() > 0.0
    assert guest.update(after=REST * 1.1) == 0.0
    assert max(guest.updates(AFTER * 0.9)) == 0.0


def test_taking_its_time_ends_it(guest: Guest, memory: int) -> None:
    """Within two seconds."""
    guest.scanout(memory)
    guest.updates(AFTER)
    end = guest.now + 2 * AFTER
    while guest.now < end:
        guest.update(after=BEHIND * 1.1)
    assert guest.update(after=BEHIND * 1.1) == 0.0


@pytest.mark.parametrize(("late", "held"), [(11, True), (9, False)])
def test_a_busy_machine(guest: Guest, memory: int, late: int, held: bool) -> None:
    """One update of so many is late."""
    guest.scanout(memory)
    while guest.now < 100.0 + 3 * AFTER:
        guest.update(after=QEMU if len(guest.delays) % late else 10 * BEHIND)
    assert (max(guest.delays[-late:]) > 0.0) == held


def test_a_machine_that_becomes_busy(guest: Guest, memory: int) -> None:
    """It may be because of this guest; one of three is late."""
    guest.scanout(memory)
    guest.updates(AFTER)
    while guest.now < 100.0 + 4 * AFTER:
        guest.update(after=QEMU if len(guest.delays) % 3 else 10 * BEHIND)
    assert max(guest.delays[-3:]) > 0.0


def test_another_buffer_ends_it(guest: Guest, memory: int) -> None:
    """It is a guest that goes on."""
    guest.scanout(memory)
    guest.updates(AFTER)
    assert guest.update() > 0.0
    guest.scanout(memory)
    assert max(guest.updates(AFTER * 0.9)) == 0.0


def test_flips_are_not_held_back(guest: Guest, memory: int) -> None:
    """However fast: a guest that draws."""
    for _ in range(5000):
        guest.scanout(memory)
        assert guest.update() == 0.0


@pytest.mark.parametrize(
    ("every", "rect", "after"),
    [
        (1, WHOLE, BEHIND * 1.1),
        (1, Rect(0, 0, 64, 64), QEMU),
        (8, WHOLE, BEHIND * 1.1),
        (500, WHOLE, REST * 1.1),
        (500, Rect(0, 0, 640, 479), QEMU),
    ],
    ids=["draws", "draws a part", "draws often", "rests", "draws a part now and then"],
)
def test_one_buffer_is_not_held_back(
    guest: Guest, memory: int, every: int, rect: Rect, after: float
) -> None:
    """Where the guest's own time, or what it draws, can be told from QEMU's flush."""
    guest.scanout(memory)
    for number in range(5000):
        ours = number % every == 0
        assert guest.update(rect if ours else WHOLE, after=after if ours else QEMU) == 0.0


@pytest.mark.parametrize(
    "kind",
    [{"modifier": MOD_LINEAR}, {"modifier": 1 << 56}, {"planes": 2}, {"y0_top": True}],
    ids=["linear", "tiled", "planes", "bottom up"],
)
def test_what_gpus_made_is_not_held_back(guest: Guest, memory: int, kind: dict[str, int]) -> None:
    guest.scanout(memory, **kind)  # type: ignore[arg-type]
    assert max(guest.updates(3 * AFTER)) == 0.0


def test_what_is_no_memory_of_the_guests(guest: Guest, memory: int) -> None:
    """Told by the descriptor; one of which nothing is told counts as such."""
    reader, writer = os.pipe()
    for fd in (reader, 1_000_000):
        guest.scanout(fd)
        assert max(guest.updates(3 * AFTER)) == 0.0
    os.close(reader)
    os.close(writer)


def test_two_at_a_time(guest: Guest, memory: int) -> None:
    """QEMU has not waited for an answer: so the guest goes on."""
    guest.scanout(memory)
    guest.updates(AFTER / 2)
    guest.now += QEMU
    guest.livelock.update(WHOLE, len(guest.delays))
    guest.delays.append(0.0)
    guest.livelock.update(WHOLE, len(guest.delays))
    guest.delays.append(0.0)
    assert max(guest.updates(AFTER * 0.9)) == 0.0
