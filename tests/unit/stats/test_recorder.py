"""How far updates have got, and that remembering it takes no more memory the longer it goes on."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from glview.stats.recorder import KEPT, MAP, Frame, Recorder, Update


@pytest.fixture
def recorder() -> Recorder:
    """One that records."""
    made = Recorder()
    made.start()
    return made


def come(recorder: Recorder, serial: int = 0) -> None:
    """An update comes, up to the mailbox."""
    recorder.arrive()
    recorder.offer(MAP, serial)
    recorder.note()


def show(recorder: Recorder, *, shown: bool = True) -> None:
    """A frame of all that is in the mailbox."""
    recorder.look()
    recorder.accept(time.monotonic(), 100)
    recorder.draw(time.monotonic())
    frame = recorder.swap()
    assert frame is not None
    recorder.finish(frame, shown=shown)


def test_every_stage_in_its_order(recorder: Recorder) -> None:
    done: list[tuple[Frame, list[Update]]] = []
    recorder.sink = lambda frame, updates: done.append((frame, updates))
    come(recorder)
    show(recorder)
    ((frame, (update,)),) = done
    assert update.frame is frame
    times = [
        *(update.arrived, update.received, update.noted, update.looked, frame.begun),
        *(frame.accepted, frame.drawing, frame.drawn, frame.swapped, frame.shown),
    ]
    assert times[0] > 0
    assert times == sorted(times)
    assert update.replied == update.noted
    assert (recorder.offered, recorder.frames, recorder.drops) == (1, 1, 0)
    assert recorder.uploaded == 100


def test_merged_updates_are_drops(recorder: Recorder) -> None:
    for _ in range(3):
        come(recorder)
    assert recorder.drops == 2, "one of them may be shown yet"
    show(recorder)
    assert (recorder.offered, recorder.frames, recorder.drops) == (3, 1, 2)
    show(recorder)
    assert (recorder.offered, recorder.frames, recorder.drops) == (3, 1, 2), "no update, no frame"


def test_what_comes_after_the_look_is_the_next_frame_s(recorder: Recorder) -> None:
    come(recorder)
    recorder.look()
    come(recorder)
    recorder.accept(time.monotonic(), 0)
    recorder.draw(time.monotonic())
    recorder.swap()
    first, second = sorted(recorder.newest(), key=lambda update: update.number)
    assert first.frame is not None
    assert second.frame is None
    show(recorder)
    assert second.frame is not first.frame
    assert (recorder.frames, recorder.drops) == (2, 0)


def test_a_dma_buf_that_is_not_read_yet_is_not_in_the_frame(recorder: Recorder) -> None:
    """Looked at, but drawn is what was read before."""
    come(recorder, serial=7)
    recorder.look()
    recorder.draw(time.monotonic())
    recorder.swap()
    (update,) = recorder.newest()
    assert update.frame is None
    assert recorder.frames == 0


def test_a_frame_for_which_nothing_was_read(recorder: Recorder) -> None:
    """The pointer moved: no earlier upload is its."""
    come(recorder)
    show(recorder)
    drawing = time.monotonic()
    recorder.draw(drawing)
    frame = recorder.swap()
    assert frame is not None
    assert frame.begun == frame.accepted == frame.drawing == drawing


def test_answers(recorder: Recorder) -> None:
    come(recorder, serial=7)
    (update,) = recorder.newest()
    recorder.reply(6)
    assert not update.replied
    recorder.reply(7)
    assert update.replied >= update.noted
    was = update.replied
    recorder.reply(7)
    assert update.replied == was


def test_what_a_vm_leaves_behind_is_never_shown(recorder: Recorder) -> None:
    come(recorder)
    come(recorder, serial=7)
    recorder.forget()
    assert recorder.drops == 2
    recorder.reply(7)  # the next VM's
    assert not max(recorder.newest(), key=lambda update: update.number).replied
    come(recorder)
    show(recorder)
    assert (recorder.offered, recorder.frames, recorder.drops) == (3, 1, 2)


def test_nothing_is_under_way_when_recording_begins_again(recorder: Recorder) -> None:
    recorder.start()
    recorder.stop()
    assert recorder.on, "somebody else still wants it"
    come(recorder)
    recorder.stop()
    assert not recorder.on
    recorder.start()
    assert recorder.drops == 1


def test_a_header_that_came_when_nothing_was_recorded() -> None:
    recorder = Recorder()
    recorder.start()
    recorder.offer(MAP)
    (update,) = recorder.newest()
    assert 0 < update.arrived <= update.received


def test_a_flood_that_nobody_looks_at(recorder: Recorder) -> None:
    """Whether or not QEMU is answered: the newest are remembered, the rest is counted."""
    for _ in range(KEPT):
        come(recorder)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for serial in range(1, 5 * KEPT):
            come(recorder, serial)
            recorder.reply(serial)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < KEPT * 400
    assert len(recorder.newest()) == KEPT
    show(recorder)
    assert (recorder.offered, recorder.frames) == (6 * KEPT - 1, 1)
    assert recorder.drops == 6 * KEPT - 2
    assert all(update.frame is not None for update in recorder.newest())
