"""How much of a dma-buf a driver may read: to the last byte of the last sample, plane by plane."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from glview.errors import ProtocolError
from glview.scanout.checks import dmabuf_planes
from glview.scanout.formats import MOD_INVALID, MOD_LINEAR, fourcc_code
from glview.scanout.source import Plane


class Need(NamedTuple):
    """What a picture takes: of each plane the bytes of a row, and how many rows."""

    fourcc: str
    size: tuple[int, int]
    planes: tuple[tuple[int, int], ...]


NEEDS = [
    Need("XR24", (5, 3), ((20, 3),)),
    Need("RG16", (5, 3), ((10, 3),)),
    Need("NV12", (6, 4), ((6, 4), (6, 2))),
    Need("NV12", (5, 3), ((6, 4), (6, 2))),
    Need("NV21", (1, 1), ((2, 2), (2, 1))),
    Need("P010", (6, 4), ((12, 4), (12, 2))),
    Need("P010", (5, 3), ((12, 4), (12, 2))),
    Need("YU12", (6, 4), ((6, 4), (3, 2), (3, 2))),
    Need("YV12", (5, 3), ((6, 4), (3, 2), (3, 2))),
    Need("YUYV", (6, 3), ((12, 3),)),
    Need("UYVY", (5, 3), ((12, 3),)),
]
"""By drm_fourcc.h. Half a cell of chroma at the edge is a whole one in memory."""

each_need = pytest.mark.parametrize("need", NEEDS, ids=lambda need: f"{need.fourcc}-{need.size}")
OFFSET = 128


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Memory files, one for each plane that there may be."""
    fds = [os.memfd_create("plane") for _ in range(4)]
    yield fds
    for fd in fds:
        os.close(fd)


def planes(need: Need, files: list[int], padding: int = 7) -> tuple[Plane, ...]:
    """In files that end with the last sample, rows so many bytes longer than they must be."""
    made = []
    for fd, (row, rows) in zip(files, need.planes, strict=False):
        stride = row + padding
        os.ftruncate(fd, OFFSET + stride * (rows - 1) + row)
        made.append(Plane(fd, OFFSET, stride))
    return tuple(made)


@each_need
@pytest.mark.parametrize("modifier", [MOD_LINEAR, MOD_INVALID])
def test_just_enough(need: Need, files: list[int], modifier: int) -> None:
    dmabuf_planes(planes(need, files), need.size, fourcc_code(need.fourcc), modifier)
    dmabuf_planes(planes(need, files, 0), need.size, fourcc_code(need.fourcc), modifier)


@each_need
def test_a_byte_too_few(need: Need, files: list[int]) -> None:
    """In any plane."""
    for number in range(len(need.planes)):
        made = planes(need, files)
        os.ftruncate(files[number], os.fstat(files[number]).st_size - 1)
        with pytest.raises(ProtocolError, match=f"plane {number} of .* is too short"):
            dmabuf_planes(made, need.size, fourcc_code(need.fourcc), MOD_LINEAR)


@each_need
def test_rows_that_overlap(need: Need, files: list[int]) -> None:
    """In any plane."""
    for number in range(len(need.planes)):
        made = list(planes(need, files, 0))
        made[number] = made[number]._replace(stride=made[number].stride - 1)
        with pytest.raises(ProtocolError, match="stride"):
            dmabuf_planes(tuple(made), need.size, fourcc_code(need.fourcc), MOD_LINEAR)


@each_need
def test_a_plane_that_is_missing(need: Need, files: list[int]) -> None:
    with pytest.raises(ProtocolError, match="planes"):
        dmabuf_planes(planes(need, files)[:-1], need.size, fourcc_code(need.fourcc), MOD_LINEAR)


def test_a_plane_of_a_layout_that_only_a_gpu_knows(files: list[int]) -> None:
    """No more is known than that the offset lies inside."""
    need = NEEDS[2]
    made = planes(need, files)
    os.ftruncate(files[1], OFFSET + 1)
    dmabuf_planes(made, need.size, fourcc_code(need.fourcc), 0x0100_0000_0000_0002)
    os.ftruncate(files[1], OFFSET)
    with pytest.raises(ProtocolError, match="plane 1"):
        dmabuf_planes(made, need.size, fourcc_code(need.fourcc), 0x0100_0000_0000_0002)
