"""When a picture is shown, and how long it stays: nothing flashes, nothing half-received."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from glview.testing import calls
from glview.testing.link import encode_call
from tests.support.canvas import Canvas
from tests.support.carriers import Carrier, Dmabuf, Mapped, Sent
from tests.support.hiding import WAYS, Hide
from tests.support.layouts import LAYOUTS
from tests.support.profile import requires
from tests.support.screen import Picture, difference
from tests.support.stage import Stage

BLANK_AFTER = 0.2
"""Seconds that Disable must last before it counts."""
SHOWN_AFTER = 0.05
"""Seconds that a scanout waits for its first update."""
PATIENCE = 10.0
"""Seconds that a busy machine may add."""

WIDTH, HEIGHT = 320, 200
XRGB = LAYOUTS["x8r8g8b8"]

memory = pytest.mark.parametrize("carrier", [Sent(), Mapped()], ids=["bytes", "map"])
carriers = pytest.mark.parametrize(
    "carrier",
    [
        pytest.param(Sent(), id="bytes"),
        pytest.param(Mapped(), id="map"),
        pytest.param(Dmabuf(), id="dmabuf", marks=requires("dmabuf-import")),
    ],
)
shared = pytest.mark.parametrize(
    "carrier",
    [
        pytest.param(Mapped(), id="map"),
        pytest.param(Dmabuf(), id="dmabuf", marks=requires("dmabuf-import")),
    ],
)


@pytest.fixture
def canvas() -> Iterator[Canvas]:
    """What is shown first; no pixel of it is black."""
    with Canvas(XRGB, WIDTH, HEIGHT) as canvas:
        canvas.memory |= 1
        yield canvas


def lit(shown: Picture) -> bool:
    """Whether a picture is shown; a line of text at the bottom is none."""
    return bool(shown[: HEIGHT // 2].any())


def until_dark(stage: Stage) -> float:
    """Wait until no picture is shown any more; when that was (monotonic seconds)."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for at, is_lit in stage.watch(0.02, lit):
            if not is_lit:
                return at
    pytest.fail("the picture stayed")


@carriers
def test_disable_blanks_after_a_while(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """Not before 200 ms; then all of the window, but for a line that says so; and back again."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    began = time.monotonic()
    stage.listener.disable()
    assert until_dark(stage) - began >= BLANK_AFTER
    assert not any(is_lit for _, is_lit in stage.watch(BLANK_AFTER, lit))
    letters = (stage.viewer.picture()[HEIGHT // 2 :] == 255).all(axis=-1)
    assert letters.sum() > 100, "a black window that does not explain itself"
    canvas.scribble(3, 3, 5, 5)
    carrier.update(stage.listener, canvas, (3, 3, 5, 5))
    stage.wait_shows(canvas.picture())


@carriers
def test_an_update_cancels_disable(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """Within those 200 ms, time after time: it is never blank."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    for _ in range(3):
        began = time.monotonic()
        stage.listener.disable()
        early = stage.watch(BLANK_AFTER / 2, lit)
        canvas.scribble(0, 0, 1, 1)
        carrier.update(stage.listener, canvas, (0, 0, 1, 1))
        if time.monotonic() - began < BLANK_AFTER:
            late = stage.watch(2 * BLANK_AFTER, lit)
            assert all(is_lit for _, is_lit in early + late)
            return
    pytest.fail("the machine is too busy to tell")


@carriers
def test_an_update_right_behind_disable(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """As with blobs at every page flip: both may be looked at together, and the last one counts."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    for _ in range(10):
        stage.listener.disable()
        canvas.scribble(0, 0, 1, 1)
        carrier.update(stage.listener, canvas, (0, 0, 1, 1))
    assert all(is_lit for _, is_lit in stage.watch(2 * BLANK_AFTER, lit))
    stage.wait_shows(canvas.picture())


@carriers
def test_a_scanout_cancels_disable(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """The guest took another buffer."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    stage.listener.disable()
    with Canvas(XRGB, WIDTH, HEIGHT) as other:
        other.memory |= 1
        carrier.show(stage.listener, other)
        assert all(is_lit for _, is_lit in stage.watch(2 * BLANK_AFTER, lit))
        stage.wait_shows(other.picture())


def announce(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """The scanout alone, without an update."""
    if isinstance(carrier, Dmabuf):
        carrier.announce(stage.listener, canvas, canvas.all)
    else:
        size = canvas.width, canvas.height
        stage.listener.scanout_map(canvas.fd, 0, *size, canvas.stride, canvas.layout.pixman)


@shared
def test_a_scanout_waits_for_its_update(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """For 50 ms, while the old picture stays; then it is shown as it is."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    with Canvas(XRGB, WIDTH, HEIGHT) as black:
        black.paint(0)
        began = time.monotonic()
        announce(stage, carrier, black)
        assert until_dark(stage) - began >= SHOWN_AFTER
        assert not any(is_lit for _, is_lit in stage.watch(SHOWN_AFTER, lit))
        black.scribble(*black.all)
        carrier.update(stage.listener, black, black.all)
        stage.wait_shows(black.picture())


@shared
def test_the_black_frame_of_a_mode_change(stage: Stage, carrier: Carrier, canvas: Canvas) -> None:
    """QEMU announces a black picture before the real one: it is never seen."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    with Canvas(XRGB, WIDTH, HEIGHT) as black, Canvas(XRGB, WIDTH, HEIGHT) as real:
        black.paint(0)
        real.memory |= 1
        for _ in range(5):
            began = time.monotonic()
            announce(stage, carrier, black)
            early = stage.watch(SHOWN_AFTER / 4, lit)
            carrier.show(stage.listener, real)
            if time.monotonic() - began < SHOWN_AFTER:
                late = stage.watch(0.2, lit)
                assert all(is_lit for _, is_lit in early + late)
                stage.wait_shows(real.picture())
                return
        pytest.fail("the machine is too busy to tell")


@pytest.mark.parametrize("sent", [0, 1, WIDTH * HEIGHT * 2, WIDTH * HEIGHT * 4 - 1])
@pytest.mark.parametrize("kind", ["scanout", "update"])
def test_half_a_picture_is_not_shown(stage: Stage, canvas: Canvas, kind: str, sent: int) -> None:
    """The last whole one stays until the rest has come."""
    Sent().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    before = canvas.picture()
    canvas.scribble(*canvas.all)
    call = calls.UPDATE if kind == "update" else calls.SCANOUT
    args: tuple[object, ...] = WIDTH, HEIGHT, canvas.stride, XRGB.pixman, b""
    if kind == "update":
        args = 0, 0, *args
    body = canvas.rows()
    head = encode_call(call, stage.listener.next_serial(), args, pixel_bytes=len(body))
    stage.listener.send_raw(head + body[:sent])
    seen = stage.watch(0.15, lambda shown: bool(difference(shown, before)))
    assert not any(changed for _, changed in seen)
    stage.listener.send_raw(body[sent:])
    stage.wait_shows(canvas.picture())


def test_a_first_picture_that_stops_halfway(stage: Stage, canvas: Canvas) -> None:
    """Another kind of scanout, half-received, leaves the map on the screen."""
    Mapped().show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    with Canvas(LAYOUTS["r8g8b8"], 400, 300) as other:
        args = (400, 300, other.stride, other.layout.pixman, b"")
        body = other.rows()
        head = encode_call(calls.SCANOUT, stage.listener.next_serial(), args, pixel_bytes=len(body))
        stage.listener.send_raw(head + body[:1000])
        canvas.scribble(*canvas.all)
        want = canvas.picture()
        seen = stage.watch(0.15, lambda shown: shown.shape == want.shape and lit(shown))
        assert all(whole for _, whole in seen)
        stage.listener.send_raw(body[1000:])
        stage.wait_shows(other.picture())


@memory
@pytest.mark.parametrize("hide", WAYS)
def test_what_changed_while_hidden(
    stage: Stage, carrier: Carrier, canvas: Canvas, hide: Hide
) -> None:
    """It is there when the window is back, also another scanout."""
    carrier.show(stage.listener, canvas)
    stage.wait_shows(canvas.picture())
    for _ in range(3):
        show_again = hide(stage)
        canvas.scribble(30, 30, 50, 50)
        carrier.update(stage.listener, canvas, (30, 30, 50, 50))
        show_again()
        stage.wait_shows(canvas.picture())
        show_again = hide(stage)
        with Canvas(LAYOUTS["x8b8g8r8"], WIDTH, HEIGHT) as other:
            carrier.show(stage.listener, other)
            show_again()
            stage.wait_shows(other.picture())
        carrier.show(stage.listener, canvas)
        stage.wait_shows(canvas.picture())
