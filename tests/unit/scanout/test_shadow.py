"""The picture made of bytes: whole at every moment, and never waiting for who reads it."""

from __future__ import annotations

import threading

import pytest

from glview.scanout.formats import BY_PIXMAN, XRGB8888
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Mailbox, Snapshot
from glview.scanout.shadow import Shadow
from glview.scanout.source import PixelSource


class Picture:
    """A shadow with its mailbox, fed with solid colours and read as rows of words."""

    def __init__(self) -> None:
        self.mailbox = Mailbox(lambda: None)
        self.shadow = Shadow(self.mailbox)
        self.source: PixelSource | None = None

    def scanout(self, width: int, height: int, value: int, stride: int = 0) -> None:
        stride = stride or width * 4
        memory = self.shadow.begin(stride * height)
        memory[:] = value.to_bytes(4, "little") * (len(memory) // 4)
        self.shadow.commit(width, height, stride, XRGB8888)

    def update(self, rect: Rect, value: int) -> None:
        pixels = value.to_bytes(4, "little") * (rect.width * rect.height)
        self.shadow.patch(rect, XRGB8888, memoryview(pixels), rect.width * 4)

    def take(self) -> Snapshot:
        news = self.mailbox.take()
        if isinstance(news.source, PixelSource):
            if self.source is not None:
                self.source.close()
            self.source = news.source
        return news

    def rows(self) -> list[list[int]]:
        self.take()
        assert self.source is not None
        return read(self.source)


def read(source: PixelSource) -> list[list[int]]:
    def pixel(x: int, y: int) -> int:
        at = y * source.stride + x * 4
        return int.from_bytes(source.memory.view[at : at + 4], "little")

    return [[pixel(x, y) for x in range(source.width)] for y in range(source.height)]


@pytest.fixture
def picture() -> Picture:
    return Picture()


def test_a_frame_shows_only_once_it_is_complete(picture: Picture) -> None:
    picture.scanout(2, 2, 1)
    picture.take()
    memory = picture.shadow.begin(16)
    memory[:8] = b"\xff" * 8
    assert picture.take().source is None
    assert picture.rows() == [[1, 1], [1, 1]]


def test_a_frame_never_goes_into_memory_that_somebody_holds(picture: Picture) -> None:
    picture.scanout(2, 1, 1)
    first = picture.take().source
    assert isinstance(first, PixelSource)
    picture.source = None  # held beyond the next ones
    for value in (2, 3, 4, 5):
        picture.scanout(2, 1, value)
        assert read(first) == [[1, 1]]
        assert picture.rows() == [[value, value]]


def test_two_buffers_serve_any_number_of_frames(picture: Picture) -> None:
    addresses = set()
    for value in range(20):
        picture.scanout(4, 4, value)
        picture.take()
        assert picture.source is not None
        addresses.add(picture.source.memory.address)
    assert len(addresses) == 2


def test_a_rectangle_is_put_in_place(picture: Picture) -> None:
    picture.scanout(3, 3, 1)
    picture.take()
    picture.update(Rect(1, 1, 2, 1), 7)
    news = picture.take()
    assert news.source is None
    assert news.damage == Rect(1, 1, 2, 1)
    assert picture.rows() == [[1, 1, 1], [1, 7, 7], [1, 1, 1]]


def test_a_rectangle_with_padded_rows(picture: Picture) -> None:
    picture.scanout(2, 2, 1)
    padded = bytes([9, 0, 0, 0, 0xEE, 0xEE, 0xEE, 0xEE, 8, 0, 0, 0])
    picture.shadow.patch(Rect(1, 0, 1, 2), XRGB8888, memoryview(padded), 8)
    assert picture.rows() == [[1, 9], [1, 8]]


def test_while_the_picture_is_read_a_rectangle_goes_into_a_copy(picture: Picture) -> None:
    picture.scanout(2, 2, 1)
    picture.take()
    source = picture.source
    assert source is not None
    with source.reading():
        picture.update(Rect(0, 0, 1, 1), 7)
        assert read(source) == [[1, 1], [1, 1]]
    news = picture.take()
    assert news.source is not source
    assert news.damage == Rect(0, 0, 1, 1)  # the rest of the texture is still right
    assert picture.rows() == [[7, 1], [1, 1]]


def test_while_a_closed_picture_is_read_no_frame_goes_into_it(picture: Picture) -> None:
    picture.scanout(2, 1, 1)
    source = picture.take().source
    assert isinstance(source, PixelSource)
    with source.reading():
        for value in (2, 3, 4, 5):
            picture.scanout(2, 1, value)
            picture.take()  # closes it the first time
            assert read(source) == [[1, 1]]
    assert source.closed
    addresses = set()
    for value in range(9):
        picture.scanout(2, 1, value)
        picture.take()
        assert picture.source is not None
        addresses.add(picture.source.memory.address)
    assert source.memory.address in addresses  # afterwards one does again


def test_damage_not_looked_at_survives_a_copy(picture: Picture) -> None:
    picture.scanout(4, 4, 1)
    picture.take()
    picture.update(Rect(3, 3, 1, 1), 2)
    assert picture.source is not None
    with picture.source.reading():
        picture.update(Rect(0, 0, 1, 1), 3)
    assert picture.take().damage == Rect(0, 0, 4, 4)


def test_an_update_outside_grows_the_picture(picture: Picture) -> None:
    picture.scanout(2, 1, 1)
    picture.update(Rect(1, 1, 2, 1), 7)
    news = picture.take()
    assert news.damage == Rect(0, 0, 3, 2)
    assert picture.rows() == [[1, 1, 0], [0, 7, 7]]


def test_an_update_without_any_scanout_makes_a_picture(picture: Picture) -> None:
    picture.update(Rect(0, 0, 2, 1), 7)
    assert picture.rows() == [[7, 7]]


def test_another_format_starts_anew(picture: Picture) -> None:
    picture.scanout(2, 2, 1)
    rgb565 = BY_PIXMAN[0x10020565]
    picture.shadow.patch(Rect(0, 0, 1, 1), rgb565, memoryview(b"\xff\xff"), 2)
    picture.take()
    assert picture.source is not None
    assert picture.source.format is rgb565
    assert (picture.source.width, picture.source.height) == (1, 1)


def test_the_console_shrinks_the_picture_and_a_scanout_widens_it(picture: Picture) -> None:
    picture.scanout(4, 3, 1)
    picture.shadow.crop(2, 9)
    assert picture.rows() == [[1, 1]] * 3
    picture.scanout(4, 3, 2)
    assert picture.rows() == [[2, 2, 2, 2]] * 3


def test_padding_beyond_the_width_is_not_shown(picture: Picture) -> None:
    picture.scanout(2, 2, 5, stride=16)
    assert picture.rows() == [[5, 5], [5, 5]]


def test_writer_and_reader_never_see_each_other_halfway() -> None:
    """A reader that takes its time finds one colour in each rectangle, always."""
    picture = Picture()
    picture.scanout(64, 64, 0)
    stop = threading.Event()

    def write() -> None:
        value = 0
        while not stop.is_set():
            value = value % 250 + 1
            picture.update(Rect(0, 0, 64, 64), value)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            picture.take()
            assert picture.source is not None
            with picture.source.reading():
                rows = read(picture.source)
            assert len({value for row in rows for value in row}) == 1
    finally:
        stop.set()
        writer.join()
