"""Text from elsewhere is shown as printable characters on one line, whatever it holds."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glview.text import LIMIT, columns, padded, printable, printable_lines

ANYTHING = st.text(
    st.characters(codec=None) | st.sampled_from("\x00\x07\t\n\r\x1b\x7f\x80\x9b\u2028\u202e\ud800́")
)
HARMFUL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Debian 12", "Debian 12"),
        ("C:\\Windows", "C:\\Windows"),
        ("Grüße, 日本, 🐧", "Grüße, 日本, 🐧"),
        ("a\x1b]0;title\x07\nb", r"a\x1b]0;title\x07\nb"),
        ("\r\t\x00\x7f", r"\r\t\x00\x7f"),
        ("\x85\x9b31m", r"\x85\x9b31m"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066\u200b\ufeff\u2028", r"\u2066\u200b\ufeff\u2028"),
        ("\ud83d", r"\ud83d"),
        ("\ue000\U000e0041", r"\ue000\U000e0041"),
        ("\u0378", r"\u0378"),
        ("a\xa0b\u3164", r"a\xa0b\u3164"),
        ("e\u0301", "e\u0301"),
        ("a" + "\u0301" * 6, "a" + "\u0301" * 4 + r"\u0301\u0301"),
    ],
)
def test_what_becomes_of_a_text(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_single_character() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        shown = printable(char)
        harmful = unicodedata.category(char) in HARMFUL or (char.isspace() and char != " ")
        assert shown.isprintable()
        assert shown.startswith("\\") if harmful else shown == char or shown[1:2] in "uU"


@given(ANYTHING, st.integers(0, 30))
def test_any_text_is_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    for size in (limit, LIMIT):
        shown = printable(text, size)
        assert shown.isprintable()
        assert len(shown) <= size
        assert printable(shown, size) == shown
        shown.encode("utf-8")


@given(ANYTHING, st.integers(1, 30))
def test_lines_stay_and_nothing_else(text: str, limit: int) -> None:
    shown = printable_lines(text, limit)
    assert shown.replace("\n", "").isprintable()
    assert len(shown) <= limit
    assert printable_lines(shown, limit) == shown


def test_a_long_text_ends_in_an_ellipsis_and_no_escape_is_cut() -> None:
    assert printable("abcdef", 4) == "abc…"
    assert printable("abcd", 4) == "abcd"
    assert printable("ab\x1b\x1b", 8) == "ab\\x1b…"


def test_cutting_takes_no_longer_for_a_longer_text() -> None:
    text = "\x1b" * 64_000_000
    began = time.thread_time()
    assert len(printable(text)) <= LIMIT
    assert len(printable_lines(text)) <= LIMIT
    assert time.thread_time() - began < 0.1


def test_cells_are_as_wide_in_the_terminal_as_asked() -> None:
    assert columns("abc") == 3
    assert columns("日本") == 4
    assert columns("e\u0301") == 1
    assert padded("日本", 6) == "日本  "
    assert padded("e\u0301", 3) == "e\u0301  "
