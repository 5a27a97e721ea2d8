"""Events of a session do not pile up while the main thread is busy."""

from __future__ import annotations

import queue

import pytest

from glview.qemu.events import Event, EventQueue, Gone, PointerKind, Waiting


def test_events_come_in_their_order() -> None:
    events = EventQueue()
    given: list[Event] = [Waiting(), PointerKind(True), Gone("x"), PointerKind(False), Waiting()]
    for event in given:
        events.put(event)
    assert [events.get_nowait() for _ in given] == given
    with pytest.raises(queue.Empty):
        events.get_nowait()


def test_only_the_newest_kind_of_pointer_is_kept() -> None:
    """A VM may change it for ever while the window system stands still."""
    events = EventQueue()
    events.put(Waiting())
    for number in range(100_001):
        events.put(PointerKind(number % 2 == 0))
    assert len(events._events) == 2
    assert [events.get_nowait(), events.get_nowait()] == [Waiting(), PointerKind(True)]
