"""Pointer, buttons and wheel: scaling, clamping, grabbing, fractions."""

from __future__ import annotations

from functools import partial

import pytest

from glview.ui.grab import Grab
from glview.ui.keyboard import PRESS, RELEASE, Keyboard
from glview.ui.keymap import qnum
from glview.ui.mouse import Mouse, Viewport

Call = tuple[str | int, ...]

EVDEV = partial(qnum, platform="wayland")


class Log:
    """Calls as the guest gets them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def press_button(self, button: int) -> None:
        self.calls.append(("+", button))

    def release_button(self, button: int) -> None:
        self.calls.append(("-", button))

    def abs_position(self, x: int, y: int) -> None:
        self.calls.append(("at", x, y))

    def rel_motion(self, dx: int, dy: int) -> None:
        self.calls.append(("by", dx, dy))

    def drop_motion(self) -> None:
        self.calls.append(("drop",))

    def press_key(self, qnum: int) -> None:
        pass

    def repeat_key(self, qnum: int) -> None:
        pass

    def release_key(self, qnum: int) -> None:
        pass

    def take(self) -> list[Call]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def grab() -> Grab:
    return Grab()


@pytest.fixture
def mouse(log: Log, grab: Grab) -> Mouse:
    """A relative mouse that is not grabbed."""
    return Mouse(log, grab)


@pytest.fixture
def tablet(mouse: Mouse, log: Log) -> Mouse:
    """An absolute one, over a 640x480 picture drawn at twice its size, 100 from the left."""
    mouse.absolute = True
    mouse.viewport = Viewport(100, 0, 1280, 960, 640, 480)
    log.take()
    return mouse


@pytest.mark.parametrize(
    ("window", "guest"),
    [
        ((100, 0), (0, 0)),
        ((101.99, 1.99), (0, 0)),
        ((102, 2), (1, 1)),
        ((1379.9, 959.9), (639, 479)),
        ((1380, 960), (639, 479)),  # outside, and clamped
        ((99.9, -0.1), (0, 0)),
        ((-5000, 5000), (0, 479)),
    ],
)
def test_position_in_the_picture(
    tablet: Mouse, log: Log, window: tuple[float, float], guest: tuple[int, int]
) -> None:
    tablet.motion(*window)
    assert log.take() == [("at", *guest)]


def test_every_pixel_is_hit_at_one_to_one(tablet: Mouse, log: Log) -> None:
    tablet.viewport = Viewport(7, 3, 641, 480, 641, 480)
    for x in range(641):
        tablet.motion(x + 7, 3)
    assert log.take() == [("at", x, 0) for x in range(641)]


def test_scaled_framebuffer(tablet: Mouse, log: Log) -> None:
    tablet.viewport = Viewport(0, 0, 1280, 960, 1280, 960, scale=(2.0, 1.5))
    tablet.motion(10.5, 20)
    assert log.take() == [("at", 21, 30)]


@pytest.mark.parametrize("size", [(0, 0, 640, 480), (640, 480, 0, 0), (640, 0, 640, 480)])
def test_nothing_drawn_nothing_sent(
    tablet: Mouse, log: Log, size: tuple[int, int, int, int]
) -> None:
    tablet.viewport = Viewport(0, 0, *size)
    tablet.motion(5, 5)
    tablet.viewport = None
    tablet.motion(6, 6)
    assert log.take() == []


def test_picture_moving_under_a_resting_pointer(tablet: Mouse, log: Log) -> None:
    tablet.motion(300, 300)
    tablet.viewport = Viewport(0, 0, 640, 480, 640, 480)
    tablet.viewport = Viewport(0, 0, 640, 480, 640, 480)
    assert log.take() == [("at", 100, 150), ("at", 300, 300)]


def test_buttons_have_the_numbers_of_qemu(tablet: Mouse, log: Log, grab: Grab) -> None:
    for number in range(5):
        tablet.button(number, True)
        tablet.button(number, False)
    pairs = [(0, 0), (1, 2), (2, 1), (3, 5), (4, 6)]  # GLFW, QEMU
    assert log.take() == [(sign, button) for _, button in pairs for sign in "+-"]
    assert not grab.grabbed


@pytest.mark.parametrize("number", [5, 6, 7, 8, 9, 255])
def test_further_buttons_are_dropped(tablet: Mouse, log: Log, number: int) -> None:
    tablet.button(number, True)
    tablet.button(number, False)
    assert log.take() == []


def test_release_of_a_button_that_is_not_down_is_dropped(tablet: Mouse, log: Log) -> None:
    tablet.button(0, False)
    assert log.take() == []


def test_release_all(tablet: Mouse, log: Log) -> None:
    tablet.button(0, True)
    tablet.button(1, True)
    log.take()
    tablet.release_all()
    tablet.release_all()
    tablet.button(0, False)
    assert log.take() == [("-", 2), ("-", 0)]
    assert tablet.held == ()


class TestRelative:
    """A guest without an absolute pointer."""

    def test_moves_nothing_before_it_is_grabbed(self, mouse: Mouse, log: Log) -> None:
        mouse.motion(10, 10)
        mouse.motion(20, 20)
        assert log.take() == []

    def test_click_grabs_and_is_passed_on(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        mouse.motion(10, 10)
        mouse.button(0, True)
        assert grab.grabbed
        mouse.button(0, False)
        mouse.motion(15, 8)
        assert log.take() == [("+", 0), ("-", 0), ("by", 5, -2)]

    def test_fractions_are_kept(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        grab.take()
        mouse.motion(0, 0)
        for step in range(1, 31):
            mouse.motion(step * 0.1, -step * 0.2)
        calls = log.take()
        assert sum(int(call[1]) for call in calls) == 3
        assert sum(int(call[2]) for call in calls) == -6
        assert ("by", 0, 0) not in calls

    def test_fractions_end_with_the_mode(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        grab.take()
        mouse.motion(0, 0)
        mouse.motion(0.9, 0)
        mouse.absolute = True
        mouse.absolute = False
        grab.take()
        mouse.motion(1.8, 0)
        assert log.take() == [("drop",), ("drop",)]

    def test_not_scaled_by_the_picture(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        mouse.viewport = Viewport(0, 0, 1280, 960, 640, 480, scale=(2.0, 2.0))
        grab.take()
        mouse.motion(0, 0)
        mouse.motion(7, 9)
        assert log.take() == [("by", 7, 9)]

    def test_no_jump_when_grabbed_again(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        """Freed, the pointer is back where it was locked; nobody says so until it moves."""
        mouse.motion(100, 100)
        grab.take()
        mouse.motion(5000, 100)
        grab.release()
        grab.take()
        mouse.motion(103, 100)
        mouse.motion(104, 100)
        assert log.take() == [("by", 4900, 0), ("by", 1, 0)]

    def test_unbounded(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        grab.take()
        mouse.motion(0, 0)
        mouse.motion(-90000, 70000)
        assert log.take() == [("by", -90000, 70000)]


class TestSwitch:
    """`Mouse.IsAbsolute` changes while things are going on."""

    def test_to_absolute_points(self, mouse: Mouse, log: Log) -> None:
        mouse.viewport = Viewport(0, 0, 640, 480, 640, 480)
        mouse.motion(30, 40)
        mouse.absolute = True
        assert log.take() == [("drop",), ("at", 30, 40)]

    def test_to_absolute_ends_the_grab(self, mouse: Mouse, log: Log, grab: Grab) -> None:
        """The locked pointer was nowhere: a position comes with the next motion."""
        mouse.viewport = Viewport(0, 0, 640, 480, 640, 480)
        grab.take()
        mouse.motion(900, 900)
        mouse.absolute = True
        assert not grab.grabbed
        assert log.take() == [("drop",)]
        mouse.motion(30, 40)
        assert log.take() == [("at", 30, 40)]

    def test_dragging_across_the_switch(self, mouse: Mouse, log: Log) -> None:
        mouse.viewport = Viewport(0, 0, 640, 480, 640, 480)
        mouse.button(0, True)
        mouse.absolute = True
        mouse.absolute = True
        mouse.motion(30, 40)
        mouse.motion(31, 40)
        mouse.absolute = False
        mouse.button(0, False)
        assert log.take() == [
            ("+", 0),
            ("drop",),
            ("at", 30, 40),
            ("at", 31, 40),
            ("drop",),
            ("-", 0),
        ]


class TestWheel:
    """Whole steps are clicks of buttons 3, 4 (up, down) and 7, 8 (left, right)."""

    @pytest.mark.parametrize(
        ("turn", "button"), [((0, 1), 3), ((0, -1), 4), ((1, 0), 7), ((-1, 0), 8)]
    )
    def test_directions(
        self, mouse: Mouse, log: Log, grab: Grab, turn: tuple[float, float], button: int
    ) -> None:
        mouse.scroll(*turn)
        assert log.take() == [("+", button), ("-", button)]
        assert not grab.grabbed

    def test_several_steps(self, mouse: Mouse, log: Log) -> None:
        mouse.scroll(0, 3.0)
        assert log.take() == [("+", 3), ("-", 3)] * 3

    def test_fractions_add_up(self, mouse: Mouse, log: Log) -> None:
        for _ in range(9):
            mouse.scroll(0, 0.1)
        assert log.take() == []
        mouse.scroll(0, 0.1)
        assert log.take() == [("+", 3), ("-", 3)]
        for _ in range(20):
            mouse.scroll(0, 0.1)
        assert log.take() == [("+", 3), ("-", 3)] * 2

    def test_axes_are_apart(self, mouse: Mouse, log: Log) -> None:
        mouse.scroll(0.6, 0.6)
        mouse.scroll(0.6, -0.6)
        assert log.take() == [("+", 7), ("-", 7)]

    def test_turning_round_starts_anew(self, mouse: Mouse, log: Log) -> None:
        mouse.scroll(0, 0.9)
        mouse.scroll(0, -0.9)
        assert log.take() == []
        mouse.scroll(0, -0.1)
        assert log.take() == [("+", 4), ("-", 4)]

    def test_release_all_forgets_fractions(self, mouse: Mouse, log: Log) -> None:
        mouse.scroll(0, 0.9)
        mouse.release_all()
        mouse.scroll(0, 0.9)
        assert log.take() == []


@pytest.mark.parametrize("use", ["button", "scroll", "odd button"])
def test_ctrl_and_alt_with_the_mouse_are_no_release_chord(
    mouse: Mouse, log: Log, grab: Grab, use: str
) -> None:
    keyboard = Keyboard(log, EVDEV, grab)
    grab.take()
    keyboard.key(29, PRESS)
    keyboard.key(56, PRESS)
    if use == "scroll":
        mouse.scroll(0, 0.5)
    else:
        number = 0 if use == "button" else 7
        mouse.button(number, True)
        mouse.button(number, False)
    keyboard.key(56, RELEASE)
    keyboard.key(29, RELEASE)
    assert grab.grabbed


def test_a_click_before_it_does_not_spoil_the_chord(mouse: Mouse, log: Log, grab: Grab) -> None:
    keyboard = Keyboard(log, EVDEV, grab)
    mouse.button(0, True)
    mouse.button(0, False)
    assert grab.grabbed
    for code, action in ((29, PRESS), (56, PRESS), (56, RELEASE), (29, RELEASE)):
        keyboard.key(code, action)
    assert not grab.grabbed
