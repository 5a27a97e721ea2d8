"""Text from elsewhere, made fit to be shown: in a terminal, a log, a title, an overlay.

VM names, console labels and the error texts of QEMU, of a bus and of its programs may
hold anything. Text leaves glview through `printable` (or `printable_lines`), which
returns printable characters alone and writes the others as Python would: ``\\x1b``,
``\\n``, ``\\u202e``. A second pass changes nothing, so a caller need not know whether
there was a first.
"""

from __future__ import annotations

LIMIT = 400
"""Characters of one text; names and sentences are shorter."""

ELLIPSIS = "…"

_MARKS_IN_A_ROW = 4  # combining marks on one letter; more would cover the lines around it
_BLANK = frozenset(  # letters, marks and symbols that leave no ink, category by category
    chr(code)
    for codes in (
        (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE0E),  # variation selectors, but those of emoji
        range(0xE0100, 0xE01F0),
    )
    for code in codes
)
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str, limit: int = LIMIT) -> str:
    """Return `text` on one line of printable characters, at most `limit` of them.

    Controls (C0, C1, so ESC and BEL too), line and paragraph separators, bidirectional
    and other format characters, lone surrogates, private and unassigned characters are
    escaped, so are blanks other than the space and more than a few combining marks in a
    row. A longer text ends in "…". Time and memory do not grow with what is cut off.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    pieces: list[str] = []
    length = marks = 0
    for char in text[: limit + 1]:
        marks = marks + 1 if _is_mark(char) else 0
        piece = _escaped(char) if marks > _MARKS_IN_A_ROW else _shown(char)
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            return _cut(pieces, length, limit)
    return "".join(pieces)


def printable_lines(text: str, limit: int = LIMIT) -> str:
    """Return `text` as `printable` does, but for its line feeds, which stay.

    For texts whose lines are glview's own: nothing from a peer may choose where a line
    of a terminal ends.
    """
    if len(text) > limit:
        text = text[: limit - 1] + ELLIPSIS
    whole = "\n".join(printable(line, limit) for line in text.split("\n"))
    return whole if len(whole) <= limit else whole[: limit - 1] + ELLIPSIS


def columns(text: str) -> int:
    """Return how many columns of a terminal a printable `text` takes.

    East Asian wide characters take two, combining marks none (Unicode Standard Annex 11).
    """
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(_is_mark, text))


def padded(text: str, width: int) -> str:
    """Return a printable `text` with spaces after it, `width` columns of a terminal wide."""
    return text + " " * (width - columns(text))


def _cut(pieces: list[str], length: int, limit: int) -> str:
    """Return the first whole `pieces` that leave room for an ellipsis within `limit`."""
    while pieces and length > limit - 1:
        length -= len(pieces.pop())
    return ("".join(pieces) + ELLIPSIS)[:limit]


def _shown(char: str) -> str:
    return char if char.isprintable() and char not in _BLANK else _escaped(char)


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_mark(char: str) -> bool:
    """Return whether a character is drawn on top of the one before it."""
    if char < "\u0300":  # no mark comes earlier
        return False
    import unicodedata

    return unicodedata.category(char) in ("Mn", "Me")
