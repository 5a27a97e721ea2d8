"""The codec against dbus-next's, over all types, and against bytes that are wrong."""

from __future__ import annotations

import importlib
import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glview.dbus import limits, wire
from glview.dbus.signature import Type, parse
from glview.dbus.values import Value
from glview.dbus.wire import CALL, ERROR, RETURN, SIGNAL, Message, Variant
from glview.errors import ProtocolError

dbus_next: Any = importlib.import_module("dbus_next")  # the oracle; it has no types
next_marshaller: Any = importlib.import_module("dbus_next._private.marshaller")
next_unmarshaller: Any = importlib.import_module("dbus_next._private.unmarshaller")

BOTH_ORDERS = pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])

# -- any type, any value -----------------------------------------------------------------

_INTEGERS = {
    "y": (0, 2**8), "n": (-(2**15), 2**15), "q": (0, 2**16), "i": (-(2**31), 2**31),
    "u": (0, 2**32), "x": (-(2**63), 2**63), "t": (0, 2**64), "h": (0, 2**32),
}  # fmt: skip
_text = st.text("aB/ .\n\x7féß€한\ufffe😀", max_size=12)
_path = st.lists(st.text("aZ09_", min_size=1, max_size=4), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
_basic = st.sampled_from("ybnqiuxtdhsog")
signatures = st.recursive(
    st.one_of(_basic, st.just("v")),
    lambda inner: st.one_of(
        inner.map("a{}".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda types: f"({''.join(types)})"),
        st.tuples(_basic, inner).map(lambda pair: f"a{{{pair[0]}{pair[1]}}}"),
    ).map(lambda text: text.replace("a{}", "ay")),
    max_leaves=4,
)
arrays = signatures.map(lambda inner: "a" + inner)
any_type = st.one_of(signatures, arrays)


@st.composite
def _value(draw: st.DrawFn, kind: Type, depth: int = 0) -> Value:
    """A value of that type, as our codec gives it back."""
    if kind.code in _INTEGERS:
        low, end = _INTEGERS[kind.code]
        return draw(st.integers(low, end - 1))
    if kind.code == "v":
        signature = draw(_basic if depth > 2 else any_type)
        return Variant(signature, draw(_value(parse(signature)[0], depth + 1)))
    if kind.code == "(":
        return tuple(draw(_value(child, depth + 1)) for child in kind.children)
    if kind.code == "a":
        return draw(_array(kind.children[0], depth + 1))
    simple: dict[str, st.SearchStrategy[Any]] = {
        "b": st.booleans(),
        "d": st.floats(allow_nan=False),
        "s": _text,
        "o": _path,
        "g": any_type,
    }
    return draw(simple[kind.code])


def _array(child: Type, depth: int) -> st.SearchStrategy[Any]:
    if child.code == "y":
        return st.binary(max_size=9)
    if child.code == "{":
        key, value = (_value(part, depth) for part in child.children)
        return st.dictionaries(key, value, max_size=3)
    return st.lists(_value(child, depth), max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    """A signature of up to three types, and values for it."""
    signature = "".join(draw(st.lists(any_type, max_size=3)))
    return signature, tuple(draw(_value(kind)) for kind in parse(signature))


def to_next(value: Value) -> Value:
    """The value as dbus-next has it: lists for structs, its own variants."""
    if isinstance(value, Variant):
        return dbus_next.Variant(value.signature, to_next(value.value))
    if isinstance(value, tuple | list):
        return [to_next(item) for item in value]
    if isinstance(value, dict):
        return {key: to_next(item) for key, item in value.items()}
    return value


class _BigEndian:
    """dbus-next writes little-endian only; the layout is the same in both orders."""

    def __enter__(self) -> None:
        next_marshaller.pack = lambda form, value: struct.pack(form.replace("<", ">"), value)

    def __exit__(self, *_: object) -> None:
        next_marshaller.pack = struct.pack


def oracle(signature: str, body: tuple[Any, ...], big_endian: bool) -> bytes:
    """What dbus-next makes of a body."""
    writer = next_marshaller.Marshaller(signature, to_next(body))
    if not big_endian:
        return bytes(writer.marshall())
    with _BigEndian():
        return bytes(writer.marshall())


def oracle_read(signature: str, data: bytes, big_endian: bool) -> list[Any]:
    """What dbus-next reads in a body."""
    reader = next_unmarshaller.Unmarshaller(io.BytesIO(data))
    reader.endian = ord("B" if big_endian else "l")
    return [
        reader.read_argument(kind)
        for kind in dbus_next.signature.SignatureTree._get(signature).types
    ]


@BOTH_ORDERS
@given(bodies())
def test_bodies_agree_with_dbus_next(big_endian: bool, given_body: tuple[str, Any]) -> None:
    signature, body = given_body
    data = wire.marshal(signature, body, big_endian=big_endian)
    assert data == oracle(signature, body, big_endian)
    assert wire.unmarshal(signature, data, 0, big_endian) == (body, len(data))
    assert oracle_read(signature, data, big_endian) == to_next(body)


@BOTH_ORDERS
@given(bodies(), st.integers(0, 17))
def test_alignment_counts_from_the_offset(
    big_endian: bool, given_body: tuple[str, Any], offset: int
) -> None:
    signature, body = given_body
    data = bytes(offset) + wire.marshal(signature, body, offset, big_endian)
    assert wire.unmarshal(signature, data, offset, big_endian) == (body, len(data))


_name = st.text("abZ_", min_size=1, max_size=5)
_dotted = st.lists(_name, min_size=2, max_size=3).map(".".join)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A message of any type with the fields it must have, and some it may have."""
    kind = draw(st.sampled_from([CALL, RETURN, ERROR, SIGNAL]))
    signature, body = draw(bodies())
    named = kind in (CALL, SIGNAL)
    answers = kind in (RETURN, ERROR)
    return Message(
        kind,
        draw(st.integers(1, 2**32 - 1)),
        draw(st.integers(0, 3)),
        path=draw(_path) if named else "",
        interface=draw(_dotted) if named else "",
        member=draw(_name) if named else "",
        error_name=draw(_dotted) if kind == ERROR else "",
        reply_serial=draw(st.integers(1, 2**32 - 1)) if answers else 0,
        destination=draw(st.one_of(st.just(""), _dotted)),
        signature=signature,
        body=body,
    )


def _next_message(message: Message) -> Value:
    return dbus_next.Message(
        message.destination or None,
        message.path or None,
        message.interface or None,
        message.member or None,
        dbus_next.MessageType(message.type),
        dbus_next.MessageFlag(message.flags),
        message.error_name or None,
        message.reply_serial or 0,
        None,
        [],
        message.signature,
        to_next(message.body),
        message.serial,
    )


@given(messages())
def test_messages_agree_with_dbus_next(message: Message) -> None:
    data = wire.encode(message)
    assert data == bytes(_next_message(message)._marshall())
    assert wire.decode(data) == message


@given(messages())
def test_dbus_next_reads_our_big_endian_messages(message: Message) -> None:
    data = wire.encode(message, big_endian=True)
    assert wire.decode(data) == message
    other = next_unmarshaller.Unmarshaller(io.BytesIO(data)).unmarshall()
    assert (other.serial, other.path or "", other.body) == (
        message.serial,
        message.path,
        to_next(message.body),
    )


def test_sender_and_fds_stand_in_the_header() -> None:
    message = Message(SIGNAL, 1, 0, "/a", "b.c", "d", sender=":1.7", fds=(10, 11))
    data = wire.encode(message)
    assert wire.decode(data, (10, 11)) == message
    head = wire.parse_fixed(data[:16])
    fields = wire.parse_fields(data[16 : 16 + head.fields_length], False)
    assert (fields.sender, fields.unix_fds, fields.member) == (":1.7", 2, "d")
    with pytest.raises(ProtocolError, match="0 file descriptors came for 2"):
        wire.decode(data)


def test_unwrap_reaches_everything() -> None:
    inner = Variant("i", 1)
    value = {"a": Variant("av", [inner, (Variant("v", inner),)])}
    assert wire.unwrap(value) == {"a": [1, (1,)]}


# -- what must be refused ----------------------------------------------------------------


@settings(max_examples=300)
@given(st.binary(max_size=120))
def test_noise_is_a_protocol_error(data: bytes) -> None:
    for prefix in (b"", b"l\1\0\1", b"B\2\0\1"):
        try:
            wire.decode(prefix + data)
        except ProtocolError:
            continue


@settings(max_examples=300)
@given(messages(), st.data())
def test_a_changed_message_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    raw = bytearray(wire.encode(message, data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    try:
        wire.decode(raw)
    except ProtocolError:
        return


@settings(max_examples=300)
@given(
    st.one_of(any_type, st.text("ybnqiuxtdhsogav(){}z\xe9", max_size=300)),
    st.binary(max_size=80),
    st.booleans(),
)
def test_noise_of_any_type_is_read_or_refused(signature: str, data: bytes, big: bool) -> None:
    try:
        wire.unmarshal(signature, data, 0, big)
    except ProtocolError:
        return


@pytest.mark.parametrize(
    "signature",
    ["a", "(", "()", "(i", ")", "{sv}", "a{sv", "a{}", "a{s}", "a{vs}", "a{(i)s}", "a{svs}",
     "z", "é", "a" * 33 + "i", "(" * 33 + "i" + ")" * 33, "i" * 256],
)  # fmt: skip
def test_bad_signatures(signature: str) -> None:
    with pytest.raises(ProtocolError):
        parse(signature)


@pytest.mark.parametrize("signature", ["a" * 32 + "i", "(" * 32 + "i" + ")" * 32, "i" * 255])
def test_signatures_at_the_limit(signature: str) -> None:
    parse(signature)


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        ("b", b"\2\0\0\0"),
        ("s", b"\1\0\0\0a!"),
        ("s", b"\1\0\0\0\0\0"),
        ("s", b"\1\0\0\0\xff\0"),
        ("s", b"\xff\xff\xff\xff"),
        ("o", b"\2\0\0\0a/\0"),
        ("g", b"\1(\0"),
        ("v", b"\2ii\0\0\0\0\0\0\0\0\0"),
        ("v", b"\0\0"),
        ("yu", b"\1\0\1\0\0\0\0\0"),
        ("ai", b"\6\0\0\0\0\0\0\0\0\0\0\0"),
        ("ai", b"\x08\0\0\0\0\0\0\0"),
        ("ay", b"\x08\0\0\0\0\0\0\0"),
        ("ai", struct.pack("<I", (64 << 20) + 4)),
        ("ay", struct.pack("<I", (256 << 20) + 1)),
    ],
)
def test_bad_values(signature: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.unmarshal(signature, data)


def test_variants_in_variants_end_at_the_limit() -> None:
    def nested(depth: int) -> bytes:
        return b"\1v\0" * depth + b"\1y\0\5"

    wire.unmarshal("v", nested(63))
    with pytest.raises(ProtocolError, match="nest"):
        wire.unmarshal("v", nested(64))
    with pytest.raises(ProtocolError, match="nest"):
        wire.unmarshal("v", nested(100_000))


def test_many_small_elements_are_refused() -> None:
    count = limits.WHOLE.values
    data = struct.pack("<I", 2 * count) + bytes(2 * count)  # empty signatures
    with pytest.raises(ProtocolError, match=f"more than {count} values"):  # and the array
        wire.unmarshal("ag", data)


def test_byte_arrays_over_64_mib_are_accepted() -> None:
    size = (64 << 20) + 1
    data = struct.pack("<I", size) + bytes(size)
    ((array,), end) = wire.unmarshal("ay", data)
    assert (len(array), end) == (size, len(data))


def _fixed(**changes: int) -> bytes:
    parts = {"order": ord("l"), "type": 1, "flags": 0, "version": 1, "body": 0, "serial": 1}
    values = {**parts, "fields": 0, **changes}
    return struct.pack("<BBBBIII", *values.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": ord("H")}, "begins with the byte 0x48"),
        ({"version": 2}, "version 2"),
        ({"type": 0}, "without type"),
        ({"serial": 0}, "serial"),
        ({"body": 257 << 20}, "bytes"),
        ({"body": 256 << 20}, "bytes"),
        ({"fields": 65 << 20}, "bytes"),
        ({"fields": 2**32 - 1, "body": 2**32 - 1}, "bytes"),
    ],
)
def test_bad_fixed_headers(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        wire.parse_fixed(_fixed(**changes))


def test_the_biggest_scanout_fits() -> None:
    header = wire.parse_fixed(_fixed(body=132_710_400, fields=150))
    assert header.remainder == 152 + 132_710_400


@pytest.mark.parametrize(
    "message",
    [
        Message(CALL, 1, path="/a"),
        Message(CALL, 1, member="m"),
        Message(RETURN, 1),
        Message(ERROR, 1, reply_serial=1),
        Message(SIGNAL, 1, path="/a", member="m"),
    ],
)
def test_missing_fields(message: Message) -> None:
    with pytest.raises(ProtocolError, match="without"):
        wire.decode(wire.encode(message))


@pytest.mark.parametrize("extra", [1, 8])
def test_bytes_after_the_body(extra: int) -> None:
    data = bytearray(wire.encode(Message(CALL, 1, path="/a", member="m")))
    data[4] = extra  # body length
    with pytest.raises(ProtocolError, match="a body of"):
        wire.decode(data + bytes(extra))
    with pytest.raises(ProtocolError, match="bytes for one of"):
        wire.decode(data)


def test_unknown_fields_are_ignored_and_wrong_types_refused() -> None:
    known = wire.marshal("a(yv)", ([(1, Variant("o", "/a")), (77, Variant("ai", [1]))],), 12)
    assert wire.parse_fields(known[4:], False).path == "/a"
    wrong = wire.marshal("a(yv)", ([(1, Variant("s", "/a"))],), 12)
    with pytest.raises(ProtocolError, match="header field 1"):
        wire.parse_fields(wrong[4:], False)


@pytest.mark.parametrize(
    ("signature", "value"),
    [
        ("u", -1), ("y", 256), ("i", "1"), ("s", 1), ("s", "a\0b"), ("o", "a"), ("o", "/a/"),
        ("ay", [1, 2]), ("ay", 5), ("as", "text"), ("ai", b"12"), ("v", 1), ("(ii)", (1,)),
        ("ii", 1),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(signature: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        wire.marshal(signature, (value,))


def test_taking_descriptors() -> None:
    message = Message(CALL, 1, path="/a", member="m", fds=(70, 71))
    assert message.take_fd(1) == 71
    for index in (1, 2, -1):
        with pytest.raises(ProtocolError, match="descriptor"):
            message.take_fd(index)
    assert message.fds == (70, -1)
