"""Lock keys: pressed where the guest differs, only where that is heeded, and given up in time."""

from __future__ import annotations

import pytest

from glview.ui.hostkeyboard import Locks
from glview.ui.locksync import ANSWER_TIME, BITS, CAPS, NUM, SCROLL, LockSync

OFF = Locks(caps=False, num=False, scroll=False)
CAPS_ON = OFF._replace(caps=True)
NUM_ON = OFF._replace(num=True)


class Guest:
    """A guest that answers lock keys by its lights, as long as it `heeds` them."""

    def __init__(self, *heeds: int) -> None:
        self.heeds = set(heeds or BITS)
        self.now = 100.0
        self.lights = 0
        self.taps: list[int] = []
        self.sync = LockSync(self.tap, lambda: self.now)

    def tap(self, number: int) -> None:
        self.taps.append(number)
        if number in self.heeds:
            self.lights ^= BITS[number]

    def answer(self) -> None:
        """Have its lights told, a little later."""
        self.now += 0.01
        self.sync.told(self.lights)

    def typed(self, number: int) -> None:
        """The user presses a lock key in the window."""
        self.sync.key(number)
        if number in self.heeds:
            self.lights ^= BITS[number]
            self.answer()

    def focus(self, host: Locks) -> list[int]:
        """The window gets the focus; returns the keys that are pressed for that."""
        self.taps.clear()
        assert self.sync.compare(host)
        if self.heeds.intersection(self.taps):
            self.answer()
        return list(self.taps)


@pytest.fixture
def guest() -> Guest:
    """A guest whose lights have followed Caps Lock on and off."""
    guest = Guest()
    guest.typed(CAPS)
    guest.typed(CAPS)
    return guest


def test_one_press_of_each_key_that_differs(guest: Guest) -> None:
    assert guest.focus(CAPS_ON) == [CAPS]
    assert guest.focus(CAPS_ON) == []
    assert guest.focus(NUM_ON) == [CAPS, NUM]
    assert guest.focus(OFF) == [NUM]
    assert guest.lights == 0


def test_nothing_before_a_lock_key_was_followed() -> None:
    """Firmware, which never sets a light."""
    guest = Guest(NUM)
    guest.heeds = set()
    assert guest.focus(CAPS_ON) == []
    guest.typed(CAPS)
    assert not guest.sync.compare(CAPS_ON)
    guest.now += 2 * ANSWER_TIME
    assert guest.focus(CAPS_ON) == []


def test_lights_that_change_by_themselves_follow_nothing() -> None:
    guest = Guest()
    guest.sync.told(BITS[NUM])  # as a guest does that starts
    guest.lights = BITS[NUM]
    assert guest.focus(CAPS_ON) == []


def test_another_light_is_no_answer() -> None:
    guest = Guest()
    guest.sync.told(0)
    guest.sync.key(CAPS)
    guest.sync.told(BITS[NUM])
    guest.now += 2 * ANSWER_TIME
    assert guest.sync.idle


def test_a_late_light_is_no_answer() -> None:
    guest = Guest()
    guest.sync.key(CAPS)
    guest.now += 1.01 * ANSWER_TIME
    guest.sync.told(BITS[CAPS])
    assert guest.sync.idle


def test_a_press_of_ours_that_is_not_followed_ends_it(guest: Guest) -> None:
    guest.heeds = set()
    assert guest.focus(CAPS_ON) == [CAPS]
    guest.now += 1.01 * ANSWER_TIME
    assert guest.focus(CAPS_ON) == []
    guest.heeds = set(BITS)
    guest.typed(CAPS)
    guest.typed(CAPS)
    assert guest.focus(CAPS_ON) == []
    assert guest.sync.ended


def test_a_late_answer_to_a_press_of_ours_ends_it_too(guest: Guest) -> None:
    guest.heeds = set()
    guest.focus(CAPS_ON)
    guest.now += 1.01 * ANSWER_TIME
    guest.sync.told(BITS[CAPS])
    assert guest.sync.ended


def test_the_users_press_that_is_not_followed_pauses_it(guest: Guest) -> None:
    """The guest was reset, and its firmware sets no lights."""
    guest.heeds = set()
    guest.typed(CAPS)
    guest.now += 2 * ANSWER_TIME
    assert guest.focus(CAPS_ON) == []
    guest.heeds = set(BITS)
    guest.typed(CAPS)
    assert guest.focus(OFF) == [CAPS]


def test_waits_for_the_answer_to_an_earlier_key(guest: Guest) -> None:
    guest.sync.key(CAPS)
    assert not guest.sync.compare(CAPS_ON)
    assert guest.taps == []
    guest.lights = BITS[CAPS]
    guest.answer()
    assert guest.focus(CAPS_ON) == []


def test_waits_for_the_answer_to_the_first_key_too() -> None:
    guest = Guest()
    guest.sync.key(CAPS)
    assert not guest.sync.compare(OFF)
    guest.lights = BITS[CAPS]
    guest.answer()
    assert guest.focus(OFF) == [CAPS]


def test_a_lock_that_the_host_does_not_have_is_left_alone(guest: Guest) -> None:
    guest.typed(CAPS)
    guest.typed(SCROLL)
    assert guest.focus(Locks(caps=None, num=False, scroll=None)) == []


def test_scroll_lock_only_where_itself_was_followed(guest: Guest) -> None:
    scroll_on = OFF._replace(scroll=True)
    assert guest.focus(scroll_on) == []
    guest.typed(SCROLL)
    guest.typed(SCROLL)
    assert guest.focus(scroll_on) == [SCROLL]
