"""What of a window is drawn anew."""

from __future__ import annotations

import pytest

from glview.gl.scene import Image, Scene
from glview.present.damage import Damage, History, changed
from glview.scanout.formats import BY_FOURCC, fourcc_code
from glview.scanout.geometry import Rect
from glview.scanout.memory import Memory
from glview.scanout.source import PixelSource

GUEST = 100, 80
WHOLE = Rect(0, 0, 100, 80)
PLAIN = Scene(100, 80, WHOLE)
SPRITE = Image(8, 8, bytes(256), "bgra")
TEXT = Image(50, 20, bytes(4000), "rgba")


def with_sprite(x: int, y: int, image: Image = SPRITE) -> Scene:
    return PLAIN._replace(sprite=(image, Rect(x, y, 8, 8)))


def test_nothing() -> None:
    assert changed(PLAIN, PLAIN, None, GUEST) is None
    assert changed(with_sprite(1, 1), with_sprite(1, 1), None, GUEST) is None


@pytest.mark.parametrize(
    "old",
    [
        None,
        PLAIN._replace(width=101),
        PLAIN._replace(light=0.4),
        PLAIN._replace(place=None),
        PLAIN._replace(place=Rect(1, 0, 100, 80)),
    ],
)
def test_everything(old: Scene | None) -> None:
    assert changed(old, PLAIN, None, GUEST) == WHOLE


def test_the_picture_s_damage() -> None:
    """Where the picture is in the window, and all of it where it is scaled."""
    damage = Rect(3, 4, 5, 6)
    assert changed(PLAIN, PLAIN, damage, GUEST) == damage
    wide = Scene(140, 80, Rect(20, 0, 100, 80))
    assert changed(wide, wide, damage, GUEST) == Rect(23, 4, 5, 6)
    large = Scene(240, 160, Rect(20, 0, 200, 160))
    assert changed(large, large, damage, GUEST) == Rect(20, 0, 200, 160)
    black = PLAIN._replace(place=None)
    assert changed(black, black, damage, GUEST) is None


def test_what_lies_over_it() -> None:
    """Where it was, and where it is; with what changed of the picture."""
    assert changed(PLAIN, with_sprite(10, 10), None, GUEST) == Rect(10, 10, 8, 8)
    assert changed(with_sprite(10, 10), PLAIN, None, GUEST) == Rect(10, 10, 8, 8)
    assert changed(with_sprite(10, 10), with_sprite(20, 12), None, GUEST) == Rect(10, 10, 18, 10)
    other = SPRITE._replace(pixels=bytes(range(256)))
    assert changed(with_sprite(1, 1), with_sprite(1, 1, other), None, GUEST) == Rect(1, 1, 8, 8)
    assert changed(PLAIN, with_sprite(10, 10), Rect(0, 0, 1, 1), GUEST) == Rect(0, 0, 18, 18)
    said = PLAIN._replace(text=(TEXT, Rect(25, 50, 50, 20)))
    assert changed(PLAIN, said, None, GUEST) == Rect(25, 50, 50, 20)


def test_only_inside_of_the_window() -> None:
    assert changed(PLAIN, with_sprite(-4, 76), None, GUEST) == Rect(0, 76, 4, 4)
    assert changed(PLAIN, with_sprite(200, 0), None, GUEST) is None


def picture(width: int, height: int) -> PixelSource:
    """A source of that size; nobody looks at its pixels."""
    return PixelSource(Memory(4), width, height, 4 * width, BY_FOURCC[fourcc_code("XR24")])


def test_damage_adds_up_until_it_is_taken() -> None:
    damage = Damage()
    source = picture(100, 80)
    damage.accept(source, Rect(1, 1, 2, 2))
    assert damage.take(PLAIN) == WHOLE  # nobody knows what the window held
    assert damage.take(PLAIN) is None
    damage.accept(source, Rect(1, 1, 2, 2))
    damage.accept(source, Rect(10, 20, 2, 2))
    assert damage.take(PLAIN) == Rect(1, 1, 11, 21)
    assert damage.take(PLAIN) is None
    damage.forget()
    assert damage.take(PLAIN) == WHOLE


def test_a_picture_of_another_size_is_all_new() -> None:
    damage = Damage()
    damage.accept(picture(50, 40), Rect(0, 0, 50, 40))
    twice = Scene(100, 80, WHOLE)
    damage.take(twice)
    damage.accept(picture(100, 80), Rect(3, 3, 1, 1))
    assert damage.guest == (100, 80)
    assert damage.take(twice) == WHOLE


def rect(number: int) -> Rect:
    """The part that frame `number` changes."""
    return Rect(10 * number, 0, 10, 10)


def test_old_buffers_lack_what_came_since() -> None:
    history = History()
    assert history.since(rect(0), 0) is None
    assert history.since(rect(1), 1) == rect(1)
    assert history.since(rect(2), 2) == Rect(10, 0, 20, 10)
    assert history.since(rect(3), 3) == Rect(10, 0, 30, 10)
    assert history.since(rect(4), 4) == Rect(10, 0, 40, 10)
    assert history.since(rect(5), 5) is None  # nobody remembers so much
    assert history.since(rect(6), 1) == rect(6)
    assert history.since(rect(7), 0) is None


def test_buffers_older_than_the_first_frame() -> None:
    history = History()
    assert history.since(rect(0), 2) is None
    assert history.since(rect(1), 3) is None
    assert history.since(rect(2), 3) == Rect(0, 0, 30, 10)
