"""The listener thread against a peer that does what QEMU does, and what it never would.

Nobody draws here: whatever is answered is answered without a window.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from glview.qemu import livelock
from glview.qemu.listener import LISTENER, UNIX_DMABUF2, UNIX_MAP, Listener
from glview.scanout.formats import MOD_INVALID
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Mailbox, Pointer, Snapshot
from glview.scanout.memory import mapping
from glview.scanout.replies import REPLY_WITHIN
from glview.scanout.source import DmabufSource, PixelSource, Source
from glview.testing import calls
from glview.testing.hostile import BAD_CALLS, BROKEN_STREAMS
from glview.testing.link import encode_call
from glview.testing.listener import FakeListener
from glview.testing.pictures import XRGB8888, fourcc, memfd_picture, pack, unique
from tests.support.wait import until

WIDTH, HEIGHT = 6, 4
STRIDE = WIDTH * 4
PICTURE = unique(WIDTH, HEIGHT)
PIXELS = pack(PICTURE, XRGB8888).tobytes()
XR24 = fourcc("XR24")
ARGUMENTS = WIDTH, HEIGHT, STRIDE, XRGB8888, b""


class Pair:
    """A listener and the QEMU that it believes to talk to."""

    def __init__(self, *, big_endian: bool = False, **offers: bool) -> None:
        ours, theirs = socket.socketpair()
        self.news = threading.Event()
        self.closed = threading.Event()
        self.reason: str | None = None
        self.mailbox = Mailbox(self.news.set)
        self.listener = Listener(ours, self.mailbox, self._ended, **offers)
        self.listener.start()
        self.qemu = FakeListener(theirs, big_endian=big_endian)
        self.qemu.register()

    def _ended(self, reason: str) -> None:
        self.reason = reason
        self.closed.set()

    def take(self) -> Snapshot:
        """What came; waits for something."""
        assert self.news.wait(5.0)
        self.news.clear()
        return self.mailbox.take()

    def settle(self) -> None:
        """Wait until everything sent so far was handled."""
        assert self.qemu.call(calls.GET_ALL, (LISTENER,)).wait().ok

    def close(self) -> None:
        self.listener.close()
        self.mailbox.close()
        self.qemu.close()
        assert self.closed.wait(5.0)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture
def no_fd_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    deadline = time.monotonic() + 2.0
    while (left := set(os.listdir("/proc/self/fd"))) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left - before == set()


def rows(source: Source | None) -> bytes:
    assert isinstance(source, PixelSource)
    with source.reading():
        view = source.memory.view
        row = source.width * source.format.size
        return b"".join(
            bytes(view[y * source.stride : y * source.stride + row]) for y in range(source.height)
        )


# -- registration ------------------------------------------------------------------------------


def test_registration_keeps_qemu_waiting_for_milliseconds(pair: Pair) -> None:
    assert pair.qemu.interfaces == [UNIX_MAP, UNIX_DMABUF2]
    assert pair.qemu.auth_seconds + sum(pair.qemu.get_all_seconds) < 0.02


@pytest.mark.parametrize(
    ("declined", "offered"), [("offer_map", UNIX_DMABUF2), ("offer_dmabuf2", UNIX_MAP)]
)
def test_what_is_declined_is_not_offered(declined: str, offered: str) -> None:
    pair = Pair(**{declined: False})
    assert pair.qemu.interfaces == [offered]
    pair.close()


def test_the_standard_interfaces_are_answered(pair: Pair) -> None:
    def ask(interface: str, member: str, signature: str, *arguments: object) -> tuple[bool, str]:
        call = replace(calls.GET_ALL, interface=interface, member=member, signature=signature)
        reply = pair.qemu.call(call, arguments).wait()
        return reply.ok, str(reply.body)

    properties = "org.freedesktop.DBus.Properties"
    assert ask("org.freedesktop.DBus.Peer", "Ping", "") == (True, "()")
    ok, xml = ask("org.freedesktop.DBus.Introspectable", "Introspect", "")
    assert ok
    assert "ScanoutDMABUF2" in xml
    ok, value = ask(properties, "Get", "ss", LISTENER, "Interfaces")
    assert ok
    assert UNIX_MAP in value
    assert not ask(properties, "Get", "ss", LISTENER, "Nonsense")[0]
    assert not ask("no.such.Interface", "Method", "")[0]


# -- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("big_endian", [False, True])
def test_scanout_and_update(big_endian: bool) -> None:
    pair = Pair(big_endian=big_endian)
    pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS)
    news = pair.take()
    assert rows(news.source) == PIXELS
    assert news.damage == Rect(0, 0, WIDTH, HEIGHT)
    pair.qemu.update(1, 2, 1, 1, 4, XRGB8888, b"abcd")
    assert pair.take().damage == Rect(1, 2, 1, 1)
    expected = bytearray(PIXELS)
    expected[2 * STRIDE + 4 : 2 * STRIDE + 8] = b"abcd"
    assert rows(news.source) == bytes(expected)
    pair.close()


def test_large_frames_and_rectangles_again_and_again(pair: Pair) -> None:
    """From the second one on, their numbers come along with the header."""
    width, height = 200, 100
    frames = [os.urandom(width * height * 4) for _ in range(4)]
    for pixels in frames:
        pair.qemu.scanout(width, height, width * 4, XRGB8888, pixels)
        source = pair.take().source
        assert rows(source) == pixels
    for number, pixels in enumerate(frames):
        pair.qemu.update(0, number, width, 90, width * 4, XRGB8888, pixels[: width * 90 * 4])
    pair.settle()
    assert pair.take().damage == Rect(0, 0, width, 93)
    tops = b"".join(pixels[: width * 4] for pixels in frames[:3])
    below = frames[-1][width * 93 * 4 :]
    assert rows(source) == tops + frames[-1][: width * 90 * 4] + below


def test_bytes_after_the_last_pixel_are_ignored(pair: Pair) -> None:
    pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS + b"\xee" * 5120)
    pair.qemu.mouse_set(1, 2, 1)
    pair.settle()
    news = pair.take()
    assert rows(news.source) == PIXELS
    assert news.pointer == Pointer(1, 2, True)


def test_an_8k_scanout_of_more_than_the_array_limit_of_dbus(pair: Pair) -> None:
    width, height = 7680, 4320
    picture = bytearray(width * height * 4)
    picture[-4:] = b"\x56\x34\x12\x00"
    pair.qemu.scanout(width, height, width * 4, XRGB8888, memoryview(picture))
    pair.settle()
    source = pair.take().source
    assert isinstance(source, PixelSource)
    assert bytes(source.memory.view[-4:]) == b"\x56\x34\x12\x00"


def test_a_frame_that_stops_halfway_is_not_shown(pair: Pair) -> None:
    pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS)
    whole = pair.take().source
    header = encode_call(calls.SCANOUT, 99, ARGUMENTS, pixel_bytes=len(PIXELS))
    pair.qemu.send_raw(header + b"\xff" * (len(PIXELS) // 2))
    pair.qemu.close()
    assert pair.closed.wait(5.0)
    assert pair.reason == "the connection ended in the middle of a message"
    assert pair.mailbox.take().source is None
    assert rows(whole) == PIXELS


def test_shared_memory_is_mapped_and_answered_at_once(pair: Pair) -> None:
    with memfd_picture(PICTURE, offset=4100, stride=STRIDE + 8) as shared:
        reply = pair.qemu.scanout_map(
            shared.fd, shared.offset, WIDTH, HEIGHT, shared.stride, XRGB8888
        )
        assert reply.ok
        assert reply.seconds < 0.02
        news = pair.take()
        assert not news.updated
        assert rows(news.source) == PIXELS
        shared.draw(unique(2, 1), 1, 1)
        pair.qemu.update_map(1, 1, 2, 1)
        assert pair.take().damage == Rect(1, 1, 2, 1)
        assert rows(news.source) == pack(shared.picture(), XRGB8888).tobytes()  # live
    assert news.source is not None
    news.source.close()


@pytest.mark.usefixtures("no_fd_is_left")
def test_shared_memory_known_already(pair: Pair) -> None:
    """It is mapped as long as it is kept here or somebody has not closed a picture of it."""
    with memfd_picture(PICTURE) as shared:
        for number in range(4):
            args = shared.fd, 0, WIDTH, HEIGHT, shared.stride, XRGB8888
            assert pair.qemu.scanout_map(*args).ok
            source = pair.take().source
            assert isinstance(source, PixelSource)
            assert pair.listener.maps.counts.triple == (1, number, 0)
            assert rows(source) == PIXELS
            source.close()
            source.close()  # does nothing
            address = source.memory.address
            assert mapping(address) is not None
        assert pair.qemu.scanout_map(*args).ok
        held = pair.take().source
        pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS)
        pair.settle()
        assert rows(held) == PIXELS
        assert mapping(address) is not None
        assert held is not None
        held.close()
        assert mapping(address) is None


def test_stale_damage_means_everything(pair: Pair) -> None:
    with memfd_picture(PICTURE) as shared:
        pair.qemu.scanout_map(shared.fd, 0, WIDTH, HEIGHT, shared.stride, XRGB8888)
        pair.take()
        pair.qemu.update_map(0, HEIGHT, WIDTH, 80)
        assert pair.take().damage == Rect(0, 0, WIDTH, HEIGHT)


# -- dma-bufs ----------------------------------------------------------------------------------


def test_dmabuf_version_1(pair: Pair) -> None:
    with memfd_picture(PICTURE) as buffer:
        pair.qemu.scanout_dmabuf(buffer.fd, WIDTH, HEIGHT, buffer.stride, XR24, 0, True)
        source = pair.take().source
        assert isinstance(source, DmabufSource)
        assert os.fstat(source.planes[0].fd).st_ino == os.fstat(buffer.fd).st_ino
        assert source.y0_top
        source.close()


@pytest.mark.parametrize("given", [1, 2])
def test_planes_that_share_a_buffer_may_share_its_descriptor(pair: Pair, given: int) -> None:
    with memfd_picture(PICTURE) as buffer:
        pair.qemu.scanout_dmabuf2(
            (buffer.fd,) * given, 1, 2, 3, 1, (0, 8), (STRIDE, STRIDE), 2, XR24, WIDTH, HEIGHT
        )
        source = pair.take().source
        assert isinstance(source, DmabufSource)
        assert [(p.offset, p.stride) for p in source.planes] == [(0, STRIDE), (8, STRIDE)]
        assert (source.x, source.y, source.width, source.height) == (1, 2, 3, 1)
        assert len({p.fd for p in source.planes}) == given
        source.close()


def test_an_update_is_answered_when_the_main_thread_says_so(pair: Pair) -> None:
    with memfd_picture(PICTURE) as buffer:
        pair.qemu.scanout_dmabuf(buffer.fd, WIDTH, HEIGHT, buffer.stride, XR24, 0, False)
        pending = pair.qemu.update_dmabuf_later(0, 0, 2, 2)
        pair.settle()
        news = pair.take()
        assert not pending.answered
        pair.listener.answer(news.replies)
        assert pending.wait().seconds < REPLY_WITHIN
        assert news.source is not None
        news.source.close()


def test_updates_are_answered_together_and_each_once(pair: Pair) -> None:
    with memfd_picture(PICTURE) as buffer:
        pair.qemu.scanout_dmabuf(buffer.fd, WIDTH, HEIGHT, buffer.stride, XR24, 0, False)
        pending = [pair.qemu.update_dmabuf_later(0, 0, 2, 2) for _ in range(300)]
        pair.settle()
        news = pair.take()
        assert not pair.qemu.strays
        pair.listener.answer(news.replies)
        assert all(call.wait().ok for call in pending)
        pair.settle()
        assert not pair.qemu.strays  # where a second answer to a call would be
        assert news.source is not None
        news.source.close()


def test_an_update_nobody_draws_is_answered_all_the_same(pair: Pair) -> None:
    with memfd_picture(PICTURE) as buffer:
        pair.qemu.scanout_dmabuf(buffer.fd, WIDTH, HEIGHT, buffer.stride, XR24, 0, False)
        pending = [pair.qemu.update_dmabuf_later(0, 0, 1, 1) for _ in range(5)]
        replies = [p.wait() for p in pending]
        assert all(reply.ok for reply in replies)
        assert all(REPLY_WITHIN * 0.9 < reply.seconds < REPLY_WITHIN * 2 for reply in replies)
        assert pair.mailbox.replies.forced == 5


def test_hidden_an_update_is_answered_at_once(pair: Pair) -> None:
    pair.mailbox.set_hidden(True)
    with memfd_picture(PICTURE) as buffer:
        pair.qemu.scanout_dmabuf(buffer.fd, WIDTH, HEIGHT, buffer.stride, XR24, 0, False)
        assert pair.qemu.update_dmabuf(0, 0, 1, 1).seconds < 0.02


@pytest.fixture
def endless(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A guest whose flush never ends, and whose updates are held back already."""
    monkeypatch.setattr(livelock, "AFTER", 0.1)
    monkeypatch.setattr(livelock, "BEHIND", 1.0)
    monkeypatch.setattr(livelock, "FRAME", 0.3)
    pair.mailbox.set_hidden(True)
    with memfd_picture(PICTURE) as buffer:
        size = WIDTH, HEIGHT
        pair.qemu.scanout_dmabuf(buffer.fd, *size, buffer.stride, XR24, MOD_INVALID, False)
        until(lambda: pair.qemu.update_dmabuf(0, 0, *size).seconds > 0.15, "an update held back")
        yield pair


def test_a_flush_that_never_ends_is_slowed_down(endless: Pair) -> None:
    """The pointer has nothing to do with it."""
    pending = endless.qemu.update_dmabuf_later(0, 0, WIDTH, HEIGHT)
    for x in range(10):
        endless.qemu.mouse_set(x, 0, 1)
    endless.settle()
    assert not pending.answered
    assert 0.15 < pending.wait().seconds < 0.35
    assert pending.wait().ok


@pytest.mark.parametrize("call", ["disable", "bytes", "buffer", "update"])
def test_what_is_held_back_is_passed_on_first(endless: Pair, call: str) -> None:
    """Before anything else that has to do with pictures."""
    pending = endless.qemu.update_dmabuf_later(0, 0, WIDTH, HEIGHT)
    with memfd_picture(PICTURE) as buffer:
        qemu, stride = endless.qemu, buffer.stride
        make: dict[str, Callable[[], object]] = {
            "disable": qemu.disable,
            "bytes": lambda: qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS),
            "buffer": lambda: qemu.scanout_dmabuf(buffer.fd, WIDTH, HEIGHT, stride, XR24),
            "update": lambda: qemu.update_dmabuf_later(0, 0, WIDTH, HEIGHT),
        }
        make[call]()
        assert pending.wait().seconds < 0.15


def test_an_update_of_a_buffer_that_never_came_is_answered_at_once(pair: Pair) -> None:
    reply = pair.qemu.update_dmabuf(0, 0, 640, 480)
    assert reply.ok
    assert reply.seconds < 0.02


# -- nonsense ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_fd_is_left")
@pytest.mark.parametrize("name", BAD_CALLS)
def test_nonsense_is_refused_and_the_connection_lives(name: str) -> None:
    pair = Pair()
    BAD_CALLS[name](pair.qemu)
    pair.settle()
    pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS)
    pair.settle()
    source = pair.take().source
    assert rows(source) == PIXELS
    pair.close()


@pytest.mark.usefixtures("no_fd_is_left")
@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_a_broken_stream_ends_the_connection_in_words(name: str) -> None:
    pair = Pair()
    BROKEN_STREAMS[name](pair.qemu)
    if not pair.closed.wait(1.0):
        pair.qemu.close()  # it waits for the rest of a message
    assert pair.closed.wait(5.0)
    assert bool(pair.reason) == (name != "the end, between two messages")
    pair.close()


@pytest.mark.usefixtures("no_fd_is_left")
def test_closing_ends_the_thread_in_the_middle_of_a_body() -> None:
    pair = Pair()
    header = encode_call(calls.SCANOUT, 9, ARGUMENTS, pixel_bytes=len(PIXELS))
    pair.qemu.send_raw(header)
    pair.close()


# -- the console's size, from another connection ---------------------------------------------------


def test_a_size_that_arrives_before_older_pictures_still_counts(pair: Pair) -> None:
    """Mode switches are announced by the console's properties only, in any order."""
    pair.listener.console_resized(4, 2)
    pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS)
    assert pair.take().damage == Rect(0, 0, WIDTH, HEIGHT)
    source = pair.take().source
    assert isinstance(source, PixelSource)
    assert (source.width, source.height) == (4, 2)


def test_a_size_that_arrives_late_crops_what_is_there(pair: Pair) -> None:
    pair.qemu.scanout(WIDTH, HEIGHT, STRIDE, XRGB8888, PIXELS)
    pair.take()
    pair.listener.console_resized(4, 9)
    source = pair.take().source
    assert isinstance(source, PixelSource)
    assert (source.width, source.height) == (4, HEIGHT)
