"""Numbers and descriptors from outside, checked before anything touches them.

GL drivers do not check: software Mesa crashes the process when it draws from
a dma-buf descriptor that is a pipe or too short, or becomes so. (For mappings
of our own see `busfault`.)
"""

from __future__ import annotations

import fcntl
import os
import stat
from functools import lru_cache

from glview.errors import ProtocolError
from glview.scanout.formats import (
    BY_FOURCC,
    BY_PIXMAN,
    MOD_INVALID,
    MOD_LINEAR,
    Cell,
    PixelFormat,
    fourcc_text,
)
from glview.scanout.geometry import MAX_SIDE, Rect, sane_size, span
from glview.scanout.source import Plane

MAX_PICTURE = 512 << 20  # bytes; an 8K picture has 133 million
MAX_SPRITE = 2048  # pixels a side


def pixman_format(code: int) -> PixelFormat:
    """The format of a pixman code. Raises ProtocolError for one that is not in the table."""
    fmt = BY_PIXMAN.get(code)
    if fmt is None:
        known = ", ".join(f.name for f in BY_PIXMAN.values())
        raise ProtocolError(f"unknown pixel format {code:#010x}", f"glview knows {known}")
    return fmt


@lru_cache(maxsize=64)
def picture(width: int, height: int, stride: int, fmt: PixelFormat) -> int:
    """Bytes that such a picture takes. Raises ProtocolError for an impossible one."""
    if not sane_size(width, height):
        raise ProtocolError(f"impossible picture size {width}x{height}")
    return _plane(width, height, stride, fmt, fmt.cells[0])


def _plane(width: int, height: int, stride: int, fmt: PixelFormat, cell: Cell) -> int:
    """Bytes from the first to just past the last cell of a plane."""
    columns, rows = width // cell.across, height // cell.down
    if stride < columns * cell.size:
        raise ProtocolError(f"stride {stride} is too short for {width} pixels of {fmt.name}")
    size = span(columns, rows, stride, cell.size)
    if size > MAX_PICTURE:
        raise ProtocolError(f"picture of {size} bytes ({width}x{height}, stride {stride})")
    return size


def rectangle(x: int, y: int, width: int, height: int) -> Rect:
    """A rectangle of pixels that a picture may grow to. Raises ProtocolError."""
    if x < 0 or y < 0 or not sane_size(width, height) or max(x + width, y + height) > MAX_SIDE:
        raise ProtocolError(f"impossible rectangle {width}x{height} at {x},{y}")
    return Rect(x, y, width, height)


def mappable(fd: int, end: int) -> None:
    """Check that bytes up to `end` of `fd` can be mapped. Raises ProtocolError.

    QEMU with blob resources and gl=off really sends its own standard input.
    """
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        raise ProtocolError("the shared memory is not a file that can be mapped")
    if info.st_size < end:
        raise ProtocolError(f"the shared memory ends at {info.st_size}, before {end}")


def may_shrink(fd: int) -> bool:
    """Whether others can cut the memory off while it is in use.

    Not dma-bufs, whose size never changes, nor memory files sealed against it.
    """
    try:
        return not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    except OSError:  # nothing that can be sealed
        return stat.S_ISREG(os.fstat(fd).st_mode)


def access(fd: int) -> int:
    """What the descriptor is open for: O_RDONLY, O_WRONLY or O_RDWR."""
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE


def dmabuf_planes(
    planes: tuple[Plane, ...], backing: tuple[int, int], fourcc: int, modifier: int
) -> None:
    """Check that every plane lies inside its buffer. Raises ProtocolError.

    How much each plane of a linear buffer holds follows from its format, so that
    must be a known one; of another layout only the driver knows. Planes of chroma
    are smaller, and of pictures of odd size all are as large as `padded` says.
    """
    fmt = BY_FOURCC.get(fourcc)
    linear = modifier in (MOD_LINEAR, MOD_INVALID)
    if fmt is None and linear:
        known = ", ".join(fourcc_text(code) for code in BY_FOURCC)
        what = f"unknown pixel format {fourcc_text(fourcc)} ({fourcc:#x}) of a dma-buf"
        raise ProtocolError(what, f"glview knows {known}")
    cells = fmt.cells if fmt is not None and linear else ()
    if len(planes) < len(cells):
        what = f"{fourcc_text(fourcc)} has {len(cells)} planes, {len(planes)} of which came"
        raise ProtocolError(f"dma-buf of too few planes: {what}")
    what = f"{fourcc_text(fourcc)} {backing[0]}x{backing[1]}"
    for number, plane in enumerate(planes):
        needed = 1
        if fmt is not None and number < len(cells):
            needed = _plane(*fmt.padded(*backing), plane.stride, fmt, cells[number])
        _readable(plane.fd, plane.offset + needed, f"plane {number}", what)


def _readable(fd: int, needed: int, plane: str, what: str) -> None:
    """Check that a dma-buf can be read and is so long. Raises ProtocolError."""
    try:
        length = os.lseek(fd, 0, os.SEEK_END)
    except OSError:
        raise ProtocolError(f"{plane} is not a dma-buf") from None
    if access(fd) == os.O_WRONLY:  # Mesa would show black, and keep it for ever
        raise ProtocolError(f"{plane} cannot be read")
    if length < needed:
        raise ProtocolError(f"{plane} of {length} bytes is too short for {what}")
