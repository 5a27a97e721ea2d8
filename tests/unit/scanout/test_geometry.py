"""Rectangles, spans and placing a picture in a window."""

from __future__ import annotations

import pytest

from glview.scanout.geometry import MAX_SIDE, Rect, fit, sane_size, span


@pytest.mark.parametrize(
    ("rect", "inside"),
    [
        (Rect(0, 0, 10, 10), Rect(0, 0, 10, 10)),
        (Rect(-3, -4, 5, 6), Rect(0, 0, 2, 2)),
        (Rect(8, 9, 100, 100), Rect(8, 9, 2, 1)),
        (Rect(10, 0, 1, 1), None),
        (Rect(0, -5, 3, 5), None),
        (Rect(2, 2, 0, 3), None),
        (Rect(2, 2, -1, 3), None),
    ],
)
def test_clip(rect: Rect, inside: Rect | None) -> None:
    assert rect.clip(10, 10) == inside


def test_union() -> None:
    assert Rect(1, 2, 3, 4).union(None) == Rect(1, 2, 3, 4)
    assert Rect(1, 2, 3, 4).union(Rect(0, 5, 1, 9)) == Rect(0, 2, 4, 12)


def test_the_last_row_may_end_with_the_memory() -> None:
    assert span(1280, 800, 10240, 4) == 10240 * 799 + 5120


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 5), (10**9, 10**9), (MAX_SIDE + 1, 1)])
def test_impossible_sizes(size: tuple[int, int]) -> None:
    assert not sane_size(*size)


@pytest.mark.parametrize(
    ("picture", "window", "place"),
    [
        ((640, 480), (640, 480), Rect(0, 0, 640, 480)),
        ((640, 480), (1280, 960), Rect(0, 0, 1280, 960)),
        ((640, 480), (1000, 480), Rect(180, 0, 640, 480)),
        ((640, 480), (640, 1000), Rect(0, 260, 640, 480)),
        ((1920, 1080), (960, 960), Rect(0, 210, 960, 540)),
        ((3000, 1), (30, 30), Rect(0, 14, 30, 1)),
        ((640, 480), (0, 5), Rect(0, 0, 0, 5)),
    ],
)
def test_fit(picture: tuple[int, int], window: tuple[int, int], place: Rect) -> None:
    assert fit(*picture, *window) == place


@pytest.mark.parametrize(
    ("window", "slack", "place"),
    [
        ((642, 482), 1, Rect(0, 0, 641, 481)),
        ((643, 481), 2, Rect(0, 0, 641, 481)),
        ((641, 481), 2, Rect(0, 0, 641, 481)),
        ((643, 482), 1, Rect(0, 0, 642, 482)),
        ((640, 480), 1, Rect(0, 0, 640, 480)),
    ],
)
def test_slack_stays_black(window: tuple[int, int], slack: int, place: Rect) -> None:
    assert fit(641, 481, *window, slack) == place
