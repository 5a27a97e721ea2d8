"""The demo's picture."""

from __future__ import annotations

import struct

import numpy as np

from glview.qemu.splash import HEIGHT, WIDTH, bmp, splash


def test_the_picture_holds_a_title_and_hints() -> None:
    picture = splash()
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    bright = picture.min(axis=-1) > 180
    title, hints = bright[180:410], bright[440:530]
    assert 0.05 < title.mean() < 0.25
    assert 0.005 < hints.mean() < 0.1
    columns = np.nonzero(title.any(axis=0))[0]
    assert abs((columns[0] + columns[-1]) / 2 - WIDTH / 2) < 2, "not centred"


def test_it_is_the_same_every_time() -> None:
    assert np.array_equal(splash(), splash())


def test_bmp_has_bottom_row_and_blue_first() -> None:
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[1, 0] = (1, 2, 3)
    data = bmp(picture)
    magic, size, _, _, start = struct.unpack_from("<2sIHHI", data)
    assert (magic, size) == (b"BM", len(data))
    assert struct.unpack_from("<IiiHH", data, 14) == (40, 4, 2, 1, 24)
    assert data[start : start + 3] == bytes((3, 2, 1))
    assert len(data) == start + 2 * 4 * 3
