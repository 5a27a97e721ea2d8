"""What goes over the queues of a virtio GPU: numbers and layouts, nothing that acts.

(virtio 1.2, section 5.7 "GPU Device"; the 3D commands and formats as in
Linux's include/uapi/linux/virtio_gpu.h)
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Rect = tuple[int, int, int, int]
"""x, y, width, height."""

HEADER = struct.Struct("<IIQIB3x")  # type, flags, fence id, context id, ring index
FENCE = 1

FEATURE_VIRGL, FEATURE_BLOB = 1 << 0, 1 << 3

OK = 0x1100
ERRORS = {
    0x1200: "unspecified",
    0x1201: "out of memory",
    0x1202: "invalid scanout",
    0x1203: "invalid resource",
    0x1204: "invalid context",
    0x1205: "invalid parameter",
}


class Command(enum.IntEnum):
    """Types of requests."""

    GET_DISPLAY_INFO = 0x0100
    RESOURCE_CREATE_2D = 0x0101
    RESOURCE_UNREF = 0x0102
    SET_SCANOUT = 0x0103
    RESOURCE_FLUSH = 0x0104
    TRANSFER_TO_HOST_2D = 0x0105
    RESOURCE_ATTACH_BACKING = 0x0106
    RESOURCE_CREATE_BLOB = 0x010C
    SET_SCANOUT_BLOB = 0x010D
    CTX_CREATE = 0x0200
    CTX_DESTROY = 0x0201
    CTX_ATTACH_RESOURCE = 0x0202
    RESOURCE_CREATE_3D = 0x0204
    TRANSFER_TO_HOST_3D = 0x0205
    SUBMIT_3D = 0x0207
    UPDATE_CURSOR = 0x0300
    MOVE_CURSOR = 0x0301


BLOB_MEM_GUEST = 1
BLOB_FLAG_SHAREABLE = 2
TEXTURE_2D = 2
BIND_RENDER_TARGET, BIND_SAMPLER_VIEW, BIND_SCANOUT = 1 << 1, 1 << 3, 1 << 18
FLAG_Y_0_TOP = 1


class Format(NamedTuple):
    """A pixel format; its name lists the bytes in memory: R8G8B8X8 is R, G, B, X."""

    name: str
    code: int

    @property
    def order(self) -> str:
        """A letter for each byte."""
        return self.name[::2]

    def encode(self, picture: Bytes) -> Bytes:
        """The bytes of a picture of R, G, B or R, G, B, A; shape (height, width, 4).

        Without an alpha the fourth byte is 0: whoever blends where nothing is
        to be blended shows black.
        """
        cells = np.zeros((*picture.shape[:2], 4), np.uint8)
        for place, letter in enumerate(self.order):
            channel = "RGBA".find(letter)
            if 0 <= channel < picture.shape[2]:
                cells[..., place] = picture[..., channel]
        return cells


FORMATS = {
    name: Format(name, code)
    for name, code in (
        ("B8G8R8A8", 1),
        ("B8G8R8X8", 2),
        ("A8R8G8B8", 3),
        ("X8R8G8B8", 4),
        ("R8G8B8A8", 67),
        ("X8B8G8R8", 68),
        ("A8B8G8R8", 121),
        ("R8G8B8X8", 134),
    )
}


class Display(NamedTuple):
    """What the device would like a head to show."""

    rect: Rect
    enabled: bool


def words(*values: int) -> bytes:
    """32-bit numbers; negative ones as two's complement."""
    return struct.pack(f"<{len(values)}I", *(value & 0xFFFF_FFFF for value in values))


def long(value: int) -> bytes:
    """A 64-bit number."""
    return struct.pack("<Q", value)


def displays(answer: bytes) -> list[Display]:
    """The heads in an answer to GET_DISPLAY_INFO, all 16."""
    modes = struct.iter_unpack("<6I", answer[HEADER.size :])
    return [Display((x, y, width, height), bool(on)) for x, y, width, height, on, _ in modes]
