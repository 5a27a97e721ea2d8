"""The queue before the standard error: nobody waits, and what is lost is counted."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

import pytest

from glview.log import Formatter
from glview.output import Outlet, Stderr
from tests.support.halted import FullPipe


def test_lines_come_out_in_turn() -> None:
    reader, writer = os.pipe()
    outlet = Outlet(writer)
    for number in range(1000):
        outlet.put(f"{number}\n".encode())
    assert outlet.flush(5.0)
    os.close(writer)
    with os.fdopen(reader) as read:
        assert [int(line) for line in read] == list(range(1000))


def test_nobody_waits_and_losses_are_counted_in_their_place() -> None:
    pipe = FullPipe()
    outlet = Outlet(pipe.writer, capacity=1000)
    began = time.monotonic()
    for number in range(100_000):
        outlet.put(f"line {number:05}\n".encode())
    assert not outlet.flush(0.0)
    assert time.monotonic() - began < 5.0
    pipe.resume()
    assert outlet.flush(10.0)
    outlet.put(b"later\n")
    assert outlet.flush(10.0)
    os.close(pipe.writer)
    until_end = time.monotonic() + 5
    while "later" not in pipe.text and time.monotonic() < until_end:
        time.sleep(0.01)
    lines = pipe.text.strip("\0").splitlines()
    kept = len([line for line in lines if line.startswith("line ")])
    assert 80 <= kept <= 91
    assert lines[kept] == f"glview: {100_000 - kept} lines were lost here: nobody read this output"
    assert lines[kept + 1] == "later"


def test_an_error_is_kept_and_ends_nothing() -> None:
    with open("/dev/full", "wb") as full:
        outlet = Outlet(full.fileno())
        outlet.put(b"one\n")
        assert outlet.flush(5.0)
        assert outlet.failure is not None
        outlet.put(b"two\n")
        assert outlet.flush(5.0)


def test_threads_do_not_mix_their_lines() -> None:
    reader, writer = os.pipe()
    outlet = Outlet(writer)
    stream = Stderr(outlet, "utf-8")

    def talk(letter: str) -> None:
        for _ in range(200):
            print(letter * 10, letter * 10, file=stream)

    threads = [threading.Thread(target=talk, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outlet.flush(5.0)
    os.close(writer)
    with os.fdopen(reader) as read:
        lines = read.read().splitlines()
    assert len(lines) == 800
    assert all(len(set(line) - {" "}) == 1 for line in lines)


def test_what_the_encoding_lacks_is_escaped() -> None:
    reader, writer = os.pipe()
    outlet = Outlet(writer)
    print("für \x1b \udcff 日", file=Stderr(outlet, "ascii"))
    assert outlet.flush(5.0)
    os.close(writer)
    with os.fdopen(reader, "rb") as read:
        assert read.read() == rb"f\xfcr \x1b \udcff \u65e5" + b"\n"


@pytest.mark.parametrize("text", ["\x1b[31m\x07", "a\nb", "\u202e", "\ud800", "x" * 1_000_000])
def test_every_record_is_one_printable_line(text: str) -> None:
    record = logging.LogRecord("test", logging.WARNING, "", 0, "said: %s", (text,), None)
    line = Formatter().format(record)
    assert line.startswith("glview: said: ")
    assert line.isprintable()
    assert len(line) < 2100


def test_a_traceback_is_lines_of_printable_characters() -> None:
    try:
        raise ValueError("\x1b[31m\u202e")
    except ValueError:
        record = logging.LogRecord("test", logging.INFO, "", 0, "why", (), sys.exc_info())
    text = Formatter().format(record)
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"ValueError: \x1b[31m\u202e" in text
