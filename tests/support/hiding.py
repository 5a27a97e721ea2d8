"""Ways in which a window is not to be seen; each returns how it comes back."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.stage import Stage

Hide = Callable[[Stage], Callable[[], None]]


def minimised(stage: Stage) -> Callable[[], None]:
    """By a window manager."""
    stage.x.minimise(stage.window)
    return lambda: stage.x.restore(stage.window)


def unmapped(stage: Stage) -> Callable[[], None]:
    """Away without a word."""
    stage.x.unmap(stage.window)
    return lambda: stage.x.map(stage.window)


def covered(stage: Stage) -> Callable[[], None]:
    """Behind another window."""
    other = stage.x.cover(stage.place)
    return lambda: stage.x.uncover(other)


def moved_out(stage: Stage) -> Callable[[], None]:
    """Beyond the edge of the screen."""
    place = stage.place
    stage.x.move(stage.window, 5000, 5000)
    return lambda: stage.x.move(stage.window, place.x, place.y)


WAYS: list[Hide] = [minimised, unmapped, covered, moved_out]
