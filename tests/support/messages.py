"""Random D-Bus messages by size and nesting: right ones, too large ones, and broken ones."""

from __future__ import annotations

import random
import struct
from typing import NamedTuple

from glview.dbus import wire
from glview.dbus.wire import CALL, ERROR, RETURN, SIGNAL, Message, Variant
from glview.errors import GlviewError
from tests.support.values import any_variant, signature, value

PATH, INTERFACE, MEMBER = "/org/glview/Test", "org.glview.Test", "Echo"
AWAITED = 7
"""The serial number of a call that some of the replies answer."""

LARGEST = 23  # as a power of two, in bytes
_NAMES = (
    *("", "a", "a.b", "a.b.c", "1.2", ".a", "a..b", ":1.1", ":", "\x1b[2J", "a\nb.c", "é.b"),
    *("org.freedesktop.DBus.Properties", "Ping", INTERFACE, MEMBER, "x" * 255, "x" * 256),
)
_LENGTHS = (0, 1, 7, 8, 1 << 10, 1 << 17, 1 << 26, (1 << 26) + 1, 1 << 28, 1 << 31, (1 << 32) - 1)


class Case(NamedTuple):
    """The bytes of a message, how many descriptors go along, and what it is, if it is right."""

    data: bytes
    fds: int
    right: Message | None = None


def any_message(pick: random.Random, *, framed: bool = False) -> Case:
    """A message of any kind. One that is `framed` is as long as it says."""
    try:
        return _any(pick, framed=framed)
    except GlviewError as error:  # which a fuzzer would take for the code's
        raise AssertionError("a message that cannot be made") from error


def _any(pick: random.Random, *, framed: bool) -> Case:
    roll = pick.random()
    if roll < 0.3:
        return _plain(pick)
    if roll < 0.6:
        case = _with(pick, *_body(pick))
    elif roll < 0.8:
        case = _with_odd_fields(pick)
    else:
        case = _plain(pick) if pick.random() < 0.5 else _with(pick, *_body(pick))
        case = Case(_changed(pick, case.data, framed=framed), case.fds)
    return case


def _size(pick: random.Random) -> int:
    """Bytes: mostly few, now and then some megabytes."""
    return int(2 ** pick.uniform(0, pick.choice((6, 10, 14)) if pick.random() < 0.98 else LARGEST))


def _plain(pick: random.Random) -> Case:
    """A right message of random values."""
    kind = pick.choice((CALL, RETURN, ERROR, SIGNAL))
    kinds = [signature(pick) for _ in range(pick.choice((0, 1, 1, 2, 3)))]
    message = _message(pick, kind)
    if sum(map(len, kinds)) <= 255:
        depth = 0 if pick.random() < 0.05 else 1  # arrays are short below the top
        message.signature = "".join(kinds)
        message.body = tuple(value(pick, kind, depth) for kind in kinds)
    data = wire.encode(message, pick.random() < 0.3)
    return Case(data, 0, message)


def _message(pick: random.Random, kind: int) -> Message:
    """A message without a body, with what its kind must have."""
    message = Message(kind, pick.randint(1, (1 << 32) - 1), pick.choice((0, 0, 1, 2, 3)))
    if kind in (CALL, SIGNAL):
        message.path, message.interface, message.member = PATH, INTERFACE, MEMBER
    else:
        message.reply_serial = pick.choice((AWAITED, AWAITED, 9))
        message.error_name = "a.b" if kind == ERROR else ""
    message.sender = pick.choice(("", ":1.1", ":1.2", "org.freedesktop.DBus"))
    return message


# -- bodies of any size ----------------------------------------------------------------------


def _body(pick: random.Random) -> tuple[str, bytes]:
    """A signature, and a body that fits it, little-endian."""
    size = _size(pick)
    roll = pick.random()
    if roll < 0.2:
        return _chain(pick, size)
    if roll < 0.3:
        return "ay", struct.pack("<I", size) + bytes(size)
    if roll < 0.4:
        return "s", struct.pack("<I", size) + b"x" * size + b"\0"
    depth = pick.choice((1, 1, 2, 8, 26))
    inner = "(" * (depth - 1) + _inner(pick) + ")" * (depth - 1)
    if pick.random() < 0.3:
        inner = f"{pick.choice('sgoyu')}({inner})"
        return _tiled(pick, f"{{{inner}}}", size)
    return _tiled(pick, f"({inner})", size)


def _inner(pick: random.Random) -> str:
    return (
        pick.choice(("y", "yy", "s", "g", "v", "ay", "as", "t", "o"))
        if (pick.random() < 0.7)
        else signature(pick, 3)
    )


def _tiled(pick: random.Random, kind: str, size: int) -> tuple[str, bytes]:
    """An array of the same struct or dict entry, as often as `size` bytes hold it."""
    types = f"({kind[1:-1]})"  # laid out as a dict entry
    one = wire.marshal(types, (value(pick, types, 1),))
    padded = one + bytes(-len(one) % 8)
    elements = padded * (size // len(padded)) + one
    return f"a{kind}", struct.pack("<II", len(elements), 0) + elements


def _chain(pick: random.Random, size: int) -> tuple[str, bytes]:
    """Variants in variants, or arrays in arrays."""
    if pick.random() < 0.5:
        return "v", b"\1v\0" * min(size, 1 << 16) + b"\1y\0\5"
    depth = pick.choice((2, 31, 32))
    data = b""
    for _ in range(depth):
        data = struct.pack("<I", len(data)) + data
    return "a" * depth + "y", data


def _with(pick: random.Random, types: str, body: bytes) -> Case:
    """A message of any kind with that body."""
    message = _message(pick, pick.choice((CALL, RETURN, RETURN, ERROR, SIGNAL, SIGNAL)))
    known = [(1, message.path), (2, message.interface), (3, message.member)]
    known += [(4, message.error_name), (7, message.sender)]
    fields = [(code, Variant("o" if code == 1 else "s", text)) for code, text in known if text]
    if message.reply_serial:
        fields.append((5, Variant("u", message.reply_serial)))
    fields.append((8, Variant("g", types)))
    return Case(_assembled(message.type, message.flags, fields, body), 0)


def _assembled(kind: int, flags: int, fields: list[tuple[int, Variant]], body: bytes) -> bytes:
    raw = wire.marshal("a(yv)", (fields,), 12)
    fixed = struct.pack("<BBBBII", ord("l"), kind, flags, 1, len(body), 3)
    head = fixed + raw
    return head + bytes(-len(head) % 8) + body


# -- what is wrong ---------------------------------------------------------------------------


def _with_odd_fields(pick: random.Random) -> Case:
    """Header fields that are long, many, doubled, unknown, or of other types."""
    fields = [(1, Variant("o", PATH)), (2, Variant("s", INTERFACE)), (3, Variant("s", MEMBER))]
    for _ in range(pick.choice((0, 1, 2, 5, 200))):
        code = pick.choice((*range(1, 10), 0, 77, 255))
        roll = pick.random()
        if roll < 0.4:
            field = Variant("s", pick.choice(_NAMES))
        elif roll < 0.5:
            field = Variant("s", "m" * _size(pick))
        elif roll < 0.6:
            field = Variant("o", "/p" * (_size(pick) // 64) or "/")
        else:
            field = any_variant(pick) if roll < 0.9 else Variant("u", pick.randrange(300))
        fields.insert(pick.randint(0, len(fields)), (code, field))
    kind = pick.choice((CALL, SIGNAL, RETURN, ERROR, 0, 5, 255))
    fds = pick.choice((0, 0, 0, 1, 3))
    if fds and pick.random() < 0.7:
        fields.append((9, Variant("u", fds)))
    return Case(_assembled(kind, pick.randrange(256), fields, bytes(pick.choice((0, 0, 8)))), fds)


def _changed(pick: random.Random, data: bytes, *, framed: bool) -> bytes:
    """The message with other bytes, other lengths, or its end missing."""
    made = bytearray(data)
    begin = wire.FIXED_HEADER if framed else 0
    for _ in range(pick.choice((1, 1, 2, 8))):
        if len(made) > begin:
            made[pick.randrange(begin, len(made))] = pick.choice((0, 1, 255, pick.randrange(256)))
    if not framed and pick.random() < 0.4:
        struct.pack_into("<I", made, pick.choice((4, 12)), pick.choice(_LENGTHS))
    if not framed and pick.random() < 0.3:
        del made[pick.randrange(len(made)) :]
    return bytes(made)
