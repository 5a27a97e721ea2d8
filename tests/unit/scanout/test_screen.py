"""When a scanout is shown: the rules in time, by a clock of the test's own."""

from __future__ import annotations

import pytest

from glview.scanout.formats import XRGB8888
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Snapshot
from glview.scanout.memory import Memory
from glview.scanout.screen import BLANK_AFTER, SHOW_AFTER, Screen
from glview.scanout.source import MapSource


class Source(MapSource):
    """A source that remembers whether it was closed."""

    def __init__(self, width: int = 4, height: int = 3) -> None:
        super().__init__(Memory(width * height * 4), width, height, width * 4, XRGB8888)
        self.closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


WHOLE = Rect(0, 0, 4, 3)


def announce(source: Source, *, updated: bool = False) -> Snapshot:
    return Snapshot(source=source, damage=Rect(0, 0, source.width, source.height), updated=updated)


def update(rect: Rect) -> Snapshot:
    return Snapshot(damage=rect, updated=True)


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_a_scanout_waits_for_its_first_update(screen: Screen) -> None:
    source = Source()
    assert not screen.apply(announce(source), 0.0)
    assert screen.source is None
    assert screen.apply(update(Rect(1, 1, 1, 1)), 0.01)
    assert screen.source is source
    assert screen.damage == WHOLE  # all of a scanout that was never drawn
    assert screen.deadline() is None


def test_a_scanout_without_an_update_is_shown_after_a_while(screen: Screen) -> None:
    source = Source()
    screen.apply(announce(source), 5.0)
    assert screen.deadline() == 5.0 + SHOW_AFTER
    assert not screen.tick(5.0 + SHOW_AFTER - 0.001)
    assert screen.source is None
    assert screen.tick(5.0 + SHOW_AFTER)
    assert screen.source is source
    assert screen.damage == WHOLE
    assert not screen.tick(6.0)


def test_the_black_picture_of_a_mode_change_is_never_shown(screen: Screen) -> None:
    old, black, new = Source(), Source(8, 8), Source(8, 8)
    screen.apply(announce(old, updated=True), 0.0)
    screen.read()
    screen.apply(announce(black), 1.0)
    screen.apply(announce(new), 1.02)
    assert screen.source is old
    assert black.closed
    assert screen.apply(update(Rect(0, 0, 2, 2)), 1.03)
    assert screen.source is new
    assert old.closed
    assert not new.closed


def test_waiting_for_updates_is_not_prolonged_by_more_scanouts(screen: Screen) -> None:
    screen.apply(announce(Source()), 0.0)
    last = Source()
    screen.apply(announce(last), SHOW_AFTER - 0.01)
    assert screen.tick(SHOW_AFTER)
    assert screen.source is last


def test_damage_adds_up_until_it_is_drawn(screen: Screen) -> None:
    screen.apply(announce(Source(), updated=True), 0.0)
    screen.read()
    assert screen.damage is None
    screen.apply(update(Rect(0, 0, 1, 1)), 0.1)
    screen.apply(update(Rect(3, 2, 1, 1)), 0.2)
    assert screen.damage == WHOLE
    screen.read()
    screen.apply(update(Rect(2, 1, 1, 1)), 0.3)
    assert screen.damage == Rect(2, 1, 1, 1)


def test_the_same_picture_in_other_memory_keeps_its_small_damage(screen: Screen) -> None:
    screen.apply(announce(Source(), updated=True), 0.0)
    screen.read()
    copy = Source()
    screen.apply(Snapshot(source=copy, damage=Rect(1, 1, 1, 1), updated=True), 0.1)
    assert screen.source is copy
    assert screen.damage == Rect(1, 1, 1, 1)


def test_disable_blanks_only_after_a_while(screen: Screen) -> None:
    screen.apply(announce(Source(), updated=True), 0.0)
    screen.apply(Snapshot(disabled=True), 1.0)
    assert not screen.blank
    assert screen.deadline() == 1.0 + BLANK_AFTER
    assert not screen.tick(1.0 + BLANK_AFTER - 0.001)
    assert screen.tick(1.0 + BLANK_AFTER)
    assert screen.blank
    assert not screen.tick(9.0)


def test_an_update_after_disable_means_nothing_happened(screen: Screen) -> None:
    screen.apply(announce(Source(), updated=True), 0.0)
    screen.apply(Snapshot(disabled=True), 1.0)
    screen.apply(update(WHOLE), 1.1)
    assert not screen.tick(2.0)
    assert not screen.blank


def test_an_update_brings_a_blanked_picture_back(screen: Screen) -> None:
    source = Source()
    screen.apply(announce(source, updated=True), 0.0)
    screen.apply(Snapshot(disabled=True), 1.0)
    screen.tick(2.0)
    assert screen.apply(update(WHOLE), 3.0)
    assert not screen.blank
    assert screen.source is source


def test_a_page_flip_with_disable_after_it_does_not_blank(screen: Screen) -> None:
    """Blob resources: ScanoutDMABUF2(new), Disable, UpdateDMABUF, 30 ms apart at most."""
    screen.apply(announce(Source(), updated=True), 0.0)
    now = 1.0
    for _ in range(5):
        flip = announce(Source())
        flip.disabled = True
        screen.apply(flip, now)
        assert not screen.tick(now + 0.03)
        screen.apply(update(WHOLE), now + 0.03)
        assert not screen.blank
        now += 0.05
    assert screen.deadline() is None


def test_forgetting_closes_what_is_held(screen: Screen) -> None:
    shown, coming = Source(), Source()
    screen.apply(announce(shown, updated=True), 0.0)
    screen.apply(announce(coming), 0.1)
    screen.forget()
    assert shown.closed
    assert coming.closed
    assert screen.source is None
    assert screen.deadline() is None
