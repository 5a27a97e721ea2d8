"""The slot between the threads: newest wins, damage adds up, every reply is sent once."""

from __future__ import annotations

import os
import select
import time

import pytest

from glview.scanout.formats import XRGB8888
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Mailbox, WakeUp
from glview.scanout.memory import Memory
from glview.scanout.replies import REPLY_WITHIN
from glview.scanout.source import MapSource

A, B = Rect(0, 0, 2, 2), Rect(4, 4, 1, 1)


class Source(MapSource):
    def __init__(self) -> None:
        super().__init__(Memory(64), 4, 4, 16, XRGB8888)
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Bell:
    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


def test_it_rings_once_until_somebody_looks() -> None:
    bell = Bell()
    mailbox = Mailbox(bell)
    mailbox.put_damage(A)
    mailbox.put_damage(B)
    assert bell.rings == 1
    mailbox.take()
    mailbox.put_damage(A)
    assert bell.rings == 2


def test_damage_adds_up_and_is_given_once() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.put_damage(A)
    mailbox.put_damage(B)
    news = mailbox.take()
    assert news.damage == Rect(0, 0, 5, 5)
    assert news.updated
    assert mailbox.take().damage is None


def test_a_source_nobody_looked_at_is_closed() -> None:
    mailbox = Mailbox(lambda: None)
    old, new = Source(), Source()
    mailbox.put_source(old, A, updated=False)
    mailbox.put_source(new, A, updated=False)
    assert old.closed
    assert mailbox.take().source is new
    mailbox.close()
    assert not new.closed  # it is the taker's


def test_a_new_scanout_forgets_damage_of_the_old_one() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.put_damage(Rect(100, 100, 9, 9))
    mailbox.put_source(Source(), A, updated=False)
    news = mailbox.take()
    assert news.damage == A
    assert not news.updated


def test_replies_are_claimed_once_by_the_main_thread() -> None:
    mailbox = Mailbox(lambda: None)
    assert mailbox.put_update(A, 7)
    assert mailbox.put_update(B, 8)
    assert mailbox.take().replies == [7, 8]
    assert mailbox.replies.claim([7, 8]) == [7, 8]
    assert mailbox.replies.claim([7, 8]) == []
    assert mailbox.replies.due is None


def test_an_update_after_the_look_waits_for_the_next_one() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.put_update(A, 7)
    seen = mailbox.take().replies
    mailbox.put_update(A, 8)
    assert mailbox.replies.claim(seen) == [7]
    assert mailbox.take().replies == [8]


def test_replies_not_claimed_in_time_are_the_listeners() -> None:
    mailbox = Mailbox(lambda: None)
    before = time.monotonic()
    mailbox.put_update(A, 7)
    deadline = mailbox.replies.due
    assert deadline is not None
    assert before + REPLY_WITHIN <= deadline <= time.monotonic() + REPLY_WITHIN
    assert mailbox.replies.pop_overdue(deadline - 0.001) == []
    assert mailbox.replies.pop_overdue(deadline) == [7]
    assert mailbox.replies.claim([7]) == []
    assert mailbox.replies.forced == 1


def test_hidden_nothing_waits_for_a_draw() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.set_hidden(True)
    assert not mailbox.put_update(A, 7)
    news = mailbox.take()
    assert news.replies == []
    assert news.damage == A  # drawn when the window is back


def test_a_bell_that_nobody_hears_any_more_may_still_be_rung() -> None:
    """A thread or a signal may come late, when the descriptor is somebody else's already."""
    bell = WakeUp()
    number = bell.signal_fd
    bell.close()
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.dup2(writer, number)
    bell.ring()
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    for fd in {reader, writer, number}:
        os.close(fd)


def test_a_bell_rings_until_it_is_cleared_however_often_it_was_rung() -> None:
    bell = WakeUp()
    for _ in range(100_000):  # more than a pipe holds
        bell.ring()
    assert select.select([bell.fd], [], [], 0)[0]
    bell.clear()
    assert not select.select([bell.fd], [], [], 0)[0]
    bell.ring()
    assert select.select([bell.fd], [], [], 0)[0]
    bell.close()
