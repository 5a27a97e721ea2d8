"""What `--stats` and `--trace` say, taken apart."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

Event = dict[str, Any]

_LINE = re.compile(
    r"^glview: \d+ updates/s \((\d+)\), \d+ frames/s \((\d+)\), \d+ drops/s \((\d+)\), "
    r"to reply (\S+)/(\S+) ms, to swap (\S+)/(\S+) ms, to screen (\S+)/(\S+) ms, "
    r"upload ([\d.]+) MB/s by (.+), (\d+) imports, (\d+) hits, (\d+) evictions$",
    re.MULTILINE,
)
EXACT = 0.01
"""Microseconds that sums of numbers with three decimals may be off by."""


class Line(NamedTuple):
    """One line of `--stats`. Totals; medians and 99th percentiles in milliseconds."""

    updates: int
    frames: int
    drops: int
    to_reply: tuple[float, float] | None
    to_swap: tuple[float, float] | None
    to_screen: tuple[float, float] | None
    upload: float  # MB/s
    transport: str
    buffers: tuple[int, ...]  # imports, hits, evictions


def lines(output: str) -> list[Line]:
    """All lines of figures in what a viewer wrote."""
    return [_line(*found.groups()) for found in _LINE.finditer(output)]


def _line(*words: str) -> Line:
    updates, frames, drops = map(int, words[:3])
    reply, swap, screen = (_pair(*words[at : at + 2]) for at in (3, 5, 7))
    counts = tuple(map(int, words[11:]))
    return Line(*(updates, frames, drops, reply, swap, screen, float(words[9]), words[10], counts))


def _pair(p50: str, p99: str) -> tuple[float, float] | None:
    return None if p50 == "-" else (float(p50), float(p99))


class Journey(NamedTuple):
    """An update as a trace has it; times in microseconds of `time.monotonic`'s clock."""

    arrived: float
    swapped: float
    stages: dict[str, float]  # lasted
    about: dict[str, Any]


def read_trace(path: Path) -> list[Event]:
    """The events of a trace file, every one of them checked against the format."""
    events: list[Event] = json.loads(path.read_text())
    assert isinstance(events, list)
    for event in events:
        assert {"name", "ph", "ts", "pid", "tid", "args"} <= event.keys(), event
        assert event["ph"] in {"X", "b", "e", "i", "M"}, event
        assert isinstance(event["ts"], int | float), event
        assert isinstance(event["pid"], int), event
        assert isinstance(event["tid"], int), event
        assert event["ph"] != "X" or event["dur"] >= 0, event
        assert event["ph"] not in "be" or {"cat", "id"} <= event.keys(), event
    _check_tracks(events)
    _check_pairs(events)
    return events


def _check_tracks(events: list[Event]) -> None:
    """Every track has a name, and its slices lie in or beside each other."""
    named = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["tid"]].append((event["ts"], -event["dur"], event["name"]))
    assert tracks.keys() <= named.keys()
    for slices in tracks.values():
        ends: list[float] = []
        for begin, minus_length, name in sorted(slices):
            while ends and ends[-1] <= begin + EXACT:
                ends.pop()
            end = begin - minus_length
            assert not ends or end <= ends[-1] + EXACT, f"{name} overlaps another slice"
            ends.append(end)


def _check_pairs(events: list[Event]) -> None:
    """Every "b" has its "e", not earlier, and they nest."""
    rows = defaultdict(list)
    for event in events:
        if event["ph"] in "be":
            rows[event["cat"], event["id"]].append(event)
    for row in rows.values():
        pairs = _pairs(row)
        outer = pairs[0]
        for name, begin, end in pairs:
            assert outer[1] - EXACT <= begin <= end + EXACT <= outer[2] + 2 * EXACT, name


def _pairs(row: list[Event]) -> list[tuple[str, float, float]]:
    begins = {e["name"]: e["ts"] for e in row if e["ph"] == "b"}
    ends = {e["name"]: e["ts"] for e in row if e["ph"] == "e"}
    assert begins.keys() == ends.keys()
    assert 2 * len(begins) == len(row)
    return [(name, begins[name], ends[name]) for name in begins]


def journeys(events: list[Event]) -> dict[int, Journey]:
    """What became of every update, by its number."""
    rows, of_update, of_frame = defaultdict(list), defaultdict(list), defaultdict(list)
    for event in events:
        about = event["args"]
        if event["ph"] in "be":
            rows[event["id"]].append(event)
        elif event["ph"] == "X" and "update" in about:
            of_update[about["update"]].append(event)
        elif event["ph"] == "X" and event["name"] != "to screen":
            of_frame[about["frame"]].append(event)
    found = {}
    for number, row in rows.items():
        (_, arrived, swapped), *waits = _pairs(row)
        about = row[0]["args"]
        slices = of_update[number] + of_frame[about["frame"]]
        stages = [(name, end - begin) for name, begin, end in waits]
        stages += [(event["name"], event["dur"]) for event in slices]
        assert len(dict(stages)) == len(stages), stages
        found[number] = Journey(arrived, swapped, dict(stages), about)
    return found
