"""What cannot be shown: said in the window and on stderr, and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from glview.testing import hostile
from glview.testing.pictures import fourcc
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf, Sent
from tests.support.layouts import LAYOUTS
from tests.support.notices import text_over, with_text
from tests.support.stage import Stage
from tests.support.wait import until

WIDTH, HEIGHT = 640, 240

BAD = {name: call for name, call in hostile.BAD_CALLS.items() if name.startswith("dmabuf")}
MAPS = {name: call for name, call in hostile.BAD_CALLS.items() if name.startswith("map")}


@pytest.fixture
def canvas() -> Iterator[Canvas]:
    """The last good picture."""
    with Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas:
        yield canvas


@pytest.mark.parametrize("name", MAPS)
def test_a_bad_map(stage: Stage, canvas: Canvas, name: str) -> None:
    """Refused, upon which QEMU sends bytes: these are shown, with nothing said over them."""
    MAPS[name](stage.listener)
    Sent().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    assert "pictures come as bytes: " in stage.viewer.output


@pytest.mark.parametrize("name", BAD)
def test_a_bad_dmabuf(stage: Stage, canvas: Canvas, name: str) -> None:
    """Said, over the last good picture; answered; and the next good one is shown."""
    Sent().show(stage.listener, canvas)
    since = len(stage.viewer.output)
    BAD[name](stage.listener)
    reply = stage.listener.update_dmabuf(0, 0, 64, 64)
    assert reply.ok
    assert reply.seconds < 0.1

    def outcome() -> str:
        if "dma-buf" in stage.viewer.output[since:] and stage.place[2:] == (64, 64):
            return "the driver refused it"
        return text_over(stage, since, canvas.picture())

    text = until(outcome, "a line over the picture")
    canvas.scribble(*canvas.all)
    Sent().show(stage.listener, canvas)
    if "cannot be shown" in text:
        stage.wait_shows(with_text(canvas.picture(), text), tolerance=1)
    else:
        stage.wait_shows(canvas.picture())


def test_a_layout_that_only_a_gpu_knows(stage: Stage, canvas: Canvas) -> None:
    """What can neither be imported nor copied is said with the option that mends it, once."""
    Sent().show(stage.listener, canvas)
    below = canvas.picture(), np.zeros_like(canvas.picture())
    until(lambda: np.array_equal(stage.shown()[:100], below[0][:100]), "the good picture")
    tiled = Dmabuf(modifier=0x0100_0000_0000_0002)
    with Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as refused:
        since = len(stage.viewer.output)
        tiled.show(stage.listener, refused)
        text = until(lambda: text_over(stage, since, *below), "a line over the picture")
        for _ in range(5):
            tiled.update(stage.listener, refused, refused.all)
    assert "gl=off" in text
    assert "rendernode=" in text
    assert stage.viewer.output[since:].count(text) == 1
    Sent().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())


FOREIGN = ["NV16", "AYUV", "YU24", "Y210", "AB4H", "XB4H", "AB48", "AR30", "R8  ", "GR88", "R16 "]
"""What drivers import besides the formats of a console. Some pixels take more than four bytes."""


@pytest.mark.parametrize("code", FOREIGN)
def test_a_format_that_no_console_has(stage: Stage, canvas: Canvas, code: str) -> None:
    """Said; nothing is read behind the end of a buffer that is too short for it."""
    since = len(stage.viewer.output)
    with hostile.memory(WIDTH * 4 * HEIGHT) as fd:
        planes = (fd,), 0, 0, WIDTH, HEIGHT, (0,), (WIDTH * 4,), 1
        stage.listener.scanout_dmabuf2(*planes, fourcc(code), WIDTH, HEIGHT)
        assert stage.listener.update_dmabuf(0, 0, WIDTH, HEIGHT).ok
        stage.listener.scanout_dmabuf(fd, WIDTH, HEIGHT * 4, WIDTH, fourcc(code))
        assert stage.listener.update_dmabuf(0, 0, WIDTH, HEIGHT).ok
    name = code.replace(" ", ".")
    for member in ("ScanoutDMABUF2", "ScanoutDMABUF"):
        stage.wait_output(f"{member}: unknown pixel format {name}", since)
    Sent().show(stage.listener, canvas)
    top = canvas.picture()[:100]
    until(lambda: np.array_equal(stage.shown()[:100], top), "the next good picture")
