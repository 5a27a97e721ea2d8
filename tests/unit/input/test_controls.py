"""The state of the host's keyboard wins over the guest's, and only ever lifts keys."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import pytest

from glview.qemu.input import InputCalls
from glview.ui.controls import GAP, Controls
from glview.ui.hostkeyboard import Locks
from glview.ui.keyboard import PRESS, RELEASE, REPEAT

A, B, ALT, SUPER = 30, 48, 56, 125  # evdev codes
SUPER_QNUM = 0xDB


class Guest:
    """Keys as the guest gets them: +n down, -n up."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def press_key(self, qnum: int) -> None:
        self.calls.append(qnum)

    def repeat_key(self, qnum: int) -> None:
        self.calls.append(qnum)

    def release_key(self, qnum: int) -> None:
        self.calls.append(-qnum)

    def press_button(self, button: int) -> None:
        self.calls.append(1000 + button)

    def drop_motion(self) -> None:
        pass

    def flush(self) -> None:
        pass


class Host:
    """A keyboard set by hand."""

    def __init__(self) -> None:
        self.down: set[int] = set()
        self.on_their_way: set[int] = set()
        self.back = False
        self.asked = 0
        self.closed = False

    @property
    def behind(self) -> bool:
        return bool(self.on_their_way)

    def dispatch(self) -> None:
        pass

    def came_back(self) -> bool:
        back, self.back = self.back, False
        return back

    def missed(self, held: Collection[int]) -> frozenset[int]:
        self.asked += 1
        return frozenset(held) - self.down - self.on_their_way

    def locks(self) -> Locks | None:
        return None

    def qnum(self, scancode: int) -> int | None:
        return SUPER_QNUM if scancode == SUPER else scancode

    def close(self) -> None:
        self.closed = True


class Hand:
    """Presses keys of `host`; who has grabbed the keyboard gets the events, the window not."""

    def __init__(self) -> None:
        self.host, self.guest, self.now = Host(), Guest(), 100.0
        self.controls = Controls("x11", lambda _: None, lambda: self.host, lambda: self.now)
        self.controls.connect(cast(InputCalls, self.guest), absolute=True)

    def typed(self, *codes: int) -> None:
        for code in codes:
            self.elsewhere(code)
            self.controls.key(abs(code), PRESS if code > 0 else RELEASE)

    def elsewhere(self, *codes: int) -> None:
        for code in codes:
            (self.host.down.add if code > 0 else self.host.down.discard)(abs(code))


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_a_release_that_went_elsewhere_is_made_up_for_at_the_grabs_end(hand: Hand) -> None:
    hand.typed(ALT)
    hand.elsewhere(-ALT)
    hand.controls.events_delivered()
    assert hand.guest.calls == [ALT]  # nobody has told of a grab
    hand.host.back = True
    hand.controls.events_delivered()
    assert hand.guest.calls == [ALT, -ALT]


def test_a_key_still_held_stays_down(hand: Hand) -> None:
    hand.typed(ALT, SUPER)
    hand.elsewhere(-ALT)
    hand.host.back = True
    hand.controls.events_delivered()
    assert hand.guest.calls == [ALT, SUPER_QNUM, -ALT]


def test_a_key_that_went_down_elsewhere_is_not_pressed(hand: Hand) -> None:
    hand.typed(A)
    hand.elsewhere(B)
    hand.host.back = True
    hand.controls.events_delivered()
    assert hand.guest.calls == [A]


def test_the_key_right_behind_the_grab_comes_after_the_lift(hand: Hand) -> None:
    hand.typed(ALT)
    hand.elsewhere(-ALT)
    hand.host.back = True
    hand.typed(B)
    assert hand.guest.calls == [ALT, -ALT, B]


def test_nothing_tells_of_the_grab_and_the_next_key_follows_a_gap(hand: Hand) -> None:
    hand.typed(ALT)
    hand.elsewhere(-ALT)
    hand.now += 2 * GAP
    hand.typed(B)
    assert hand.guest.calls == [ALT, -ALT, B]


def test_nothing_tells_of_the_grab_and_a_click_follows_a_gap(hand: Hand) -> None:
    hand.typed(ALT)
    hand.elsewhere(-ALT)
    hand.now += 2 * GAP
    hand.controls.button(0, True)
    assert hand.guest.calls == [ALT, -ALT, 1000]


def test_fast_typing_asks_nobody(hand: Hand) -> None:
    hand.typed(ALT, A, -A, B, -B, -ALT)
    hand.now += 10
    hand.typed(A, -A)  # with no other key down there is nothing to compare
    assert hand.host.asked == 0


def test_a_release_still_on_its_way_keeps_its_place(hand: Hand) -> None:
    hand.typed(SUPER)
    hand.elsewhere(-SUPER)
    hand.host.on_their_way = {SUPER}
    hand.now += 2 * GAP
    hand.typed(A)  # was pressed before Super was let go
    assert hand.guest.calls == [SUPER_QNUM, A]
    hand.host.on_their_way = set()
    hand.typed(-SUPER, -A)
    assert hand.guest.calls == [SUPER_QNUM, A, -SUPER_QNUM, -A]


def test_what_was_on_its_way_is_looked_at_again(hand: Hand) -> None:
    """A press on its way whose release a grab has swallowed since."""
    hand.typed(ALT)
    hand.elsewhere(-ALT)
    hand.host.back, hand.host.on_their_way = True, {ALT}
    hand.controls.events_delivered()
    assert hand.guest.calls == [ALT]
    hand.controls.key(ALT, REPEAT)
    hand.host.on_their_way = set()
    hand.controls.events_delivered()
    assert hand.guest.calls == [ALT, -ALT]


def test_the_keyboard_is_opened_at_the_first_key_and_closed_at_the_end() -> None:
    opened: list[Host] = []

    def find() -> Host:
        opened.append(Host())
        return opened[-1]

    controls = Controls("x11", lambda _: None, find)
    controls.events_delivered()
    assert not opened
    controls.key(A, PRESS)
    controls.key(A, RELEASE)
    controls.close()
    assert [host.closed for host in opened] == [True]


def test_without_such_a_keyboard_keys_go_by_number() -> None:
    guest = Guest()
    controls = Controls("x11", lambda _: None, lambda: None)
    controls.connect(cast(InputCalls, guest), absolute=True)
    assert controls.key(A + 8, PRESS) == A
    assert controls.key(A + 8, RELEASE) is None
    assert guest.calls == [A, -A]


def test_keys_held_when_the_guest_comes_are_not_down_for_it(hand: Hand) -> None:
    hand.controls.disconnect()
    hand.typed(ALT)
    assert hand.guest.calls == []
    hand.controls.connect(cast(InputCalls, hand.guest), absolute=True)
    hand.typed(-ALT, A)
    assert hand.guest.calls == [A]
