"""dma-bufs copied by the CPU: answered when read, in time however slow, never shown too late."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from glview.scanout import copier as module
from glview.scanout.copier import Copier, copyable, exporter
from glview.scanout.formats import MOD_INVALID, MOD_LINEAR, fourcc_code
from glview.scanout.geometry import Rect
from glview.scanout.mailbox import Mailbox, Snapshot
from glview.scanout.replies import REPLY_WITHIN
from glview.scanout.source import DmabufSource, PixelSource, Plane

WIDTH, HEIGHT, STRIDE, OFFSET = 5, 4, 24, 8
XR24 = fourcc_code("XR24")


class Bench:
    """A copier whose answers and pictures are collected."""

    def __init__(self) -> None:
        self.news = threading.Event()
        self.mailbox = Mailbox(self.news.set)
        self.answered: list[int] = []
        self.answer = threading.Condition()
        self.copier = Copier(self.mailbox, self._answered)
        self.fd = os.memfd_create("buffer")
        self.fill(0)

    def _answered(self, serials: list[int]) -> None:
        with self.answer:
            self.answered += self.copier.replies.claim(serials)
            self.answer.notify()

    def fill(self, seed: int) -> None:
        """Other bytes in all of the buffer."""
        self.bytes = bytes((i * 7 + seed) % 251 for i in range(OFFSET + STRIDE * HEIGHT))
        os.pwrite(self.fd, self.bytes, 0)

    def source(self, modifier: int = MOD_LINEAR, fourcc: int = XR24, *, up: bool = False) -> Dma:
        plane = Plane(os.dup(self.fd), OFFSET, STRIDE)
        rect, backing = (1, 0, WIDTH - 1, HEIGHT), (WIDTH, HEIGHT)
        return DmabufSource((plane,), rect, backing, fourcc, modifier, up)

    def whole(self) -> Dma:
        """All of the buffer, so that rectangles mean what they say."""
        plane = Plane(os.dup(self.fd), OFFSET, STRIDE)
        size = WIDTH, HEIGHT
        return DmabufSource((plane,), (0, 0, *size), size, XR24, MOD_LINEAR, False)

    def rows(self, x: int = 1) -> list[bytes]:
        """What the picture should be."""
        starts = (OFFSET + y * STRIDE + x * 4 for y in range(HEIGHT))
        return [self.bytes[at : at + (WIDTH - x) * 4] for at in starts]

    def wait_answers(self, *serials: int) -> None:
        with self.answer:
            assert self.answer.wait_for(lambda: self.answered == list(serials), 2.0), self.answered

    def take(self) -> Snapshot:
        assert self.news.wait(2.0)
        self.news.clear()
        return self.mailbox.take()

    def close(self) -> None:
        self.copier.close()
        self.mailbox.close()
        os.close(self.fd)


Dma = DmabufSource


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def shown(snapshot: Snapshot) -> list[bytes]:
    source = snapshot.source
    assert isinstance(source, PixelSource)
    with source.reading():
        row = source.width * 4
        starts = range(0, source.stride * source.height, source.stride)
        rows = [bytes(source.memory.view[at : at + row]) for at in starts]
    source.close()
    return rows


@pytest.mark.parametrize("up", [False, True])
def test_a_part_of_a_buffer_either_way_up(bench: Bench, up: bool) -> None:
    bench.copier.show(bench.source(up=up), [])
    want = bench.rows()[::-1] if up else bench.rows()
    assert shown(bench.take()) == want
    bench.fill(9)
    bench.copier.want(Rect(0, 0, 1, 1), 4)
    bench.wait_answers(4)
    want = bench.rows()[::-1] if up else bench.rows()
    assert shown(bench.take()) == want  # such rectangles do not tell what changed


def test_only_the_rectangle_is_read_again(bench: Bench) -> None:
    bench.copier.show(bench.whole(), [])
    before = bench.rows(0)
    news = bench.take()
    assert isinstance(news.source, PixelSource)
    bench.fill(3)
    bench.copier.want(Rect(2, 1, 2, 2), 7)
    bench.wait_answers(7)
    assert bench.take().damage == (2, 1, 2, 2)
    after = bench.rows(0)
    for y in (1, 2):
        before[y] = before[y][:8] + after[y][8:16] + before[y][16:]
    assert shown(news) == before


class Slow:
    """Memory that takes long to read: as long as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reading, self.go_on = threading.Event(), threading.Event()
        read = module._Mapped.read

        def slow(mapped: module._Mapped, rect: Rect, target: memoryview) -> None:
            self.reading.set()
            assert self.go_on.wait(5.0)
            read(mapped, rect, target)

        monkeypatch.setattr(module._Mapped, "read", slow)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """Reading stands still until told to go on."""
    return Slow(monkeypatch)


def test_answered_when_read_and_not_before(bench: Bench, memory: Slow) -> None:
    """Memory that takes long to read: the listener thread answers for it meanwhile."""
    bench.copier.show(bench.whole(), [])
    assert memory.reading.wait(2.0)
    begin = time.monotonic()
    bench.copier.want(Rect(0, 0, 1, 1), 1)  # does not wait
    bench.copier.want(Rect(0, 0, 1, 1), 2)
    assert time.monotonic() - begin < REPLY_WITHIN / 2
    assert bench.answered == []
    deadline = bench.copier.replies.due
    assert deadline is not None
    assert begin < deadline < begin + 2 * REPLY_WITHIN
    assert bench.copier.replies.pop_overdue(deadline) == [1]
    memory.go_on.set()
    bench.wait_answers(2)


def test_nothing_is_shown_after_another_scanout(bench: Bench, memory: Slow) -> None:
    bench.copier.show(bench.whole(), [])
    assert memory.reading.wait(2.0)
    bench.copier.want(Rect(0, 0, 1, 1), 5)
    bench.copier.forget()
    assert not bench.copier.active
    memory.go_on.set()
    bench.wait_answers(5)
    assert not bench.news.is_set()


def test_a_copy_that_fails_is_said_and_answered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    bench.copier.show(bench.whole(), [])
    shown(bench.take())
    with monkeypatch.context() as patch:
        patch.setattr(module._Mapped, "read", full)
        bench.copier.want(Rect(0, 0, 1, 1), 1)
        bench.wait_answers(1)
    assert "cannot be copied" in str(bench.take().problem)
    bench.copier.want(Rect(0, 0, 1, 1), 2)
    bench.wait_answers(1, 2)


def test_what_can_be_copied(bench: Bench) -> None:
    cases = [
        (MOD_LINEAR, XR24, True),
        (MOD_INVALID, XR24, True),  # memory of no GPU
        (0x0100_0000_0000_0002, XR24, False),  # tiles of some GPU
        (MOD_LINEAR, fourcc_code("NV12"), False),
    ]
    for modifier, fourcc, expected in cases:
        with closing(bench.source(modifier, fourcc)) as source:
            assert copyable(source) is expected


@pytest.mark.parametrize(
    ("fdinfo", "name"),
    [
        (b"size:\t4096\ncount:\t2\nexp_name:\tudmabuf\nname:\t\xff\xfe\n", b"udmabuf"),
        (b"exp_name:\tamdgpu\nname:\tx\nexp_name:\tudmabuf\n", b"amdgpu"),
        (b"exp_name:\t\xff\xfe\n", b"\xff\xfe"),
        (b"pos:\t0\nflags:\t02\n", b""),
        (b"", b""),
    ],
)
def test_the_exporter_whatever_the_name_of_the_buffer(fdinfo: bytes, name: bytes) -> None:
    """The name is the last line, and may look like others. (tests/lab has real buffers)"""
    assert exporter(fdinfo) == name


def test_calls_do_not_pile_up_while_the_memory_is_not_read(bench: Bench, memory: Slow) -> None:
    """The listener thread answers them when their time is up; then nothing knows of them."""
    bench.copier.show(bench.whole(), [])
    assert memory.reading.wait(2.0)
    for serial in range(1, 10_001):
        bench.copier.want(Rect(0, 0, 1, 1), serial)
        deadline = bench.copier.replies.due
        assert deadline is not None
        bench.copier.replies.pop_overdue(deadline)
    assert bench.copier.replies.waiting() == []
    assert bench.copier._serials == []
    memory.go_on.set()
    bench.copier.want(Rect(0, 0, 1, 1), 10_001)
    bench.wait_answers(10_001)


def test_no_fd_is_left() -> None:
    before = set(os.listdir("/proc/self/fd"))
    bench = Bench()
    for _ in range(5):
        bench.copier.show(bench.whole(), [])
    bench.copier.want(Rect(0, 0, 1, 1), 1)
    bench.wait_answers(1)
    bench.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_fault_while_copying_is_told_of_and_costs_one_picture(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is answered all the same, and the next buffer is copied by the same thread."""

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(Copier, "_copy", fail)
        bench.copier.replies.add(7)
        bench.copier.show(bench.source(), [7])
        bench.wait_answers(7)
    assert "RuntimeError: planted" in str(bench.take().problem)
    bench.copier.show(bench.source(), [])
    assert isinstance(bench.take().source, PixelSource)


def test_a_fault_beside_copying_ends_the_thread_and_the_next_buffer_starts_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Rect, "clip", property(lambda _: 1 / 0))
        patched.setattr(Copier, "_copy", property(lambda _: 1 / 0))
        patched.setattr(module, "describe", property(lambda _: 1 / 0))
        bench.copier.replies.add(7)
        bench.copier.show(bench.source(), [7])
        assert "the copier thread" in str(bench.take().problem)
    bench.copier.show(bench.source(), [])
    assert isinstance(bench.take().source, PixelSource)


def test_no_thread_for_the_copy_is_an_error_of_the_system(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(OSError, match="no new thread") as caught:
            bench.copier.show(bench.source(), [])
        assert caught.value.errno == errno.EAGAIN
    assert not bench.copier.active
    bench.copier.show(bench.source(), [])
    assert isinstance(bench.take().source, PixelSource)
