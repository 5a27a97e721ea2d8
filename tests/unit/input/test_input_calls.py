"""Calls as bytes: right by two decoders, in order, and few of them."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from dbus_next._private import unmarshaller as oracle

from glview.dbus.wire import CALL, NO_REPLY_EXPECTED, decode
from glview.qemu.input import InputCalls

PATH = "/org/qemu/Display1/Console_3"
KEYBOARD, MOUSE = "org.qemu.Display1.Keyboard", "org.qemu.Display1.Mouse"


class Wire:
    """A connection that keeps what is posted on it."""

    def __init__(self) -> None:
        self.wants_write = False
        self.posted: list[bytes] = []
        self._serials = itertools.count(7)

    def next_serial(self) -> int:
        return next(self._serials)

    def post(self, data: bytes) -> bool:
        self.posted.append(data)
        return True

    def take(self) -> list[tuple[Any, ...]]:
        """Member and arguments of what was posted since the last time."""
        posted, self.posted = self.posted, []
        messages = [decode(data) for data in posted]
        return [(message.member, *message.body) for message in messages]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def calls(wire: Wire) -> InputCalls:
    return InputCalls(wire, PATH, ":1.7")


Send = Callable[[InputCalls], object]

EACH: list[tuple[Send, str, str, str, list[int]]] = [
    (lambda calls: calls.press_key(0x9C), KEYBOARD, "Press", "u", [0x9C]),
    (lambda calls: calls.repeat_key(0x1E), KEYBOARD, "Press", "u", [0x1E]),
    (lambda calls: calls.release_key(0xDB), KEYBOARD, "Release", "u", [0xDB]),
    (lambda calls: calls.press_button(8), MOUSE, "Press", "u", [8]),
    (lambda calls: calls.release_button(5), MOUSE, "Release", "u", [5]),
    (lambda calls: calls.abs_position(7679, 4319), MOUSE, "SetAbsPosition", "uu", [7679, 4319]),
    (lambda calls: calls.rel_motion(-3, 70000), MOUSE, "RelMotion", "ii", [-3, 70000]),
]


@pytest.mark.parametrize("destination", ["", ":1.7", ":1.12345"])
@pytest.mark.parametrize(("send", "interface", "member", "signature", "body"), EACH)
def test_messages_by_two_decoders(
    wire: Wire,
    destination: str,
    send: Send,
    interface: str,
    member: str,
    signature: str,
    body: list[int],
) -> None:
    calls = InputCalls(wire, PATH, destination)
    send(calls)
    calls.flush()
    (data,) = wire.posted

    ours = decode(data)
    assert (ours.type, ours.flags, ours.serial) == (CALL, NO_REPLY_EXPECTED, 7)
    assert (ours.path, ours.interface, ours.member) == (PATH, interface, member)
    assert (ours.destination, ours.signature) == (destination, signature)
    assert list(ours.body) == body

    theirs: Any = oracle.Unmarshaller(io.BytesIO(data)).unmarshall()  # type: ignore[no-untyped-call]
    assert theirs.message_type.value == CALL
    assert (theirs.flags.value, theirs.serial) == (NO_REPLY_EXPECTED, 7)
    assert (theirs.path, theirs.interface, theirs.member) == (PATH, interface, member)
    assert (theirs.destination or "", theirs.signature) == (destination, signature)
    assert theirs.body == body


def test_what_was_posted_stays_as_it_was(wire: Wire, calls: InputCalls) -> None:
    calls.press_key(1)
    calls.press_key(2)
    assert [decode(data).serial for data in wire.posted] == [7, 8]
    assert wire.take() == [("Press", 1), ("Press", 2)]


def test_one_motion_for_each_turn(wire: Wire, calls: InputCalls) -> None:
    for x in range(10):
        calls.abs_position(x, 2 * x)
    assert wire.take() == []
    calls.flush()
    calls.flush()
    assert wire.take() == [("SetAbsPosition", 9, 18)]
    for _ in range(10):
        calls.rel_motion(1, -2)
    calls.flush()
    calls.flush()
    assert wire.take() == [("RelMotion", 10, -20)]


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda calls: calls.press_button(0), ("Press", 0)),
        (lambda calls: calls.release_button(0), ("Release", 0)),
        (lambda calls: calls.press_key(30), ("Press", 30)),
        (lambda calls: calls.release_key(30), ("Release", 30)),
    ],
)
def test_motion_goes_before_keys_and_buttons(
    wire: Wire, calls: InputCalls, act: Send, expected: tuple[Any, ...]
) -> None:
    calls.abs_position(5, 6)
    act(calls)
    calls.flush()
    assert wire.take() == [("SetAbsPosition", 5, 6), expected]


def test_motion_of_the_other_kind_replaces(wire: Wire, calls: InputCalls) -> None:
    calls.rel_motion(1, 1)
    calls.abs_position(5, 6)
    calls.rel_motion(2, 3)
    calls.flush()
    assert wire.take() == [("RelMotion", 2, 3)]


def test_dropped_motion(wire: Wire, calls: InputCalls) -> None:
    calls.rel_motion(1, 1)
    calls.drop_motion()
    calls.flush()
    assert wire.take() == []


def test_motion_waits_for_a_stalled_vm(wire: Wire, calls: InputCalls) -> None:
    wire.wants_write = True
    for _ in range(5000):
        calls.rel_motion(3, -1)
        calls.flush()
    assert wire.take() == []
    assert calls.pending
    wire.wants_write = False
    calls.flush()
    assert not calls.pending
    assert wire.take() == [("RelMotion", 15000, -5000)]


def test_keys_and_buttons_queue_in_order_meanwhile(wire: Wire, calls: InputCalls) -> None:
    wire.wants_write = True
    calls.abs_position(1, 1)
    calls.abs_position(2, 2)
    calls.press_button(0)
    for x in range(3, 50):
        calls.abs_position(x, x)
        calls.flush()
        calls.repeat_key(30)
    calls.release_button(0)
    calls.press_key(30)
    assert wire.take() == [
        ("SetAbsPosition", 2, 2),
        ("Press", 0),
        ("SetAbsPosition", 49, 49),
        ("Release", 0),
        ("Press", 30),
    ]


@pytest.mark.parametrize("button", [-1, 9, 10, 255, 4_000_000_000])
def test_a_button_that_would_abort_qemu_never_leaves(
    wire: Wire, calls: InputCalls, button: int
) -> None:
    with pytest.raises(ValueError, match="no button"):
        calls.press_button(button)
    with pytest.raises(ValueError, match="no button"):
        calls.release_button(button)
    assert wire.posted == []


def test_motion_beyond_32_bits(wire: Wire, calls: InputCalls) -> None:
    wire.wants_write = True
    for _ in range(3):
        calls.rel_motion(2**31 - 1, -(2**31))
    wire.wants_write = False
    calls.flush()
    assert wire.take() == [("RelMotion", 2**31 - 1, -(2**31))]


@pytest.mark.alone
def test_an_event_is_cheap(calls: InputCalls) -> None:
    """A motion and its call stay far below a millisecond: 15 us here, with room for load."""
    best = min(_cost(calls) for _ in range(20))
    assert best < 15e-6


def _cost(calls: InputCalls) -> float:
    """Seconds of CPU for one motion."""
    start = time.thread_time()
    for x in range(200):
        calls.abs_position(x, x)
        calls.flush()
    return (time.thread_time() - start) / 200
