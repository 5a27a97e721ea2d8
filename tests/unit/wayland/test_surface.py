"""A Wayland window's size: a scale is nobody's wish, an answer is the compositor's."""

from __future__ import annotations

import pytest

from glview.wayland.surface import Size, SurfaceSize, units_for

MODE = 641, 481


class Frames:
    """Frames that are shown as soon as the test says so."""

    def __init__(self) -> None:
        self.asked = self.settled = self.watched = 0

    def show(self) -> None:
        self.asked += 1
        self.settled = self.asked


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def window(frames: Frames) -> SurfaceSize:
    """A window that was made at scale 1 and shown."""
    made = SurfaceSize(MODE, MODE, 1.0, frames)
    frames.show()
    return made


@pytest.mark.parametrize(
    ("pixels", "scale", "units"),
    [
        ((640, 480), 1.0, (640, 480)),
        ((641, 481), 2.0, (321, 241)),
        ((641, 481), 3.0, (214, 161)),
        ((1280, 720), 1.5, (854, 480)),
        ((1, 1), 4.0, (1, 1)),
        ((600, 300), float("1.2000000476837158"), (500, 250)),  # 144/120 as a C float
    ],
)
def test_the_next_whole_size(pixels: Size, scale: float, units: Size) -> None:
    assert units_for(pixels, scale) == units


def test_a_scale_is_followed_and_nobodys_wish(window: SurfaceSize, frames: Frames) -> None:
    for scale, units in ((2.0, (321, 241)), (3.0, (214, 161)), (1.0, MODE)):
        assert window.follow(scale) == units
        assert not window.configured(units)
        frames.show()


def test_a_size_before_the_answer_is_the_compositors(window: SurfaceSize, frames: Frames) -> None:
    window.ask((800, 600), 1.0)
    assert not window.configured((1280, 720))
    frames.show()
    assert window.configured((640, 720))
    assert window.ask((300, 200), 1.0) is None, "the window keeps what it was given"
    assert window.follow(2.0) is None


def test_a_frame_drawn_before_the_wish_answers_nothing(window: SurfaceSize, frames: Frames) -> None:
    frames.asked += 1
    window.ask((800, 600), 1.0)
    frames.settled = frames.asked
    assert not window.configured((1280, 720))


def test_a_size_of_the_viewers_that_comes_back_is_asked_for_again(
    window: SurfaceSize, frames: Frames
) -> None:
    window.ask((800, 600), 1.0)
    frames.show()
    assert not window.configured(MODE)
    assert window.follow(1.0) == (800, 600)
    assert window.follow(1.0) is None


def test_a_window_across_two_outputs_comes_to_rest(window: SurfaceSize, frames: Frames) -> None:
    """Smaller, it is off the output that made it smaller; larger, it is on it again."""
    assert window.follow(2.0) == (321, 241)
    assert window.follow(1.0) is None
    frames.show()
    assert window.let_go(1.0) == MODE
    assert window.follow(2.0) is None
    frames.show()
    assert window.let_go(2.0) is None
    assert window.follow(1.0) is None  # moved away: the size is right as it is
    assert window.follow(2.0) == (321, 241)
