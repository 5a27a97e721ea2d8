"""What `bench.endurance` says of given floods, and how `bench.hose` sends and counts."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from bench.endurance import Flood
from bench.figures import SHM
from bench.hose import Answers, Block
from glview.testing import calls
from glview.testing.link import encode_call


def flood(**given: object) -> Flood:
    """A minute in which nothing grew and everything was answered in time."""
    made = Flood(SHM, "dmabuf", "full", 60.0, 1000, 7, 7)
    made.times = [float(second) for second in range(60)]
    made.viewer, made.source = [30.0] * 60, [50.0] * 60
    made.late = [0.010, 0.020, 0.090]
    for name, value in given.items():
        setattr(made, name, value)
    return made


def test_nothing_is_wrong() -> None:
    assert flood().faults() == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"viewer": [30.0] * 10 + [34.1] * 50}, "the viewer grew by 4.1 MiB"),
        ({"source": [50.0] * 30 + [59.0] + [50.0] * 29}, "the source grew by 9.0 MiB"),
        ({"late": [0.010, 0.040, 0.040]}, "the newest picture came after 40 ms"),
        ({"late": [float("inf")]}, "the newest picture came after inf ms"),
        ({"wrong": 3}, "3 pixels are not those of the newest picture"),
        ({"answered": 6}, "6 answers to 7 calls"),
        ({"same": False}, "7 answers to 7 calls"),
    ],
)
def test_what_is_wrong(given: dict[str, object], words: str) -> None:
    assert flood(**given).faults() == [f"{SHM}, dmabuf full: {words}"]


def test_what_starting_takes_is_no_growth() -> None:
    assert flood(viewer=[20.0] * 9 + [120.0] * 51).faults() == []


def test_late_by_the_best() -> None:
    assert flood(late=[0.010, 0.040, 0.040]).faults(min) == []


# -- the hose --------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5.0)
        yield ours, theirs


def test_every_call_of_a_block_has_its_serial(pair: tuple[socket.socket, socket.socket]) -> None:
    block = Block(calls.UPDATE_MAP, (1, 2, 3, 4))
    assert block.count > 100
    block.send(pair[0], 1000, 3)
    sent = [encode_call(calls.UPDATE_MAP, serial, (1, 2, 3, 4)) for serial in range(1000, 1003)]
    assert pair[1].recv(4096) == b"".join(sent)


def test_pixels_of_a_block_can_be_painted(pair: tuple[socket.socket, socket.socket]) -> None:
    args = (0, 0, 2, 1, 8, 0x20020888, b"")
    block = Block(calls.UPDATE, args, b"\1" * 8)
    block.pixels[:] = 0xABCDEF
    block.send(pair[0], 7, 1)
    pixels = struct.pack("<II", 0xABCDEF, 0xABCDEF)
    assert pair[1].recv(4096) == encode_call(calls.UPDATE, 7, args, pixel_bytes=8) + pixels


def reply(serial: int, kind: int = 2) -> bytes:
    """What glview answers: no body, and one header field, REPLY_SERIAL."""
    return struct.pack("<4B3I4BI", ord("l"), kind, 1, 1, 0, 99, 8, 5, 1, ord("u"), 0, serial)


def test_answers_are_counted(pair: tuple[socket.socket, socket.socket]) -> None:
    answers = Answers(pair[0])
    data = reply(5) + reply(6) + reply(1 << 20)
    for part, count in ((data[:30], 1), (data[30:], 3)):
        pair[1].sendall(part)
        answers.wait(count)
    assert (answers.count, answers.total, answers.failure) == (3, 5 + 6 + (1 << 20), "")


def test_what_is_no_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    answers = Answers(pair[0])
    pair[1].sendall(reply(5, kind=3))
    answers.wait(2)
    assert answers.failure == "something came that is no empty answer"
