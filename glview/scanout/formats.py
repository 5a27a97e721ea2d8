"""The one table of pixel formats.

QEMU names formats in two ways: by pixman code for pixels in memory
(`Scanout`, `Update`, `ScanoutMap`) and by DRM fourcc for dma-bufs. Both are
rows of the same table here, with the order of the bytes in memory, which is
all that uploading, converting and importing need.
(pixman.h PIXMAN_FORMAT; drm_fourcc.h; QEMU include/ui/qemu-pixman.h)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOD_LINEAR = 0
MOD_INVALID = 0x00FF_FFFF_FFFF_FFFF


class Cell(NamedTuple):
    """What a plane is made of: `size` bytes for every `across` x `down` pixels."""

    across: int
    down: int
    size: int


class PixelFormat(NamedTuple):
    """One way of storing a pixel.

    `channels` names the bytes of a pixel in memory order, lowest address
    first, `x` being padding; it is empty for formats whose channels are not
    whole bytes, which `bits` describes instead: for r, g, b each (shift,
    width) inside a little-endian word. `alpha` says that the fourth channel
    is called alpha, which a screen ignores. `planes` are those of a format of
    luma and chroma (YUV), which has no `size` and none of the others, and for
    which pixman has no code.
    """

    name: str
    pixman: int
    fourcc: int
    size: int
    channels: str = ""
    alpha: bool = False
    bits: tuple[tuple[int, int], ...] = ()
    planes: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What each plane is made of."""
        return self.planes or (Cell(1, 1, self.size),)

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """The size in pixels of the whole cells that hold so large a picture.

        Mesa 26.1 leaves half a cell out, and stretches the chroma over the rest.
        """
        across = max(cell.across for cell in self.cells)
        down = max(cell.down for cell in self.cells)
        return -(-width // across) * across, -(-height // down) * down

    @property
    def swizzle(self) -> tuple[int, int, int] | None:
        """Byte index of r, g and b for formats of four whole bytes, else None."""
        if self.size != 4 or not self.channels:
            return None
        r, g, b = (self.channels.index(c) for c in "rgb")
        return r, g, b


def fourcc_code(text: str) -> int:
    """The 32-bit code of a fourcc such as ``XR24``."""
    return int.from_bytes(text.encode("ascii"), "little")


def fourcc_text(code: int) -> str:
    """A fourcc as people write it, with unprintable bytes as dots."""
    raw = (code & 0xFFFF_FFFF).to_bytes(4, "little")
    return "".join(chr(c) if 0x21 <= c < 0x7F else "." for c in raw)


def _row(name: str, pixman: int, fourcc: str, channels: str, alpha: bool = False) -> PixelFormat:
    return PixelFormat(name, pixman, fourcc_code(fourcc), len(channels), channels, alpha)


def _yuv(fourcc: str, *planes: tuple[int, int, int]) -> PixelFormat:
    return PixelFormat(fourcc, 0, fourcc_code(fourcc), 0, planes=tuple(Cell(*p) for p in planes))


FORMATS: tuple[PixelFormat, ...] = (
    _row("x8r8g8b8", 0x20020888, "XR24", "bgrx"),
    _row("a8r8g8b8", 0x20028888, "AR24", "bgrx", True),
    _row("x8b8g8r8", 0x20030888, "XB24", "rgbx"),
    _row("a8b8g8r8", 0x20038888, "AB24", "rgbx", True),
    _row("b8g8r8x8", 0x20080888, "BX24", "xrgb"),
    _row("b8g8r8a8", 0x20088888, "BA24", "xrgb", True),
    _row("r8g8b8x8", 0x20090888, "RX24", "xbgr"),
    _row("r8g8b8a8", 0x20098888, "RA24", "xbgr", True),
    _row("r8g8b8", 0x18020888, "RG24", "bgr"),
    _row("b8g8r8", 0x18030888, "BG24", "rgb"),
    PixelFormat("r5g6b5", 0x10020565, fourcc_code("RG16"), 2, bits=((11, 5), (5, 6), (0, 5))),
    PixelFormat("x1r5g5b5", 0x10020555, fourcc_code("XR15"), 2, bits=((10, 5), (5, 5), (0, 5))),
    _yuv("NV12", (1, 1, 1), (2, 2, 2)),
    _yuv("NV21", (1, 1, 1), (2, 2, 2)),
    _yuv("P010", (1, 1, 2), (2, 2, 4)),  # ten bits, the highest of each two bytes
    _yuv("YU12", (1, 1, 1), (2, 2, 1), (2, 2, 1)),
    _yuv("YV12", (1, 1, 1), (2, 2, 1), (2, 2, 1)),
    _yuv("YUYV", (2, 1, 4)),
    _yuv("UYVY", (2, 1, 4)),
)

BY_PIXMAN = {f.pixman: f for f in FORMATS if f.pixman}
BY_FOURCC = {f.fourcc: f for f in FORMATS}

XRGB8888 = BY_PIXMAN[0x20020888]


def to_bgrx(
    pixels: memoryview, width: int, height: int, stride: int, fmt: PixelFormat
) -> NDArray[np.uint8]:
    """Convert a picture to rows of B, G, R, X bytes.

    `pixels` holds `height` rows of `stride` bytes, the last one perhaps cut
    off after `width` pixels. Returns an array of shape (height, width, 4).
    Channels narrower than eight bits are widened by repeating their high
    bits, as pixman does, so that the result equals QEMU's own screenshots.
    """
    import numpy as np  # only the rare formats need it, and it is slow to load

    row = width * fmt.size
    raw = np.frombuffer(pixels, np.uint8, stride * (height - 1) + row)
    rows = np.lib.stride_tricks.as_strided(raw, (height, row), (stride, 1))
    out = np.full((height, width, 4), 255, np.uint8)
    if fmt.channels:
        cells = rows.reshape(height, width, fmt.size)
        for target, channel in enumerate("bgr"):
            out[:, :, target] = cells[:, :, fmt.channels.index(channel)]
        return out
    words = np.ascontiguousarray(rows).view("<u2").reshape(height, width)
    for target, (shift, bits) in zip((2, 1, 0), fmt.bits, strict=True):
        value = (words >> shift) & ((1 << bits) - 1)
        out[:, :, target] = (value << (8 - bits)) | (value >> (2 * bits - 8))
    return out
