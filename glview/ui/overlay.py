"""Text over the picture: connection state and errors, in a translucent box.

The box is drawn on the CPU, when its text changes, into a picture of its own size;
whoever shows it uploads that once and blends it with
`GL_ONE, GL_ONE_MINUS_SRC_ALPHA`. Nothing here knows of GL.

The text may come from a hostile peer: any `str` is taken, what cannot be printed is
escaped, and neither time nor memory grows with its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from itertools import islice
from math import hypot
from typing import NamedTuple

from glview.text import ELLIPSIS, printable_lines
from glview.ui import font

MAX_CHARS = 4000
"""Longer texts are cut: no framebuffer shows more in readable size."""

_PAPER_GREY, _PAPER_ALPHA = 0x18, 0xD0  # the box; the text on it is white and opaque
_PADDING = 8  # pixels around the text at scale 1
_RADIUS = 6  # of the corners at scale 1; below the padding, so never under a letter


class Image(NamedTuple):
    """`height` rows of `width` pixels R, G, B, A: 8 bits each, alpha premultiplied.

    An image without pixels (0 x 0) is what remains where not one letter fits.
    """

    width: int
    height: int
    pixels: bytes


class Position(Enum):
    """Where in the framebuffer a box stands: its share of the free space above it."""

    TOP = 0.0
    CENTRE = 0.5
    BOTTOM = 1.0


class OverlayImage(NamedTuple):
    """A box and the framebuffer pixel, counted from the top left, of its first pixel."""

    x: int
    y: int
    image: Image


def layout(
    lines: Sequence[str],
    framebuffer: tuple[int, int],
    scale: int = 1,
    position: Position = Position.CENTRE,
) -> OverlayImage:
    """Draw `lines` into a box that lies wholly inside `framebuffer` (width, height).

    `scale` is the content scale of the window in whole numbers. The box keeps off the
    edges by its own padding where there is room.
    """
    width, height = framebuffer
    margin = _PADDING * scale if min(width, height) > 16 * _PADDING * scale else 0
    image = render_box("\n".join(lines), width - 2 * margin, height - 2 * margin, scale)
    free = height - 2 * margin - image.height
    return OverlayImage((width - image.width) // 2, margin + int(free * position.value), image)


def render_box(text: str, max_width: int, max_height: int, scale: int = 1) -> Image:
    """Draw `text`, wrapped at words, into a box of at most the given size in pixels.

    Of the scales from `scale` down to 1 the largest is taken in which the whole text
    fits; what does not fit in scale 1 either is cut and ends in "…".
    """
    text = printable(text)
    if not text:
        return Image(0, 0, b"")
    for size in range(min(max(scale, 1), font.scales()), 0, -1):
        face = font.face(size)
        columns = (max_width - 2 * _PADDING * size) // face.width
        rows = (max_height - 2 * _PADDING * size) // face.height
        if columns > 0 and rows > 0:
            lines = list(islice(wrap(text, columns), rows + 1))
            if size == 1 or len(lines) <= rows:
                return _draw(clip(lines, columns, rows), face, size)
    return Image(0, 0, b"")


def printable(text: str) -> str:
    """Return `text` as lines of printable characters, without space around them.

    What has no shape (controls, direction marks, lone surrogates) is escaped.
    """
    lines = printable_lines(text, MAX_CHARS).strip().split("\n")
    return "\n".join(line.rstrip() for line in lines)


def wrap(text: str, columns: int) -> Iterator[str]:
    """The lines of `text`, broken at spaces, and in words longer than `columns`."""
    for paragraph in text.split("\n"):
        rest = paragraph
        while len(rest) > columns:
            space = rest.rfind(" ", 1, columns + 1)
            end = space if rest[: max(space, 0)].strip() else columns
            yield rest[:end].rstrip()
            rest = rest[end:].lstrip(" ")
        yield rest


def clip(lines: list[str], columns: int, rows: int) -> list[str]:
    """At most `rows` of `lines`, the last one ending in "…" if any were left out."""
    if len(lines) <= rows:
        return lines
    last = " ".join(lines[rows - 1 :])[: columns - 1].rstrip()
    return [*lines[: rows - 1], last + ELLIPSIS]


def _draw(lines: list[str], face: font.Face, scale: int) -> Image:
    """Letters of coverage c over the paper: c + (1 - c) * paper, in each channel."""
    coverage, width = _coverage(lines, face, _PADDING * scale)
    height = len(coverage) // width
    pixels = bytearray(4 * len(coverage))
    pixels[0::4] = pixels[1::4] = pixels[2::4] = coverage.translate(_GREY)
    pixels[3::4] = coverage.translate(_ALPHA)
    _round_corners(pixels, width, height, _RADIUS * scale)
    return Image(width, height, bytes(pixels))


def _coverage(lines: list[str], face: font.Face, padding: int) -> tuple[bytes, int]:
    """How much of each pixel is covered by a letter, and the width of a row."""
    columns = max(map(len, lines))
    width = columns * face.width + 2 * padding
    side, blank = bytes(padding), bytes(width * padding)
    rows = [blank]
    for line in lines:
        cells = [face.cell(char) for char in line.ljust(columns)]
        for start in range(0, face.height * face.width, face.width):
            rows += [side, *[cell[start : start + face.width] for cell in cells], side]
    rows.append(blank)
    return b"".join(rows), width


def _round_corners(pixels: bytearray, width: int, height: int, radius: int) -> None:
    """Take away the paper outside a quarter of a circle in each corner."""
    grey, alpha = _GREY[0], _ALPHA[0]
    for x, y, share in _corner(radius):
        paper = bytes((*[round(grey * share)] * 3, round(alpha * share)))
        for column in (x, width - 1 - x):
            for row in (y, height - 1 - y):
                at = 4 * (row * width + column)
                pixels[at : at + 4] = paper


@cache
def _corner(radius: int) -> list[tuple[int, int, float]]:
    """The pixels (x, y) of the top left corner that the paper covers only in part."""
    cells = []
    for y in range(radius):
        for x in range(radius):
            outside = hypot(radius - x - 0.5, radius - y - 0.5) - radius
            if outside > -0.5:
                cells.append((x, y, max(0.0, 0.5 - outside)))
    return cells


def _blend(ink: int, paper: int) -> bytes:
    """Table from coverage to the channel's value, with premultiplied `ink`, `paper`."""
    return bytes((c * ink + (255 - c) * paper + 127) // 255 for c in range(256))


_GREY = _blend(255, (_PAPER_GREY * _PAPER_ALPHA + 127) // 255)
_ALPHA = _blend(255, _PAPER_ALPHA)
