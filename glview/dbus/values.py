"""D-Bus values to bytes and back: the generic, cold-path codec.

| D-Bus | Python |
| --- | --- |
| y n q i u x t, h | int (h: an index into the message's fds) |
| b, d | bool, float |
| s o g | str |
| ay | bytes; marshalled from any bytes-like object |
| a, a{} | list, dict |
| () | tuple |
| v | Variant |

Layout after the D-Bus specification, "Marshaling (Wire Format)".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

from glview.dbus.limits import (
    MAX_ARRAY,
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_MESSAGE,
    WHOLE,
    Limit,
    TooLargeError,
)
from glview.dbus.signature import Type, parse, parse_single
from glview.errors import ProtocolError

Buffer = bytes | bytearray | memoryview
Value = Any  # a Python value out of the table above

_FORMATS = {
    "y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d",
    "h": "I",
}  # fmt: skip
_FIXED = {
    big_endian: {code: Struct(order + letter) for code, letter in _FORMATS.items()}
    for big_endian, order in ((False, "<"), (True, ">"))
}
_PATH = re.compile(r"/|(/[A-Za-z0-9_]+)+")


class Variant(NamedTuple):
    """A value that carries its own type, e.g. ``Variant("u", 640)``."""

    signature: str
    value: object


def unwrap(value: Value) -> Value:
    """`value` with every Variant in it replaced by what it holds."""
    if isinstance(value, Variant):
        return unwrap(value.value)
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    if isinstance(value, tuple):
        return tuple(unwrap(item) for item in value)
    return value


def marshal(
    signature: str, values: tuple[object, ...], offset: int = 0, big_endian: bool = False
) -> bytes:
    """The bytes of `values`, for a place `offset` bytes after an 8-byte boundary.

    Raises ValueError where the values do not fit the signature, ProtocolError for a
    malformed signature.
    """
    types = parse(signature)
    if len(types) != len(values):
        raise ValueError(f"{len(values)} values for the signature {signature!r}")
    writer = _Writer(offset % 8, big_endian)
    for kind, value in zip(types, values, strict=True):
        writer.write(kind, value, 0)
    return bytes(memoryview(writer.buffer)[offset % 8 :])


def unmarshal(
    signature: str,
    data: Buffer,
    offset: int = 0,
    big_endian: bool = False,
    limit: Limit = WHOLE,
) -> tuple[tuple[Any, ...], int]:
    """Return the values that stand at `offset` in `data`, and the offset after them.

    `data` starts on an 8-byte boundary of its message. Raises ProtocolError, and nothing
    else, for whatever is wrong with the bytes or the signature: TooLargeError for more
    values, or deeper ones, than `limit` allows.
    """
    reader = Reader(data, offset, big_endian, limit)
    values = tuple(reader.read(kind, 0) for kind in parse(signature))
    return values, reader.offset


class _Writer:
    """Appends values to `buffer`, whose first bytes only set the alignment."""

    def __init__(self, phase: int, big_endian: bool) -> None:
        self.buffer = bytearray(phase)
        self._fixed = _FIXED[big_endian]

    def write(self, kind: Type, value: Value, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"values nest more than {MAX_DEPTH} deep")
        self._align(kind.alignment)
        fixed = self._fixed.get(kind.code)
        if fixed is None:
            _WRITERS[kind.code](self, kind, value, depth)
            return
        try:
            self.buffer += fixed.pack(bool(value) if kind.code == "b" else value)
        except (StructError, OverflowError) as error:
            raise ValueError(f"{value!r} does not fit the type {kind.code!r}") from error

    def _align(self, alignment: int) -> None:
        self.buffer += bytes(-len(self.buffer) % alignment)

    def _string(self, kind: Type, value: Value, depth: int) -> None:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"{value!r} is no string that D-Bus can carry")
        if kind.code == "o" and not _PATH.fullmatch(value):
            raise ValueError(f"{value!r} is no object path")
        text = value.encode()
        self.buffer += self._fixed["u"].pack(len(text)) + text + b"\0"

    def _signature(self, kind: Type, value: str, depth: int) -> None:
        parse(value)
        self.buffer += bytes((len(value),)) + value.encode() + b"\0"

    def _variant(self, kind: Type, value: Value, depth: int) -> None:
        if not isinstance(value, Variant):
            raise ValueError(f"{value!r} is not a Variant")
        self._signature(kind, value.signature, depth)
        self.write(parse_single(value.signature), value.value, depth + 1)

    def _struct(self, kind: Type, value: Value, depth: int) -> None:
        if len(value) != len(kind.children):
            raise ValueError(f"{value!r} has not the {len(kind.children)} members of its struct")
        for child, item in zip(kind.children, value, strict=True):
            self.write(child, item, depth + 1)

    def _array(self, kind: Type, value: Value, depth: int) -> None:
        (child,) = kind.children
        length_at = len(self.buffer)
        self.buffer += bytes(4)
        self._align(child.alignment)
        start = len(self.buffer)
        self._elements(child, value, depth)
        length = len(self.buffer) - start
        if length > (MAX_MESSAGE if child.code == "y" else MAX_ARRAY):
            raise ValueError(f"an array of {length} bytes")
        self._fixed["u"].pack_into(self.buffer, length_at, length)

    def _elements(self, child: Type, value: Value, depth: int) -> None:
        if child.code == "y":
            if not isinstance(value, Buffer):
                raise ValueError("an array of bytes is made from a bytes-like object")
            self.buffer += value
            return
        if isinstance(value, str | Buffer):
            raise ValueError(f"{value!r} is not a list")
        for item in value.items() if child.code == "{" else value:
            self.write(child, item, depth + 1)


_WRITERS: dict[str, Callable[[_Writer, Type, Value, int], None]] = {
    "s": _Writer._string,
    "o": _Writer._string,
    "g": _Writer._signature,
    "v": _Writer._variant,
    "(": _Writer._struct,
    "{": _Writer._struct,
    "a": _Writer._array,
}


class Reader:
    """Reads values one after the other; every fault of the bytes is a ProtocolError.

    All values together, those in containers included, are no more than `limit.values`:
    64 MiB of empty strings or nested structs must fill neither memory nor time.
    """

    def __init__(self, data: Buffer, offset: int, big_endian: bool, limit: Limit = WHOLE) -> None:
        self.offset = offset
        self._data = memoryview(data)
        self._fixed = _FIXED[big_endian]
        self._limit = limit
        self._values_left = limit.values

    def _count(self, values: int) -> None:
        self._values_left -= values
        if self._values_left < 0:
            raise TooLargeError(f"a message of more than {self._limit.values} values")

    def read(self, kind: Type, depth: int) -> Value:
        """The value of type `kind` at `offset`, which moves behind it."""
        if depth > MAX_DEPTH:
            raise TooLargeError(f"values nest more than {MAX_DEPTH} deep")
        self._count(1)
        self._align(kind.alignment)
        fixed = self._fixed.get(kind.code)
        if fixed is None:
            return _READERS[kind.code](self, kind, depth)
        (value,) = fixed.unpack(self._take(fixed.size))
        if kind.code != "b":
            return value
        if value > 1:
            raise ProtocolError(f"a boolean of value {value}")
        return bool(value)

    def read_until(self, end: int, kind: Type, depth: int) -> list[Any]:
        """The values from `offset` up to exactly `end`."""
        values = []
        while self.offset < end:
            values.append(self.read(kind, depth))
        if self.offset != end:
            raise ProtocolError("the last element of an array reaches over its end")
        return values

    def _take(self, length: int) -> memoryview:
        start, self.offset = self.offset, self.offset + length
        if self.offset > len(self._data):
            raise ProtocolError("a value reaches over the end of its message")
        return self._data[start : self.offset]

    def _align(self, alignment: int) -> None:
        padding = -self.offset % alignment
        if padding and any(self._take(padding)):
            raise ProtocolError("padding that is not zero")

    def _uint32(self) -> int:
        (value,) = self._fixed["u"].unpack(self._take(4))
        return int(value)

    def _text(self, length: int) -> str:
        raw = self._take(length + 1)
        try:
            text = str(raw[:-1], "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("a string that is not UTF-8") from error
        if raw[-1] or "\0" in text:
            raise ProtocolError("a string with a wrong end")
        return text

    def _string(self, kind: Type, depth: int) -> str:
        length = self._uint32()
        if length > self._limit.text and kind.code == "s":
            return self._cut(length)
        if length > MAX_FIELDS and kind.code == "o":
            raise TooLargeError(f"an object path of {length} bytes")
        text = self._text(length)
        if kind.code == "o" and not _PATH.fullmatch(text):
            raise ProtocolError("an object path that is none")
        return text

    def _cut(self, length: int) -> str:
        """Return the beginning of a text that is longer than the limit."""
        start = self._take(length + 1)[: self._limit.text]
        return str(start, "utf-8", "ignore").partition("\0")[0]

    def _signature(self, kind: Type, depth: int) -> str:
        length = self._take(1)[0]
        self._count(length)  # to parse a character takes about as long as to read a value
        text = self._text(length)
        parse(text)
        return text

    def _variant(self, kind: Type, depth: int) -> Variant:
        signature = self._signature(kind, depth)
        return Variant(signature, self.read(parse_single(signature), depth + 1))

    def _struct(self, kind: Type, depth: int) -> tuple[Any, ...]:
        return tuple([self.read(child, depth + 1) for child in kind.children])

    def _array(self, kind: Type, depth: int) -> bytes | list[Any] | dict[Any, Any]:
        (child,) = kind.children
        length = self._uint32()
        if length > (MAX_MESSAGE if child.code == "y" else MAX_ARRAY):
            raise ProtocolError(f"an array of {length} bytes")
        self._align(child.alignment)
        if child.code == "y":
            return bytes(self._take(length))
        if self.offset + length > len(self._data):
            raise ProtocolError("an array reaches over the end of its message")
        values = self.read_until(self.offset + length, child, depth + 1)
        return dict(values) if child.code == "{" else values


_READERS: dict[str, Callable[[Reader, Type, int], Value]] = {
    "s": Reader._string,
    "o": Reader._string,
    "g": Reader._signature,
    "v": Reader._variant,
    "(": Reader._struct,
    "{": Reader._struct,
    "a": Reader._array,
}
