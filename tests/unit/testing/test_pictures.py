"""The test pictures themselves: layouts against bytes written out by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest

from glview.testing import pictures

# One pixel R=0x12 G=0x34 B=0x56 with filler 0xA5, in the byte order that the protocol names.
BYTES = {
    "x8r8g8b8": "563412a5",
    "a8r8g8b8": "563412a5",
    "x8b8g8r8": "123456a5",
    "a8b8g8r8": "123456a5",
    "b8g8r8x8": "a5123456",
    "b8g8r8a8": "a5123456",
    "r8g8b8x8": "a5563412",
    "r8g8b8a8": "a5563412",
    "b8g8r8": "123456",
    "r8g8b8": "563412",
    "r5g6b5": "aa11",  # 00010 001101 01010
    "x1r5g5b5": "ca88",  # 1 00010 00110 01010
}


@pytest.mark.parametrize("name", pictures.PIXMAN)
def test_one_pixel_has_the_bytes_of_its_format(name: str) -> None:
    pixel = np.array([[[0x12, 0x34, 0x56]]], np.uint8)
    assert pictures.pack(pixel, pictures.PIXMAN[name]).tobytes().hex() == BYTES[name]


@pytest.mark.parametrize("name", pictures.PIXMAN)
def test_unpack_gives_back_what_the_format_can_hold(name: str) -> None:
    code, picture = pictures.PIXMAN[name], pictures.unique(37, 11)
    shown = pictures.unpack(pictures.pack(picture, code), code)
    if pictures.bytes_per_pixel(code) > 2:
        assert np.array_equal(shown, picture)
    assert np.array_equal(pictures.pack(shown, code), pictures.pack(picture, code))
    assert np.abs(shown.astype(int) - picture.astype(int)).max() < 8


def test_full_white_stays_full_white_in_16_bits() -> None:
    white = np.full((1, 1, 3), 255, np.uint8)
    code = pictures.PIXMAN["r5g6b5"]
    assert (pictures.unpack(pictures.pack(white, code), code) == 255).all()


def test_every_pixel_of_unique_differs() -> None:
    picture = pictures.unique(1920, 1080).astype(np.uint32)
    words = picture[..., 0] | picture[..., 1] << 8 | picture[..., 2] << 16
    assert np.unique(words).size == 1920 * 1080


def test_bars_move_and_wrap() -> None:
    still, moved = pictures.bars(80, 2), pictures.bars(80, 2, 3)
    assert np.array_equal(np.roll(still, 3, axis=1), moved)
    assert len(np.unique(still[0], axis=0)) == 8


def test_square_moves_each_frame() -> None:
    first, second = (pictures.moving_square(320, 200, frame) for frame in (0, 1))
    assert not np.array_equal(first, second)
    assert (second[3:67, 4:68] == 255).all()


def test_memory_file_has_offset_stride_and_a_short_last_row() -> None:
    picture = pictures.unique(5, 3)
    with pictures.memfd_picture(picture, offset=7, stride=32, short_last_row=True) as memory:
        assert os.fstat(memory.fd).st_size == memory.size == 7 + 2 * 32 + 5 * 4
        raw = os.pread(memory.fd, memory.size, 0)
        packed = pictures.pack(picture, memory.code)
        for row in range(3):
            start = 7 + row * 32
            assert raw[start : start + 20] == packed[row].tobytes()
        assert raw[:7] == b"\xee" * 7
        assert raw[27:39] == b"\xee" * 12


def test_drawing_changes_what_others_map() -> None:
    with pictures.memfd_picture(pictures.gradient(8, 8)) as memory:
        memory.draw(np.full((2, 3, 3), 9, np.uint8), x=4, y=5)
        assert os.pread(memory.fd, 3, 5 * 32 + 4 * 4) == b"\x09\x09\x09"
        assert (memory.picture()[5:7, 4:7] == 9).all()


def test_memory_file_is_closed_once() -> None:
    memory = pictures.memfd_picture(pictures.gradient(2, 2))
    fd = memory.fd
    memory.close()
    memory.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_stride_below_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="less than a row of 32 bytes"):
        pictures.memfd_picture(pictures.gradient(8, 8), stride=31)


def test_fourcc_is_little_endian_text() -> None:
    assert pictures.fourcc("XR24") == 875713112
    assert pictures.fourcc("AB24") == 875708993
