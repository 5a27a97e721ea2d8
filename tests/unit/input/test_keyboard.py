"""Keys: order, repeats, and that nothing ever stays down."""

from __future__ import annotations

from functools import partial

import pytest

from glview.ui.grab import Grab
from glview.ui.keyboard import PRESS, RELEASE, REPEAT, SILENT, Keyboard, Repeat
from glview.ui.keymap import qnum

A, B, CTRL, ALT, F1, CAPS = 30, 48, 29, 56, 59, 58  # evdev codes, and their qnums too
UNKNOWN = 170

EVDEV = partial(qnum, platform="wayland")


class Log:
    """Keys as the guest gets them: +n down, -n up."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def press_key(self, qnum: int) -> None:
        self.calls.append(qnum)

    def repeat_key(self, qnum: int) -> None:
        self.calls.append(qnum)

    def release_key(self, qnum: int) -> None:
        self.calls.append(-qnum)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def keyboard(log: Log) -> Keyboard:
    return Keyboard(log, EVDEV)


def typed(keyboard: Keyboard, *codes: int) -> None:
    """Key events: +n down, -n up."""
    for code in codes:
        keyboard.key(abs(code), PRESS if code > 0 else RELEASE)


def test_keys_go_out_in_order(keyboard: Keyboard, log: Log) -> None:
    typed(keyboard, CTRL, A, -CTRL, B, -A, -B)
    assert log.calls == [CTRL, A, -CTRL, B, -A, -B]
    assert keyboard.held == ()


def test_x11_scancodes_are_shifted(log: Log) -> None:
    typed(Keyboard(log, partial(qnum, platform="x11")), A + 8, -(A + 8))
    assert log.calls == [A, -A]


def test_unknown_key_is_dropped(keyboard: Keyboard, log: Log) -> None:
    typed(keyboard, UNKNOWN, -UNKNOWN)
    assert log.calls == []


def test_release_of_a_key_that_is_not_down_is_dropped(keyboard: Keyboard, log: Log) -> None:
    typed(keyboard, -A)
    assert log.calls == []


def test_window_systems_repeat_is_a_further_press(keyboard: Keyboard, log: Log) -> None:
    keyboard.key(A, PRESS)
    keyboard.key(A, REPEAT)
    keyboard.key(A, REPEAT)
    keyboard.key(A, RELEASE)
    assert log.calls == [A, A, A, -A]


@pytest.mark.parametrize("code", [CTRL, CAPS, 42, 54, 56, 69, 70])
def test_modifiers_and_locks_do_not_repeat(keyboard: Keyboard, log: Log, code: int) -> None:
    assert code in SILENT
    keyboard.key(code, PRESS)
    keyboard.key(code, REPEAT)
    assert log.calls == [code]


def test_release_all_lifts_the_last_pressed_first(keyboard: Keyboard, log: Log) -> None:
    typed(keyboard, CTRL, ALT, A)
    keyboard.release_all()
    assert log.calls == [CTRL, ALT, A, -A, -ALT, -CTRL]
    keyboard.release_all()
    assert len(log.calls) == 6


def test_what_the_hand_still_holds_is_ignored_after_release_all(
    keyboard: Keyboard, log: Log
) -> None:
    typed(keyboard, CTRL, A)
    keyboard.release_all()
    log.calls.clear()
    keyboard.key(A, REPEAT)
    typed(keyboard, -A, -CTRL)
    assert log.calls == []
    typed(keyboard, A, -A)
    assert log.calls == [A, -A]


class TestLift:
    """Keys that somebody else's grab has swallowed the releases of."""

    def test_lifts_only_what_is_down(self, keyboard: Keyboard, log: Log) -> None:
        typed(keyboard, CTRL, ALT)
        keyboard.lift({ALT, A})
        assert log.calls == [CTRL, ALT, -ALT]
        assert keyboard.held == (CTRL,)

    def test_the_next_press_is_one_though_glfw_calls_it_a_repeat(
        self, keyboard: Keyboard, log: Log
    ) -> None:
        typed(keyboard, ALT)
        keyboard.lift({ALT})
        keyboard.key(ALT, REPEAT)
        typed(keyboard, -ALT)
        assert log.calls == [ALT, -ALT, ALT, -ALT]

    def test_a_late_release_says_nothing(self, keyboard: Keyboard, log: Log) -> None:
        typed(keyboard, ALT)
        keyboard.lift({ALT})
        typed(keyboard, -ALT)
        keyboard.key(ALT, REPEAT)
        assert log.calls == [ALT, -ALT]

    def test_is_no_chord(self, log: Log) -> None:
        grab = Grab()
        grab.take()
        keyboard = Keyboard(log, EVDEV, grab)
        typed(keyboard, CTRL, ALT)
        keyboard.lift({CTRL, ALT})
        assert grab.grabbed
        typed(keyboard, CTRL, ALT, -ALT, -CTRL)
        assert not grab.grabbed


def test_a_keymap_that_changes_leaves_no_key_down(log: Log) -> None:
    numbers = {A: A}
    keyboard = Keyboard(log, numbers.get)
    keyboard.key(A, PRESS)
    numbers[A] = B
    typed(keyboard, -A, A, -A)
    assert log.calls == [A, -A, B, -B]


def test_two_keys_of_one_number_are_down_until_both_are_up(log: Log) -> None:
    keyboard = Keyboard(log, {1: A, 2: A}.get)
    typed(keyboard, 1, 2, -1)
    assert keyboard.held == (A,)
    typed(keyboard, -2)
    assert log.calls == [A, A, -A]


class TestOwnRepeat:
    """The timer that stands in where the window system's repeat cannot wake us."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def keyboard(self, log: Log, clock: Clock) -> Keyboard:
        return Keyboard(log, EVDEV, repeat=Repeat(0.6, 0.04), clock=clock)

    def test_two_seconds(self, keyboard: Keyboard, log: Log, clock: Clock) -> None:
        keyboard.key(A, PRESS)
        while keyboard.deadline is not None and keyboard.deadline < 102.0:
            clock.now = keyboard.deadline
            keyboard.tick()
        keyboard.key(A, RELEASE)
        assert log.calls == [A] * (1 + 35) + [-A]  # 0.60, 0.64, ... 1.96
        assert keyboard.deadline is None

    def test_nothing_before_it_is_time(self, keyboard: Keyboard, log: Log, clock: Clock) -> None:
        keyboard.key(A, PRESS)
        assert keyboard.deadline == pytest.approx(100.6)
        clock.now = 100.59
        keyboard.tick()
        assert log.calls == [A]

    def test_missed_repeats_stay_missed(self, keyboard: Keyboard, log: Log, clock: Clock) -> None:
        keyboard.key(A, PRESS)
        clock.now = 105.0
        keyboard.tick()
        clock.now = 105.001
        keyboard.tick()
        keyboard.tick()
        assert log.calls == [A, A, A]

    def test_window_systems_repeat_is_not_counted_twice(self, keyboard: Keyboard, log: Log) -> None:
        keyboard.key(A, PRESS)
        keyboard.key(A, REPEAT)
        assert log.calls == [A]

    def test_the_last_key_repeats(self, keyboard: Keyboard, log: Log, clock: Clock) -> None:
        typed(keyboard, A, B, -A)
        clock.now += 1
        keyboard.tick()
        assert log.calls == [A, B, -A, B]

    def test_a_modifier_does_not_take_the_repeat_over(
        self, keyboard: Keyboard, log: Log, clock: Clock
    ) -> None:
        typed(keyboard, A, CTRL)
        clock.now += 1
        keyboard.tick()
        assert log.calls == [A, CTRL, A]

    def test_ends_with_the_key(self, keyboard: Keyboard, log: Log, clock: Clock) -> None:
        typed(keyboard, A, -A, CTRL)
        clock.now += 1
        keyboard.tick()
        assert keyboard.deadline is None
        assert log.calls == [A, -A, CTRL]

    def test_ends_with_release_all(self, keyboard: Keyboard, log: Log, clock: Clock) -> None:
        keyboard.key(A, PRESS)
        keyboard.release_all()
        clock.now += 1
        keyboard.tick()
        assert keyboard.deadline is None
        assert log.calls == [A, -A]


class TestReleaseChord:
    """Ctrl+Alt gives the pointer back, and only Ctrl+Alt."""

    @pytest.fixture
    def grab(self) -> Grab:
        return Grab()

    @pytest.fixture
    def keyboard(self, log: Log, grab: Grab) -> Keyboard:
        grab.take()
        return Keyboard(log, EVDEV, grab)

    @pytest.mark.parametrize(
        "codes",
        [
            (CTRL, ALT, -ALT, -CTRL),
            (ALT, CTRL, -ALT, -CTRL),
            (97, 100, -97, -100),  # the right ones
            (CTRL, 100, -CTRL, -100),
            (CTRL, ALT, -CTRL, CTRL, -CTRL, -ALT),
        ],
    )
    def test_releases(
        self, keyboard: Keyboard, grab: Grab, log: Log, codes: tuple[int, ...]
    ) -> None:
        typed(keyboard, *codes[:-1])
        assert grab.grabbed
        typed(keyboard, codes[-1])
        assert not grab.grabbed
        assert len(log.calls) == len(codes)  # the guest gets every one of them

    @pytest.mark.parametrize(
        "codes",
        [
            (CTRL, -CTRL, ALT, -ALT),
            (CTRL, ALT, F1, -F1, -ALT, -CTRL),
            (CTRL, ALT, F1, -ALT, -CTRL, -F1),
            (CTRL, F1, -F1, ALT, -ALT, -CTRL),
            (A, CTRL, ALT, -ALT, -CTRL, -A),
            (CTRL, ALT, UNKNOWN, -UNKNOWN, -ALT, -CTRL),
        ],
    )
    def test_keeps(self, keyboard: Keyboard, grab: Grab, codes: tuple[int, ...]) -> None:
        typed(keyboard, *codes)
        assert grab.grabbed

    def test_after_a_spoilt_one(self, keyboard: Keyboard, grab: Grab) -> None:
        typed(keyboard, CTRL, ALT, F1, -F1, -ALT, -CTRL)
        typed(keyboard, CTRL, ALT, -ALT, -CTRL)
        assert not grab.grabbed

    def test_losing_the_focus_in_between(self, keyboard: Keyboard, grab: Grab) -> None:
        typed(keyboard, CTRL, ALT, A)
        keyboard.release_all()
        typed(keyboard, -A, -ALT, -CTRL)
        assert grab.grabbed
        typed(keyboard, CTRL, ALT, -ALT, -CTRL)
        assert not grab.grabbed


def test_grab_tells_changes_once_and_names_the_chord() -> None:
    changes: list[bool] = []
    grab = Grab()
    grab.watch(changes.append)
    assert grab.title("vm") == "vm"
    grab.take()
    grab.take()
    assert grab.title("vm") == "vm (Ctrl+Alt releases the pointer)"
    grab.release()
    grab.release()
    assert changes == [True, False]
