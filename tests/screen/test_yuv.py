"""Pictures of luma and chroma in several planes: as BT.601 defines them, or a word why not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glview.testing.pictures import fourcc
from tests.support.canvas import Canvas, Rect
from tests.support.carriers import Dmabuf
from tests.support.glcount import GlCount
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.stage import Stage
from tests.support.x11 import Xvfb
from tests.support.yuv import FORMATS, TOLERANCE, YuvBuffer

pytestmark = requires("dmabuf-import")

each_format = pytest.mark.parametrize("code", FORMATS)
both_ways = pytest.mark.parametrize("bottom_up", [False, True], ids=["top", "bottom"])


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> GlCount:
    """What the viewers of this file tell OpenGL."""
    return GlCount(tmp_path_factory.mktemp("glcount"))


@pytest.fixture(scope="module")
def stage(xvfb: Xvfb, count: GlCount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A viewer with OpenGL ES, which alone has external textures."""
    folder = tmp_path_factory.mktemp("viewer")
    with Stage(folder, xvfb, "--gl", "es", env=count.environment) as stage:
        yield stage


def check(stage: Stage, buffer: YuvBuffer, rect: Rect | None = None, *, up: bool = False) -> None:
    """Wait until the buffer is shown."""
    want = buffer.picture(rect, bottom_up=up)
    stage.wait_shows(want, f"the {buffer.layout.fourcc}", tolerance=TOLERANCE[buffer.layout.bits])


SIZES = [(160, 100), (161, 100), (160, 67)]


@each_format
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_colours(stage: Stage, count: GlCount, code: str, size: tuple[int, int]) -> None:
    """As the standard has them, also where half a cell of chroma is outside; no upload.

    External textures are given the image again for each update.
    """
    uploads = count.calls()
    with YuvBuffer(FORMATS[code], *size) as buffer:
        buffer.show(stage.listener)
        check(stage, buffer)
        for _ in range(3):
            before = count.attached
            buffer.scribble()
            buffer.update(stage.listener)
            check(stage, buffer)
            assert count.attached > before
    assert count.calls() == uploads


@each_format
def test_a_file_for_each_plane(stage: Stage, code: str) -> None:
    with YuvBuffer(FORMATS[code], 320, 200, apart=True) as buffer:
        buffer.show(stage.listener)
        check(stage, buffer)


def test_a_descriptor_for_each_plane_of_one_file(stage: Stage) -> None:
    """As EGL exports them: QEMU sends the same buffer twice."""
    with YuvBuffer(FORMATS["NV12"], 320, 200) as buffer:
        buffer.fds *= 2
        buffer.show(stage.listener)
        check(stage, buffer)
        del buffer.fds[1:]


@both_ways
@pytest.mark.parametrize("part", [(0, 0, 100, 80), (33, 21, 101, 79)])
def test_a_part(stage: Stage, part: Rect, bottom_up: bool) -> None:
    """It may begin in the middle of a cell of chroma."""
    with YuvBuffer(FORMATS["NV12"], 201, 151) as buffer:
        buffer.show(stage.listener, part, bottom_up=bottom_up)
        check(stage, buffer, part, up=bottom_up)


def test_flips_between_kinds(stage: Stage) -> None:
    """Ordinary and external textures, of the same size, in turn."""
    with YuvBuffer(FORMATS["P010"], 200, 100) as film, Canvas(LAYOUTS["x8r8g8b8"], 200, 100) as rgb:
        for _ in range(3):
            film.scribble()
            film.show(stage.listener)
            check(stage, film)
            rgb.scribble(*rgb.all)
            Dmabuf().show(stage.listener, rgb)
            stage.wait_shows(rgb.picture())


def test_one_plane_of_two(stage: Stage) -> None:
    """Which is all that version 1 of the call can carry."""
    with YuvBuffer(FORMATS["NV12"], 320, 200) as buffer:
        since = len(stage.viewer.output)
        code = fourcc("NV12")
        stage.listener.scanout_dmabuf(buffer.fds[0], 320, 200, buffer.strides[0], code)
        buffer.update(stage.listener)
        stage.wait_output("NV12 has 2 planes, 1 of which came", since)
