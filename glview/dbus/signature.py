"""D-Bus type signatures as trees of `Type`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from glview.errors import ProtocolError

MAX_SIGNATURE = 255
MAX_NESTING = 32  # of arrays, and of structs and dict entries, each

ALIGNMENT = {
    "y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "h": 4,
    "s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8,
}  # fmt: skip
BASIC = frozenset("ybnqiuxtdhsog")


class Type(NamedTuple):
    """One complete type: its first letter, and what an array, struct or dict entry holds."""

    code: str
    alignment: int
    children: tuple[Type, ...] = ()


@lru_cache(maxsize=256)
def parse(signature: str) -> tuple[Type, ...]:
    """The complete types of a signature.

    Raises ProtocolError where it is malformed, too long or too deep.
    """
    if len(signature) > MAX_SIGNATURE:
        raise ProtocolError(f"a signature of {len(signature)} characters")
    types = []
    position = 0
    while position < len(signature):
        kind, position = _parse_one(signature, position, 0, 0)
        types.append(kind)
    return tuple(types)


def parse_single(signature: str) -> Type:
    """The one complete type of a variant's signature; ProtocolError if it is not one."""
    types = parse(signature)
    if len(types) != 1:
        raise ProtocolError(f"the signature {signature!r} is not one complete type")
    return types[0]


def _parse_one(signature: str, position: int, arrays: int, structs: int) -> tuple[Type, int]:
    """The type that starts at `position`, and where the next one starts."""
    code = signature[position : position + 1]
    if max(arrays, structs) > MAX_NESTING:
        raise ProtocolError(f"the signature {signature!r} nests too deeply")
    if code == "a":
        if signature.startswith("{", position + 1):
            entry, end = _parse_dict_entry(signature, position + 1, arrays + 1, structs + 1)
        else:
            entry, end = _parse_one(signature, position + 1, arrays + 1, structs)
        return Type("a", 4, (entry,)), end
    if code == "(":
        return _parse_struct(signature, position, arrays, structs + 1)
    if code not in BASIC and code != "v":
        raise ProtocolError(f"the signature {signature!r} is not valid")
    return Type(code, ALIGNMENT[code]), position + 1


def _parse_struct(signature: str, position: int, arrays: int, structs: int) -> tuple[Type, int]:
    children = []
    end = position + 1
    while not signature.startswith(")", end):
        child, end = _parse_one(signature, end, arrays, structs)
        children.append(child)
    if not children:
        raise ProtocolError(f"the signature {signature!r} has an empty struct")
    return Type("(", 8, tuple(children)), end + 1


def _parse_dict_entry(signature: str, position: int, arrays: int, structs: int) -> tuple[Type, int]:
    key, end = _parse_one(signature, position + 1, arrays, structs)
    value, end = _parse_one(signature, end, arrays, structs)
    if key.code not in BASIC or not signature.startswith("}", end):
        raise ProtocolError(f"the signature {signature!r} has a wrong dict entry")
    return Type("{", 8, (key, value)), end + 1
