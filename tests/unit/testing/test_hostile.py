"""The catalogues of nonsense are what they say: readable messages here, broken streams there."""

from __future__ import annotations

import os
import threading

import pytest

from glview.errors import ProtocolError
from glview.testing.hostile import BAD_CALLS, BROKEN_STREAMS
from glview.testing.link import Reply
from tests.unit.testing.raw_client import close_fds, listening


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_call_is_a_whole_message_and_the_next_one_follows(name: str) -> None:
    results: list[Reply | None] = []
    with listening() as (listener, raw):
        thread = threading.Thread(target=lambda: results.append(BAD_CALLS[name](listener)))
        thread.start()
        call = raw.next()
        assert call is not None
        close_fds(call)
        if not call.flags & 1:
            raw.refuse(call)
        thread.join(timeout=10)
        (reply,) = results
        assert (reply is None) is bool(call.flags & 1)
        assert reply is None or reply.error == "org.example.No"
        listener.disable()
        raw.expect("Disable")


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_after_a_broken_stream_there_is_no_next_message(name: str) -> None:
    with listening() as (listener, raw):
        BROKEN_STREAMS[name](listener)
        try:
            assert raw.next() is None
            ended = True
        except ProtocolError:
            ended = False
        assert ended is (name == "the end, between two messages")


def test_bad_calls_leave_no_descriptor_open() -> None:
    with listening() as (listener, raw):
        before = len(os.listdir("/proc/self/fd"))
        for name in ("map of a pipe", "map of /dev/null", "dmabuf2 of a pipe"):
            thread = threading.Thread(target=lambda name=name: BAD_CALLS[name](listener))
            thread.start()
            call = raw.next()
            assert call is not None
            close_fds(call)
            if not call.flags & 1:
                raw.refuse(call)
            thread.join(timeout=10)
        assert len(os.listdir("/proc/self/fd")) == before
