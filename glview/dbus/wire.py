"""D-Bus messages to bytes and back.

`encode` and `decode` are for whole messages. Who reads from a socket takes `FIXED_HEADER`
bytes first, then what `FixedHeader.remainder` says; who wants the body somewhere special
reads the header fields alone and gives them to `parse_fields`.
"""

from __future__ import annotations

import os
import re
from struct import Struct
from typing import Any, NamedTuple

from glview.dbus.limits import (
    MAX_ARRAY,
    MAX_FIELD_VALUES,
    MAX_FIELDS,
    MAX_MESSAGE,
    MAX_NAME,
    WHOLE,
    Limit,
    TooLargeError,
)
from glview.dbus.signature import parse_single
from glview.dbus.values import (
    Buffer,
    Reader,
    Variant,
    marshal,
    unmarshal,
    unwrap,
)
from glview.errors import ProtocolError

__all__ = [
    "CALL",
    "ERROR",
    "FIXED_HEADER",
    "MAX_MESSAGE",
    "NO_REPLY_EXPECTED",
    "RETURN",
    "SIGNAL",
    "Buffer",
    "Fields",
    "FixedHeader",
    "Message",
    "Variant",
    "decode",
    "encode",
    "marshal",
    "parse_fields",
    "parse_fixed",
    "unmarshal",
    "unwrap",
]

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY_EXPECTED = 1

FIXED_HEADER = 16
_PROTOCOL_VERSION = 1
_FIXED = {False: Struct("<BBBBIII"), True: Struct(">BBBBIII")}
_BIG_ENDIAN = {ord("l"): False, ord("B"): True}

_FIELD_TYPES = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}
_FIELD = parse_single("(yv)")
_FIELDS = Limit(MAX_FIELDS, MAX_FIELD_VALUES, MAX_FIELDS)
_DOTTED = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+"
_BUS_NAME = (
    r":[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+|[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+"
)
_NAMES = {  # the header fields that are names, and what they are made of
    2: re.compile(_DOTTED),
    3: re.compile("[A-Za-z_][A-Za-z0-9_]*"),
    4: re.compile(_DOTTED),
    6: re.compile(_BUS_NAME),
    7: re.compile(_BUS_NAME),
}


class Message:
    """One message. Header fields that are absent are empty strings or 0.

    `fds` are raw descriptors; `h` values in `body` are indexes into it. A received message
    owns its fds: `take_fd` hands one over, `close_fds` closes the others.
    """

    def __init__(
        self,
        type: int,
        serial: int = 0,
        flags: int = 0,
        path: str = "",
        interface: str = "",
        member: str = "",
        error_name: str = "",
        reply_serial: int = 0,
        destination: str = "",
        sender: str = "",
        signature: str = "",
        body: tuple[Any, ...] = (),
        fds: tuple[int, ...] = (),
    ) -> None:
        self.type, self.serial, self.flags = type, serial, flags
        self.path, self.interface, self.member = path, interface, member
        self.error_name, self.reply_serial = error_name, reply_serial
        self.destination, self.sender = destination, sender
        self.signature, self.body, self.fds = signature, body, fds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Message({vars(self)})"

    def take_fd(self, index: int) -> int:
        """The descriptor at `index`, from now on the caller's to close.

        Raises ProtocolError where the message has none there.
        """
        if not 0 <= index < len(self.fds) or self.fds[index] < 0:
            raise ProtocolError(f"{self.member or 'a message'} came without its descriptor {index}")
        fd = self.fds[index]
        self.fds = (*self.fds[:index], -1, *self.fds[index + 1 :])
        return fd

    def close_fds(self) -> None:
        """Close every descriptor that was not taken."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            if fd >= 0:
                os.close(fd)


class FixedHeader(NamedTuple):
    """The first 16 bytes of a message; lengths in bytes."""

    big_endian: bool
    type: int
    flags: int
    body_length: int
    serial: int
    fields_length: int

    @property
    def fields_padded(self) -> int:
        """Length of the header fields with the padding that leads to the body."""
        return -(-self.fields_length // 8) * 8

    @property
    def remainder(self) -> int:
        """What follows the fixed header: fields, padding and body."""
        return self.fields_padded + self.body_length


class Fields(NamedTuple):
    """The header fields; those that are absent are empty strings or 0."""

    path: str = ""
    interface: str = ""
    member: str = ""
    error_name: str = ""
    reply_serial: int = 0
    destination: str = ""
    sender: str = ""
    signature: str = ""
    unix_fds: int = 0


_REQUIRED = {
    CALL: ("path", "member"),
    RETURN: ("reply_serial",),
    ERROR: ("error_name", "reply_serial"),
    SIGNAL: ("path", "interface", "member"),
}


def parse_fixed(first16: Buffer) -> FixedHeader:
    """The fixed header in `first16` (exactly 16 bytes).

    Raises ProtocolError: not D-Bus, another protocol version, no type, or too big.
    """
    big_endian = _BIG_ENDIAN.get(first16[0])
    if big_endian is None:
        raise ProtocolError(f"a message that begins with the byte {first16[0]:#04x}")
    _, kind, flags, version, body_length, serial, fields_length = _FIXED[big_endian].unpack(first16)
    if version != _PROTOCOL_VERSION:
        raise ProtocolError(f"D-Bus protocol version {version}")
    if not kind or not serial:
        raise ProtocolError("a message without type or serial number")
    header = FixedHeader(big_endian, kind, flags, body_length, serial, fields_length)
    if fields_length > MAX_ARRAY or FIXED_HEADER + header.remainder > MAX_MESSAGE:
        raise TooLargeError(f"a message of {FIXED_HEADER + header.remainder} bytes")
    return header


def parse_fields(raw: Buffer, big_endian: bool) -> Fields:
    """Return the header fields in `raw`: `fields_length` bytes, without the padding after them.

    Fields this protocol version does not know are ignored, as the specification asks.
    Raises ProtocolError: TooLargeError for more than `MAX_FIELDS` bytes.
    """
    if len(raw) > MAX_FIELDS:
        raise TooLargeError(f"{len(raw)} bytes of header fields")
    found: list[Any] = list(Fields())
    for code, value in Reader(raw, 0, big_endian, _FIELDS).read_until(len(raw), _FIELD, 0):
        expected = _FIELD_TYPES.get(code)
        if expected is None:
            continue
        if value.signature != expected:
            raise ProtocolError(f"header field {code} has the type {value.signature!r}")
        if code in _NAMES and not _is_name(code, value.value):
            raise ProtocolError(f"header field {code} is no name that D-Bus allows")
        found[code - 1] = value.value
    return Fields(*found)


def _is_name(code: int, text: str) -> bool:
    return len(text) <= MAX_NAME and _NAMES[code].fullmatch(text) is not None


def check_fields(kind: int, fields: Fields) -> None:
    """Raise ProtocolError where a message of type `kind` lacks a field it must have."""
    for name in _REQUIRED.get(kind, ()):
        if not getattr(fields, name):
            raise ProtocolError(f"a message of type {kind} without {name}")


def decode(data: Buffer, fds: tuple[int, ...] = ()) -> Message:
    """Return the message that `data` holds, no more and no less; `fds` came with it.

    Raises ProtocolError; `fds` remain the caller's then.
    """
    if len(data) < FIXED_HEADER:
        raise ProtocolError(f"a message of {len(data)} bytes")
    view = memoryview(data)
    header = parse_fixed(view[:FIXED_HEADER])
    if len(data) != FIXED_HEADER + header.remainder:
        raise ProtocolError(f"{len(data)} bytes for one of {FIXED_HEADER + header.remainder}")
    fields_end = FIXED_HEADER + header.fields_length
    fields = parse_fields(view[FIXED_HEADER:fields_end], header.big_endian)
    check_fields(header.type, fields)
    return decode_body(header, fields, view[FIXED_HEADER + header.fields_padded :], fds)


def decode_body(
    header: FixedHeader,
    fields: Fields,
    raw: Buffer,
    fds: tuple[int, ...],
    limit: Limit = WHOLE,
) -> Message:
    """Return the message whose header is known and whose body is `raw`.

    Raises ProtocolError, TooLargeError where the body has more than `limit` allows; `fds`
    remain the caller's then.
    """
    if fields.unix_fds != len(fds):
        raise ProtocolError(f"{len(fds)} file descriptors came for {fields.unix_fds}")
    body, end = unmarshal(fields.signature, raw, 0, header.big_endian, limit)
    if end != header.body_length:
        raise ProtocolError(f"a body of {header.body_length} bytes for {fields.signature!r}")
    return Message(header.type, header.serial, header.flags, *fields[:-1], body, fds)


def encode(message: Message, big_endian: bool = False) -> bytes:
    """The bytes of `message`; its fds travel beside them.

    Raises ValueError where the body does not fit the signature.
    """
    body = marshal(message.signature, message.body, 0, big_endian)
    values = (
        message.path, message.interface, message.member, message.error_name,
        message.reply_serial, message.destination, message.sender, message.signature,
        len(message.fds),
    )  # fmt: skip
    fields = [
        (code, Variant(_FIELD_TYPES[code], value)) for code, value in enumerate(values, 1) if value
    ]
    # an array's length stands before it: at offset 12, the last word of the fixed header
    raw = marshal("a(yv)", (fields,), 12, big_endian)
    fixed = _FIXED[big_endian].pack(
        ord("B" if big_endian else "l"), message.type, message.flags, _PROTOCOL_VERSION,
        len(body), message.serial, 0,
    )  # fmt: skip
    header = fixed[:12] + raw
    return header + bytes(-len(header) % 8) + body
