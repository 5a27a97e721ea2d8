"""Every pixel format in every kind of scanout, as the X server shows it.

The reference is tests/support/layouts.py, made from the formats' own headers.
Each case fills shared memory with random bytes and compares every pixel of
the window with what those bytes mean; then it changes rectangles, announces
nothing but them, and compares again. One viewer serves all cases, so each
also starts from whatever the last one left.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glview.scanout.formats import FORMATS, fourcc_text
from tests.support.canvas import Canvas, Rect
from tests.support.carriers import Carrier, Dmabuf, Mapped, Sent
from tests.support.layouts import LAYOUTS, Layout
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

SIZES = [(1, 1), (2, 3), (17, 5), (65, 33), (333, 61)]
"""Odd widths, and those just beyond a multiple of 4 and of 64 bytes."""

each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))


def strides(layout: Layout, width: int) -> list[int]:
    """Tight; padded to whole words and beyond; no multiple of words, and not of pixels."""
    row = width * layout.size
    return [row, row + -row % 4 + 8, row + 4 * layout.size + 1]


def damages(width: int, height: int) -> list[Rect]:
    """Two corners of one pixel, the last row, the last column, and the middle."""
    return [
        (0, 0, 1, 1),
        (width - 1, height - 1, 1, 1),
        (0, height - 1, width, 1),
        (width - 1, 0, 1, height),
        (width // 3, height // 3, (width + 1) // 2, (height + 1) // 2),
    ]


def check(stage: Stage, carrier: Carrier, canvas: Canvas, rects: list[Rect]) -> None:
    """Show the canvas; then change rectangle after rectangle; compare every time."""
    what = f"{canvas.layout.name} {canvas.width}x{canvas.height} stride {canvas.stride}"
    carrier.show(stage.listener, canvas)
    flipped = isinstance(carrier, Dmabuf) and carrier.bottom_up
    stage.wait_shows(canvas.picture(bottom_up=flipped), what)
    for rect in rects:
        canvas.scribble(*rect)
        carrier.update(stage.listener, canvas, rect)
        want = canvas.picture(bottom_up=flipped)
        stage.wait_shows(want, f"{what} after {rect}")


def test_the_table_is_complete() -> None:
    """Every row of the viewer's table is tested here, under the numbers of the headers."""
    assert {(f.name, f.pixman, fourcc_text(f.fourcc)) for f in FORMATS if f.pixman} == {
        (layout.name, layout.pixman, layout.fourcc) for layout in LAYOUTS.values()
    }


@each_layout
@pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])
def test_memory(stage: Stage, carrier: Carrier, layout: Layout) -> None:
    """Scanout and Update, ScanoutMap and UpdateMap."""
    for width, height in SIZES:
        for stride in strides(layout, width):
            with Canvas(layout, width, height, stride) as canvas:
                check(stage, carrier, canvas, damages(width, height))


@each_layout
def test_map_anywhere_in_a_file(stage: Stage, layout: Layout) -> None:
    """An offset that is no multiple of a page, and a file that ends with the last pixel."""
    width, height = 131, 47
    for offset in (4, 4093, 4096, 512_400):
        for stride in strides(layout, width):
            with Canvas(layout, width, height, stride, offset=offset, short=True) as canvas:
                check(stage, Mapped(), canvas, damages(width, height))


@each_layout
@pytest.mark.parametrize("bottom_up", [False, True], ids=["top", "bottom"])
@pytest.mark.parametrize("version", [1, 2])
def test_dmabuf(stage: Stage, version: int, bottom_up: bool, layout: Layout) -> None:
    """ScanoutDMABUF and ScanoutDMABUF2, whichever row is first in memory.

    A format that the driver does not import is copied by the CPU.
    """
    carrier = Dmabuf(version, bottom_up)
    wait_for_words_to_go(stage, carrier, layout)
    for width, height in SIZES:
        for stride in strides(layout, width):
            with Canvas(layout, width, height, stride) as canvas:
                check(stage, carrier, canvas, damages(width, height))


def wait_for_words_to_go(stage: Stage, carrier: Dmabuf, layout: Layout) -> None:
    """That pictures are copied is said over the first one, once in a viewer's life."""
    with Canvas(layout, *SIZES[-1]) as canvas:
        carrier.show(stage.listener, canvas)
        want = canvas.picture(bottom_up=carrier.bottom_up)
        stage.wait_shows(want, timeout=15.0)


@each_layout
def test_growing_and_shrinking(stage: Stage, layout: Layout) -> None:
    """A mode switch as QEMU tells it by stripes; only the console's properties say it shrank."""
    with Canvas(layout, 65, 49) as old, Canvas(layout, 91, 41) as new:
        Sent().show(stage.listener, old)
        want = np.zeros((49, 91, 3), np.uint8)
        want[:, :65] = old.picture()
        stage.wait_shows(old.picture())
        for y in range(0, 41, 16):
            stripe = 0, y, 91, min(16, 41 - y)
            Sent().update(stage.listener, new, stripe)
            want[y : y + 16][: stripe[3]] = new.picture(stripe)
            stage.wait_shows(want, f"the stripe at {y}")
        stage.console.set_size(91, 41)
        stage.wait_shows(new.picture(), "the smaller picture")
        new.scribble(90, 40, 1, 1)
        Sent().update(stage.listener, new, (90, 40, 1, 1))
        stage.wait_shows(new.picture(), "a pixel of the smaller picture")
        want[:41] = new.picture()
    stage.console.set_size(640, 480)
    stage.wait_shows(want, "what was cut off")


@each_layout
def test_growing_where_the_size_is_known_before(stage: Stage, layout: Layout) -> None:
    """The properties may come first: they travel on another socket."""
    with Canvas(layout, 65, 49) as old, Canvas(layout, 91, 41) as new:
        Sent().show(stage.listener, old)
        stage.wait_shows(old.picture())
        stage.console.set_size(91, 41)
        stage.wait_shows(old.picture()[:41])
        for rect in ((0, 0, 91, 20), (0, 20, 40, 21), (40, 20, 51, 21)):
            Sent().update(stage.listener, new, rect)
        stage.wait_shows(new.picture())
    stage.console.set_size(640, 480)
    with Canvas(layout, 91, 49) as last:
        Sent().show(stage.listener, last)
        stage.wait_shows(last.picture())


def test_one_kind_after_another(stage: Stage) -> None:
    """Bytes and maps in turn, with other formats: nothing of the last one is left."""
    carriers: list[Carrier] = [Sent(), Mapped(), Sent(), Mapped()]
    for number, layout in enumerate(list(LAYOUTS.values()) * 2):
        with Canvas(layout, 65 + number % 3, 33) as canvas:
            check(stage, carriers[number % 4], canvas, [(3, 3, 9, 9)])


def test_updates_of_a_map_that_lie_elsewhere(stage: Stage) -> None:
    """Stale rectangles may reach beyond the picture; what has changed is shown all the same."""
    with Canvas(LAYOUTS["x8r8g8b8"], 65, 33) as canvas:
        check(stage, Mapped(), canvas, [(60, 30, 100, 100), (-5, -5, 10, 10)])
        canvas.scribble(*canvas.all)
        stage.listener.update_map(0, 400, 640, 80)
        stage.wait_shows(canvas.picture())


def test_a_size_that_was_announced_too_late(stage: Stage) -> None:
    """What was cut off for want of a console so large is shown when there is one."""
    with Canvas(LAYOUTS["x8r8g8b8"], 65, 33) as canvas:
        stage.console.set_size(40, 20)
        Sent().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture((0, 0, 40, 20)))
        stage.console.set_size(640, 480)
        stage.wait_shows(canvas.picture())


@pytest.mark.parametrize("size", [(321, 201), (100, 50)])
@pytest.mark.parametrize("present", ["swap", "auto"])
def test_the_first_picture_that_gl_draws(
    own_xvfb: Xvfb, tmp_path: Path, present: str, size: tuple[int, int]
) -> None:
    """It is drawn in the window's size of then, not of when the window was made."""
    with Stage(tmp_path, own_xvfb, "--present", present) as stage:
        for layout, (width, height) in (("x8r8g8b8", (320, 200)), ("x8b8g8r8", size)):
            with Canvas(LAYOUTS[layout], width, height) as canvas:
                check(stage, Sent(), canvas, damages(width, height))
