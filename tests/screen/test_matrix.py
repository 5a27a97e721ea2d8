"""Every pixel format in every kind of scanout, as the X server shows it.

The reference is tests/support/layouts.py, made from the formats' own headers.
Each case fills shared memory with random bytes and compares every pixel of
the window with what those bytes mean; then it changes rectangles, announces
nothing but them, and compares again. One viewer serves all cases, so each
also starts from whatever the last one left.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glview.scanout.formats import FORMATS, fourcc_text
from tests.support.canvas import Canvas, Rect
from tests.support.carriers import Carrier, Dmabuf, Mapped, Sent
from tests.support.layouts import LAYOUTS, Layout
from tests.support.profile import requires
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

SIZES = [(1, 1), (2, 3), (17, 5), (65, 33), (333, 61)]
"""Odd widths, and those just beyond a multiple of 4 and of 64 bytes."""

imports = requires("dmabuf-import")
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))


@pytest.fixture(scope="module", params=["es", "core"])
def stage(
    request: pytest.FixtureRequest, xvfb: Xvfb, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A viewer with that kind of OpenGL, for all tests of this file in turn."""
    with Stage(tmp_path_factory.mktemp("viewer"), xvfb, "--gl", request.param) as stage:
        yield stage


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
    bottom_up = isinstance(carrier, Dmabuf) and carrier.bottom_up
    stage.wait_shows(canvas.picture(bottom_up=bottom_up), what)
    for rect in rects:
        canvas.scribble(*rect)
        carrier.update(stage.listener, canvas, rect)
        stage.wait_shows(canvas.picture(bottom_up=bottom_up), f"{what} after {rect}")


def test_the_table_is_complete() -> None:
    """Every row of the viewer's table is tested here, under the numbers of the headers."""
    assert {(f.name, f.pixman, fourcc_text(f.fourcc)) for f in FORMATS} == {
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
@imports
def test_dmabuf(stage: Stage, version: int, bottom_up: bool, layout: Layout) -> None:
    """ScanoutDMABUF and ScanoutDMABUF2, whichever row is first in memory."""
    carrier = Dmabuf(version, bottom_up)
    for width, height in SIZES:
        for stride in strides(layout, width):
            with Canvas(layout, width, height, stride) as canvas:
                check(stage, carrier, canvas, damages(width, height))
