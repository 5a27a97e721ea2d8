"""The overlay: which letters stand where, and that no text and no size breaks it."""

from __future__ import annotations

import string
import subprocess
import sys
from operator import sub

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glview.ui import font, overlay
from glview.ui.overlay import Image, OverlayImage, Position

PADDING = 8
LETTER_E = """
........
........
........
........
.######.
.##.....
.##.....
.##.....
.######.
.##.....
.##.....
.##.....
.######.
........
........
........
"""


def art(rows: list[bytes]) -> str:
    return "".join("\n" + "".join("#" if v > 135 else "." for v in row) for row in rows) + "\n"


def channel(image: Image, index: int) -> list[bytes]:
    """One channel (0 red ... 3 alpha) as a list of rows."""
    stride = 4 * image.width
    rows = range(0, len(image.pixels), stride)
    return [image.pixels[row : row + stride][index::4] for row in rows]


def cell(image: Image, row: int, column: int, scale: int = 1) -> list[bytes]:
    """The red channel of one letter's place."""
    top, left = (PADDING + 16 * row) * scale, (PADDING + 8 * column) * scale
    rows = channel(image, 0)[top : top + 16 * scale]
    return [line[left : left + 8 * scale] for line in rows]


def inked(image: Image) -> list[str]:
    """The text's lines at scale 1: X where a place holds ink, a space where not."""
    rows, columns = (image.height - 2 * PADDING) // 16, (image.width - 2 * PADDING) // 8

    def mark(row: int, column: int) -> str:
        return "X" if max(b"".join(cell(image, row, column))) > 135 else " "

    return ["".join(mark(row, column) for column in range(columns)) for row in range(rows)]


def smaller(cell: bytes, size: int, scale: int) -> list[int]:
    """A cell averaged down by `scale`; `size` is its width."""
    height = 2 * size
    return [
        sum(cell[(y + j) * size + x + i] for j in range(scale) for i in range(scale)) // scale**2
        for y in range(0, height, scale)
        for x in range(0, size, scale)
    ]


class TestFont:
    def test_has_the_letters(self) -> None:
        wanted = set(string.printable[:95]) | set("–—“”‘’…•→×°äöüéßñłő")  # noqa: RUF001
        assert wanted <= set(font.face(1).cells)

    def test_a_letter_is_what_it_should_be(self) -> None:
        picture = font.face(1).cell("E")
        assert art([picture[i : i + 8] for i in range(0, 128, 8)]) == LETTER_E

    @pytest.mark.parametrize("scale", [1, 2, 3])
    def test_cells_have_their_size_and_differ(self, scale: int) -> None:
        face = font.face(scale)
        assert (face.width, face.height) == (8 * scale, 16 * scale)
        assert {len(picture) for picture in face.cells.values()} == {128 * scale**2}
        assert len({face.cell(c) for c in string.printable[:95]}) == 95

    @pytest.mark.parametrize("scale", [2, 3])
    def test_sizes_show_the_same_letters(self, scale: int) -> None:
        """Averaged down, most letters are nearest to themselves in the smallest size."""
        small, large = font.face(1), font.face(scale)
        letters = string.ascii_letters + string.digits

        def nearest(char: str) -> str:
            mean = smaller(large.cell(char), large.width, scale)
            distance = [sum(map(abs, map(sub, mean, small.cell(other)))) for other in letters]
            return letters[distance.index(min(distance))]

        assert sum(nearest(char) == char for char in letters) >= 50

    def test_place_on_the_line(self) -> None:
        """Capitals stand on row 12, the underscore lies below, accents above."""
        face = font.face(1)
        rows = {c: [y for y in range(16) if any(face.cell(c)[8 * y : 8 * y + 8])] for c in "M_Ä'"}
        assert rows["M"][-1] == 12
        assert rows["_"][0] > 12
        assert rows["Ä"][0] < rows["M"][0]
        assert rows["'"][-1] < 9

    def test_unknown_character_is_a_box(self) -> None:
        face = font.face(1)
        assert face.cell("漢") == face.cell("\ufffd") != face.cell("?")


class TestBox:
    def test_size_and_pixels(self) -> None:
        image = overlay.render_box("ab\nc", 640, 480)
        assert (image.width, image.height) == (2 * 8 + 16, 2 * 16 + 16)
        assert len(image.pixels) == 4 * image.width * image.height
        assert inked(image) == ["XX", "X "]

    def test_letters_are_the_fonts(self) -> None:
        image = overlay.render_box("iE", 640, 480)
        assert art(cell(image, 0, 1)) == LETTER_E

    def test_colours(self) -> None:
        """White and opaque where the letter covers, dark and translucent where not."""
        image = overlay.render_box("E", 640, 480)
        place = (PADDING + 4) * image.width + PADDING + 2  # on the upper bar
        assert image.pixels[4 * place : 4 * place + 4] == b"\xff\xff\xff\xff"
        place = (PADDING + 1) * image.width + PADDING + 2  # above the letter
        assert image.pixels[4 * place : 4 * place + 4] == b"\x14\x14\x14\xd0"

    def test_corners_are_round_and_symmetric(self) -> None:
        alpha = channel(overlay.render_box("E", 640, 480), 3)
        assert alpha[0][0] == 0
        assert alpha[0][PADDING] == alpha[PADDING][0] == 0xD0
        assert 0 < alpha[0][5] < 0xD0  # antialiased
        corner = [row[:8] for row in alpha[:8]]
        assert corner == [row[:-9:-1] for row in alpha[:8]]
        assert corner == [row[:8] for row in alpha[:-9:-1]]
        assert corner == [row[:-9:-1] for row in alpha[:-9:-1]]

    @pytest.mark.parametrize("scale", [1, 2, 3])
    def test_scale(self, scale: int) -> None:
        image = overlay.render_box("E", 640, 480, scale)
        assert (image.width, image.height) == (24 * scale, 32 * scale)
        large = [line[:: max(1, scale)] for line in cell(image, 0, 0, scale)]
        assert sum(map(len, large)) == 128 * scale

    def test_scales_that_the_font_lacks(self) -> None:
        assert overlay.render_box("E", 640, 480, 0) == overlay.render_box("E", 640, 480, 1)
        assert overlay.render_box("E", 640, 480, 9) == overlay.render_box("E", 640, 480, 3)

    def test_scale_shrinks_until_the_text_fits(self) -> None:
        text = "forty characters of text, or about that."
        assert overlay.render_box(text, 672, 64, 2).width == 672
        assert overlay.render_box(text, 671, 64, 2).width == 336

    def test_same_text_same_pixels(self) -> None:
        assert overlay.render_box("same", 99, 99) == overlay.render_box("same", 99, 99)

    def test_needs_no_library(self) -> None:
        code = (
            "import sys; from glview.ui.overlay import render_box; render_box('x', 99, 99, 2);"
            "sys.exit(bool({'numpy', 'PIL'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestText:
    @pytest.mark.parametrize(
        ("text", "columns", "lines"),
        [
            ("the VM has gone", 15, ["the VM has gone"]),
            ("the VM has gone", 14, ["the VM has", "gone"]),
            ("the VM has gone", 10, ["the VM has", "gone"]),
            ("the VM has gone", 9, ["the VM", "has gone"]),
            ("unbreakable", 4, ["unbr", "eaka", "ble"]),
            ("a unbreakable", 4, ["a", "unbr", "eaka", "ble"]),
            ("one\n\ntwo", 9, ["one", "", "two"]),
            ("a   b", 3, ["a", "b"]),
            ("    indented", 12, ["    indented"]),
            ("    indented", 6, ["    in", "dented"]),
            ("ab", 1, ["a", "b"]),
        ],
    )
    def test_wrap(self, text: str, columns: int, lines: list[str]) -> None:
        assert list(overlay.wrap(text, columns)) == lines

    def test_wrapped_in_the_box(self) -> None:
        """Where the lines break shows in the pixels too."""
        image = overlay.render_box("the VM has gone", 14 * 8 + 16, 480)
        assert inked(image) == ["XXX XX XXX", "XXXX      "]

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\x00b\x1b[31mc\x7f\x9b", r"a\x00b\x1b[31mc\x7f\x9b"),
            ("a\tb\xa0c\u2028d", r"a\tb\xa0c\u2028d"),
            ("a\nb\rc", "a\nb\\rc"),
            ("\u202eright to left\u2066", r"\u202eright to left\u2066"),
            ("lone \ud800 surrogate", r"lone \ud800 surrogate"),
            ("  \n trim \n\n", "trim"),
            ("keep  \n\n blank", "keep\n\n blank"),
        ],
    )
    def test_printable(self, text: str, shown: str) -> None:
        assert overlay.printable(text) == shown

    def test_endless_text_is_cut(self) -> None:
        shown = overlay.printable("word " * 10_000_000)
        assert len(shown) <= overlay.MAX_CHARS
        assert shown.endswith("…")

    def test_clipped_text_ends_in_ellipsis(self) -> None:
        lines = [f"line {i}" for i in range(5)]
        assert overlay.clip(lines, 9, 2) == ["line 0", "line 1 l…"]
        assert overlay.clip(lines, 6, 2) == ["line 0", "line…"]
        assert overlay.clip(lines, 9, 5) == lines
        dots = art(cell(overlay.render_box("one two three", 40, 32), 0, 2))
        cells = font.face(1).cell("…")
        assert dots == art([cells[i : i + 8] for i in range(0, 128, 8)])

    @pytest.mark.parametrize("text", ["", "   ", "\n\n"])
    def test_nothing_to_show(self, text: str) -> None:
        assert overlay.render_box(text, 640, 480) == Image(0, 0, b"")


class TestLayout:
    @pytest.mark.parametrize(
        ("position", "y"), [(Position.TOP, 8), (Position.CENTRE, 224), (Position.BOTTOM, 440)]
    )
    def test_position(self, position: Position, y: int) -> None:
        placed = overlay.layout(["E"], (640, 480), 1, position)
        assert (placed.x, placed.y) == ((640 - 24) // 2, y)
        assert (placed.image.width, placed.image.height) == (24, 32)

    def test_lines_stand_below_each_other(self) -> None:
        assert inked(overlay.layout(["ab", "c"], (640, 480)).image) == ["XX", "X "]

    def test_tiny_framebuffer(self) -> None:
        placed = overlay.layout(["no such console"], (64, 32), 2)
        assert placed == OverlayImage(0, 0, placed.image)
        assert inked(placed.image) == ["XX XXX"]

    def test_too_tiny_for_a_letter(self) -> None:
        for size in [(23, 99), (99, 31), (1, 1), (0, 0)]:
            assert overlay.layout(["text"], size, 3).image == Image(0, 0, b"")


@given(
    text=st.text(alphabet=st.characters(), max_size=300),
    width=st.integers(0, 900),
    height=st.integers(0, 300),
    scale=st.integers(0, 5),
    position=st.sampled_from(Position),
)
def test_any_text_in_any_size(
    text: str, width: int, height: int, scale: int, position: Position
) -> None:
    """Inside the framebuffer, complete, grey and premultiplied, whatever comes."""
    x, y, image = overlay.layout([text], (width, height), scale, position)
    if image.pixels:
        assert 0 <= x <= x + image.width <= width
        assert 0 <= y <= y + image.height <= height
    assert len(image.pixels) == 4 * image.width * image.height
    red, green, blue, alpha = (image.pixels[i::4] for i in range(4))
    assert red == green == blue
    assert all(colour <= a for colour, a in zip(red, alpha, strict=True))
