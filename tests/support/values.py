"""Random D-Bus values, and what is nearly what a peer should answer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from glview.dbus.wire import Variant

BASIC = "ybnqiuxtdhsog"
_RANGES = {
    "y": (0, 255), "n": (-(1 << 15), (1 << 15) - 1), "q": (0, (1 << 16) - 1),
    "i": (-(1 << 31), (1 << 31) - 1), "u": (0, (1 << 32) - 1), "h": (0, 3),
    "x": (-(1 << 63), (1 << 63) - 1), "t": (0, (1 << 64) - 1),
}  # fmt: skip
_TEXTS = (
    *("", "x", "VGA", "0" * 36, "12345678-9abc-def0-1234-56789abcdef0", "\x1b[2J", "a\nb\r\nc"),
    *("\u202eevil", "\x07", "n\u0301" * 50, "\u4e2d\u6587" * 20, "\U000e0001", "x" * 5_000, "%s%n"),
    *("%d {0} {name}", ":1.1", ":1.2", "org.qemu", "Graphic", "Text", "-", "None", "\x7f\x80\x9b"),
)


def text(pick: random.Random) -> str:
    """A string that D-Bus allows: no NUL, no surrogates."""
    if pick.random() < 0.01:
        return pick.choice(_TEXTS) * 40
    if pick.random() < 0.7:
        return pick.choice(_TEXTS)
    codes = (pick.choice((pick.randrange(1, 256), pick.randrange(1, 0xD800))) for _ in range(12))
    return "".join(map(chr, codes))


def signature(pick: random.Random, depth: int = 0) -> str:
    """One complete type."""
    roll = pick.random()
    if depth > 5 or roll < 0.6:
        return pick.choice(BASIC)
    inner = signature(pick, depth + 1)
    if roll < 0.75:
        return f"a{inner}"
    if roll < 0.85:
        return f"({inner}{signature(pick, depth + 1)})"
    return "v" if roll < 0.95 else f"a{{{pick.choice('sous')}{inner}}}"


def value(pick: random.Random, kind: str, depth: int = 0) -> Any:  # noqa: ANN401, PLR0911
    """A value of the complete type `kind`, as our codec has it."""
    match kind[0]:
        case "v":
            inner = signature(pick, depth + 2)
            return Variant(inner, value(pick, inner, depth + 1))
        case "b":
            return pick.random() < 0.5
        case "d":
            return pick.choice((0.0, -1.5, 1e300, float("inf")))
        case "s":
            return text(pick)
        case "o":
            return pick.choice(("/", "/a", "/org/qemu/Display1/Console_0"))
        case "g":
            return pick.choice(("", "s", "a{sv}", "(ii)"))
        case "(":
            return tuple(value(pick, part, depth + 1) for part in _split(kind[1:-1]))
        case "a":
            return _array(pick, kind[1:], depth)
    low, high = _RANGES[kind[0]]
    return pick.choice((0, low, high, pick.randint(low, high), min(high, 640)))


def _array(pick: random.Random, inner: str, depth: int) -> Any:  # noqa: ANN401
    size = pick.choice((0, 1, 2, 3, 70, 300) if depth < 1 else (0, 1, 2))
    if inner == "y":
        return bytes(size)
    if inner[0] == "{":
        of_key, of_value = _split(inner[1:-1])
        keys = (value(pick, of_key, depth + 1) for _ in range(size))
        return {key: value(pick, of_value, depth + 1) for key in keys}
    return [value(pick, inner, depth + 1) for _ in range(size)]


def _split(types: str) -> list[str]:
    """The complete types in a row of them."""
    found: list[str] = []
    begin = depth = 0
    for at, letter in enumerate(types):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0 and letter != "a":
            found.append(types[begin : at + 1])
            begin = at + 1
    return found


def any_variant(pick: random.Random) -> Variant:
    """A value of any type."""
    kind = signature(pick)
    return Variant(kind, value(pick, kind))


def nearly(pick: random.Random, good: Mapping[str, Variant]) -> dict[str, Variant]:
    """Properties like `good`, with up to three wrong, missing or added ones."""
    found = dict(good)
    for _ in range(pick.choice((0, 0, 1, 1, 1, 2, 3))):
        name = pick.choice((*good, text(pick)))
        roll = pick.random()
        if roll < 0.2:
            found.pop(name, None)
        elif roll < 0.6 and name in good:  # right type, any value
            kind = good[name].signature
            found[name] = Variant(kind, value(pick, kind))
        else:
            found[name] = any_variant(pick)
    return found


def any_body(pick: random.Random, most: int = 3) -> tuple[Any, ...]:
    """The body of a message of any types."""
    return tuple(any_variant(pick).value for _ in range(pick.randint(0, most)))
