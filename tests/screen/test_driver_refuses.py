"""Drivers that do not take a dma-buf, or not as QEMU sends it: copied by the CPU, or said.

Real Mesa, with a liar in between where it would take them (tests/support/liar.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf, Sent
from tests.support.layouts import LAYOUTS
from tests.support.liar import Liar
from tests.support.notices import text_over
from tests.support.profile import requires
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb
from tests.support.yuv import FORMATS, YuvBuffer

pytestmark = requires("dmabuf-import")

WIDTH, HEIGHT = 640, 240
TOP = 100
"""Rows that no text is over."""
TILED = 0x0100_0000_0000_0001

COPIED = "The picture is copied by the CPU, which is slower: "
OTHER_GPU = "probably QEMU draws on another GPU than this window's"

StartStage = Callable[..., AbstractContextManager[Stage]]


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Liar:
    return Liar(tmp_path_factory.mktemp("liar"))


@pytest.fixture
def start(xvfb: Xvfb, liar: Liar, tmp_path: Path) -> StartStage:
    """A function: a viewer with that OpenGL, whose driver tells that lie."""

    def begin(gl: str, lie: str = "") -> Stage:
        env = liar.environment(lie)
        return Stage(tmp_path, xvfb, "--gl", gl, "--present", "swap", env=env)

    return begin


@pytest.fixture
def canvas() -> Iterator[Canvas]:
    """What the guest draws into."""
    with Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas:
        yield canvas


def wait_top(stage: Stage, canvas: Canvas) -> None:
    """Wait until the upper rows are shown."""
    top = canvas.picture()[:TOP]
    until(lambda: np.array_equal(stage.shown()[:TOP], top), "the picture")


def check_copied(stage: Stage, canvas: Canvas) -> str:
    """The canvas is shown, and what is drawn into it later; the reason that is given once."""
    Dmabuf().show(stage.listener, canvas)
    for _ in range(3):
        wait_top(stage, canvas)
        canvas.scribble(*canvas.all)
        Dmabuf().update(stage.listener, canvas, canvas.all)
    wait_top(stage, canvas)
    said = re.findall("the picture is copied by the CPU: (.*)", stage.viewer.output)
    assert len(said) == 1, stage.viewer.output
    return str(said[0])


def check_said(stage: Stage, canvas: Canvas, show: Callable[[], None]) -> str:
    """The line that stands over the last good picture or black, as on stderr."""
    Sent().show(stage.listener, canvas)
    wait_top(stage, canvas)
    below = canvas.picture(), np.zeros_like(canvas.picture())
    since = len(stage.viewer.output)
    show()
    text = until(lambda: text_over(stage, since, *below), "a line over the picture")
    Sent().show(stage.listener, canvas)
    wait_top(stage, canvas)
    return text


REFUSALS = {
    "import-bad-alloc": "EGL_BAD_ALLOC",
    "import-bad-match": "EGL_BAD_MATCH",
    "texture-refused": "OpenGL error 0x50",
}


@pytest.mark.parametrize(
    ("lie", "gl"), [*((lie, "es") for lie in REFUSALS), ("import-bad-match", "core")]
)
def test_a_buffer_of_another_gpu(start: StartStage, canvas: Canvas, lie: str, gl: str) -> None:
    """Copied where it is linear; the reason is likely that it is another GPU's."""
    with start(gl, lie) as stage:
        text = check_copied(stage, canvas)
        assert text.startswith("this OpenGL driver refuses the guest's dma-buf (XR24 640x240")
        assert f": {REFUSALS[lie]}" in text
        assert OTHER_GPU in text
        assert "rendernode=" in text


def test_a_tiled_buffer_of_another_gpu(start: StartStage, canvas: Canvas) -> None:
    """Which the CPU cannot read: said, with the option that mends it."""
    with start("es") as stage:
        tiled = Dmabuf(modifier=TILED)
        text = check_said(stage, canvas, lambda: tiled.show(stage.listener, canvas))
    assert "XR24 640x240, modifier 0x100000000000001" in text
    assert OTHER_GPU in text
    assert "rendernode=" in text


def test_yuv_of_another_gpu(start: StartStage, canvas: Canvas) -> None:
    """Which the CPU does not convert."""
    with (
        start("es", "import-bad-alloc") as stage,
        YuvBuffer(FORMATS["NV12"], WIDTH, HEIGHT) as film,
    ):
        text = check_said(stage, canvas, lambda: film.show(stage.listener))
    assert "dma-buf (NV12 640x240" in text
    assert OTHER_GPU in text


def test_yuv_that_is_not_imported(start: StartStage, canvas: Canvas) -> None:
    """Said with its name, and the way out."""
    with start("es", "few-formats") as stage, YuvBuffer(FORMATS["YU12"], WIDTH, HEIGHT) as film:
        text = check_said(stage, canvas, lambda: film.show(stage.listener))
    assert "does not import the guest's dma-buf (YU12 640x240" in text
    assert "gl=off" in text


def test_yuv_without_external_textures(start: StartStage, canvas: Canvas) -> None:
    """Mesa would show the luma alone, as red."""
    with start("core") as stage, YuvBuffer(FORMATS["P010"], WIDTH, HEIGHT) as film:
        text = check_said(stage, canvas, lambda: film.show(stage.listener))
    assert "dma-buf (P010 640x240" in text
    assert "--gl es" in text


def test_external_only(start: StartStage, canvas: Canvas) -> None:
    """As NVIDIA's driver has linear buffers: an external texture, exact."""
    with start("es", "external-only") as stage:
        for name in ("x8r8g8b8", "a8b8g8r8", "r5g6b5"):
            canvas.reshape(LAYOUTS[name], WIDTH, HEIGHT)
            for bottom_up in (False, True):
                carrier = Dmabuf(bottom_up=bottom_up)
                canvas.scribble(*canvas.all)
                carrier.show(stage.listener, canvas)
                stage.wait_shows(canvas.picture(bottom_up=bottom_up), timeout=15)
                canvas.scribble(20, 30, 40, 50)
                carrier.update(stage.listener, canvas, canvas.all)
                stage.wait_shows(canvas.picture(bottom_up=bottom_up), timeout=15)
            part = 33, 21, 300, 101
            carrier.announce(stage.listener, canvas, part)
            carrier.update(stage.listener, canvas, canvas.all)
            stage.wait_shows(canvas.picture(part, bottom_up=True))
        assert "copied by the CPU" not in stage.viewer.output


def test_external_only_without_external_textures(start: StartStage, canvas: Canvas) -> None:
    with start("core", "external-only") as stage:
        assert "--gl es" in check_copied(stage, canvas)


WRONG = {
    "import-blackens": ("es", "other values of R, G, B"),
    "import-copies": ("core", "a change of the buffer is not seen"),
}


@pytest.mark.parametrize("lie", WRONG)
def test_wrong_pixels_without_an_error(start: StartStage, canvas: Canvas, lie: str) -> None:
    """Noticed with a buffer of glview's own, before the first of the guest's is shown."""
    gl, why = WRONG[lie]
    with start(gl, lie) as stage:
        text = check_copied(stage, canvas)
        assert "imports dma-bufs wrongly" in text
        assert why in text


def test_reading_back_that_is_wrong(start: StartStage, canvas: Canvas) -> None:
    """Does not bring the imports into discredit."""
    with start("es", "read-swaps") as stage:
        Dmabuf().show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
        assert "copied by the CPU" not in stage.viewer.output


@pytest.mark.parametrize("present", ["swap", "shm"])
def test_an_honest_driver(xvfb: Xvfb, tmp_path: Path, canvas: Canvas, present: str) -> None:
    """Is found to be one for each format, also between frames that are composed."""
    with (
        Stage(tmp_path, xvfb, "--present", present, "-vv") as stage,
        Canvas(LAYOUTS["x8b8g8r8"], WIDTH - 1, HEIGHT) as other,
    ):
        for picture in (canvas, other):
            Dmabuf().show(stage.listener, picture)
            stage.wait_shows(picture.picture())
        tried = re.findall(r"import self-test, (\w+) in a \w+: (\w+)", stage.viewer.output)
        assert [result for _, result in tried] == ["exact", "exact"]


def test_larger_than_a_texture(start: StartStage, canvas: Canvas) -> None:
    """Said with what it is that is too large; a part of it is copied by the CPU."""
    with start("es") as stage, Canvas(LAYOUTS["x8r8g8b8"], 16385, HEIGHT) as wide:
        part = 5, 7, WIDTH, HEIGHT - 7
        Dmabuf().announce(stage.listener, wide, part)
        Dmabuf().update(stage.listener, wide, part)
        top = wide.picture(part)[:TOP]
        until(lambda: np.array_equal(stage.shown()[:TOP], top), "the part")
        said = "16385x240 is larger than this OpenGL driver can show (16384 pixels)"
        assert f"copied by the CPU: the guest's picture of {said}" in stage.viewer.output
        assert "another GPU" not in stage.viewer.output
        since = len(stage.viewer.output)
        Dmabuf().show(stage.listener, wide)
        stage.wait_output(f"glview: the guest's picture of {said}", since)
