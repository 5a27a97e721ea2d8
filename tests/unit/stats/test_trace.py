"""The trace file: valid whatever happens, and no picture waits for the disk."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glview.errors import OutputError
from glview.stats.recorder import COPIED, Recorder
from glview.stats.trace import BACKLOG, MOST_UPDATES, Trace
from tests.support.stats import EXACT, journeys, read_trace
from tests.unit.stats.test_recorder import come, show


def test_stages_add_up(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    recorder = Recorder()
    recorder.start()
    with Trace(path) as trace:
        recorder.sink = trace.put
        for number in range(1, 10):
            for _ in range(number):
                come(recorder)
            show(recorder)
    events = read_trace(path)
    found = journeys(events)
    assert sorted(found) == list(range(1, 46))
    for update in recorder.newest():
        assert update.frame is not None
        journey = found[update.number]
        latency = (update.frame.swapped - update.arrived) * 1e6
        assert sum(journey.stages.values()) == pytest.approx(latency, abs=20 * EXACT)
        assert journey.about["merged"] == (update.number != update.frame.last)
    assert sum(event["name"] == "to screen" for event in events) == 9


def test_a_copy_by_the_cpu_takes_its_time_beside_the_listener_thread(tmp_path: Path) -> None:
    """Which goes on receiving: their slices would overlap."""
    path = tmp_path / "trace"
    recorder = Recorder()
    recorder.start()
    with Trace(path) as trace:
        recorder.sink = trace.put
        recorder.arrive()
        recorder.offer(COPIED, 1)
        recorder.arrive()
        recorder.note()
        recorder.offer(COPIED, 2)
        recorder.note()
        recorder.reply(1)
        show(recorder)
    events = read_trace(path)
    assert all("waits for the CPU's copy" in each.stages for each in journeys(events).values())
    assert [e["args"]["update"] for e in events if e["name"] == "reply"] == [1]


def test_frames_that_are_under_way_at_a_time(tmp_path: Path) -> None:
    """Without pacing: the screen takes one after the other."""
    path = tmp_path / "trace"
    recorder = Recorder()
    recorder.start()
    with Trace(path) as trace:
        recorder.sink = trace.put
        frames = []
        for _ in range(3):
            come(recorder)
            recorder.look()
            recorder.draw(time.monotonic())
            frames.append(recorder.swap())
        for frame in frames:
            assert frame is not None
            recorder.finish(frame, shown=True)
    assert sum(event["name"] == "to screen" for event in read_trace(path)) == 3


def test_without_an_update_it_is_valid_too(tmp_path: Path) -> None:
    Trace(tmp_path / "trace").close()
    assert {event["ph"] for event in read_trace(tmp_path / "trace")} == {"M"}


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no-such/trace: No such file"):
        Trace(tmp_path / "no-such" / "trace")


def test_a_disk_that_is_full(caplog: pytest.LogCaptureFixture) -> None:
    """Is said, once; everything else goes on."""
    recorder = Recorder()
    recorder.start()
    with caplog.at_level(logging.WARNING), Trace(Path("/dev/full")) as trace:
        recorder.sink = trace.put
        for _ in range(200):
            come(recorder)
            show(recorder)
    (record,) = caplog.records
    assert "/dev/full is not complete: No space left" in record.getMessage()


def test_a_disk_that_stands_still(tmp_path: Path) -> None:
    """A pipe that nobody reads yet: nobody waits for it, and what waits in memory is bounded."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder()
    recorder.start()
    trace = Trace(path)
    recorder.sink = trace.put
    for _ in range(2 * BACKLOG):
        come(recorder)
        show(recorder)
    os.set_blocking(reader, True)
    with open(reader, "rb") as file, ThreadPoolExecutor() as pool:
        rest = pool.submit(file.read)
        trace.close()
        copy = tmp_path / "copy"
        copy.write_bytes(rest.result())
    found = journeys(read_trace(copy))
    assert 2 * BACKLOG in found
    assert BACKLOG <= len(found) < 2 * BACKLOG


def test_frames_of_many_updates(tmp_path: Path) -> None:
    """Waiting records are bounded by updates, too: a flood has some hundred in each frame."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    recorder = Recorder()
    recorder.start()
    trace = Trace(path)  # and nobody reads it
    recorder.sink = trace.put
    for _ in range(100):
        for _ in range(500):
            come(recorder)
        show(recorder)
    waiting = sum(len(updates) for _, updates in trace._frames)
    assert MOST_UPDATES // 2 < waiting <= MOST_UPDATES
    with path.open("rb") as file, ThreadPoolExecutor() as pool:
        rest = pool.submit(file.read)
        trace.close()
        rest.result()
    assert trace._taken == trace._gone
