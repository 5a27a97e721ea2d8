"""What the fake QEMU does on a listener socket, seen from a client made by hand."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from glview.dbus import sasl
from glview.dbus.wire import CALL, NO_REPLY_EXPECTED, RETURN, Message
from glview.testing import calls, link
from glview.testing.console import ConsoleOptions
from glview.testing.link import GONE, TIMED_OUT, Reply
from glview.testing.listener import ALL_OPTIONAL, FakeListener
from glview.testing.pictures import XRGB8888, fourcc, gradient, memfd_picture
from tests.unit.testing.raw_client import (
    begin_listener,
    close_fds,
    connected,
    listening,
)

XR24 = fourcc("XR24")


def in_background(call: Callable[[], Reply]) -> Callable[[], Reply]:
    """Start `call`, which waits for the client; the function returned gives its result."""
    results: list[Reply] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()

    def result() -> Reply:
        thread.join(timeout=10)
        return results[0]

    return result


# -- registration ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ((), [calls.LISTENER]),
        ((calls.MAP,), [calls.LISTENER, calls.MAP]),
        (ALL_OPTIONAL, [calls.LISTENER, calls.MAP, calls.DMABUF2]),
    ],
)
def test_get_all_is_asked_for_each_listed_interface(
    listed: tuple[str, ...], asked: list[str]
) -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            assert raw.register(listed) == asked
            listener = vm.console().wait_listener()
            assert listener.interfaces == list(listed)
            assert listener.can_map is (calls.MAP in listed)
            assert listener.has_dmabuf2 is (calls.DMABUF2 in listed)
            assert len(listener.get_all_seconds) == len(asked)


def test_old_qemu_asks_once_whatever_is_listed() -> None:
    with connected(ConsoleOptions(optional=())) as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            listed = threading.Thread(target=lambda: raw.register(()))
            listed.start()
            assert vm.console().wait_listener().get_all_seconds[1:] == []
            listed.join()


def test_a_refused_get_all_counts_as_an_empty_list() -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            sasl.authenticate(raw.sock)
            raw.refuse(raw.expect("GetAll"))
            listener = vm.console().wait_listener()
            assert listener.interfaces == []
            assert not listener.can_map


def test_the_time_that_qemu_stands_still_is_measured() -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            time.sleep(0.1)
            raw.register()
            listener = vm.console().wait_listener()
            assert listener.auth_seconds + sum(listener.get_all_seconds) > 0.05


def test_a_get_all_that_is_never_answered_ends() -> None:
    ours, theirs = socket.socketpair()
    listener = FakeListener(theirs)
    with ours:
        thread = threading.Thread(target=lambda: listener.register(get_all_timeout=0.05))
        thread.start()
        sasl.authenticate(ours)
        thread.join(timeout=10)
        assert listener.interfaces == []
        assert listener.get_all_seconds == [0.05]
        listener.close()


def test_failed_authentication_is_noted_and_the_socket_closed() -> None:
    with connected() as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            raw.sock.sendall(b"\0BEGIN\r\n")
            vm.console().wait_until(lambda: bool(vm.console().failures), "the failure")
            assert raw.sock.recv(1000) in (b"", b"REJECTED EXTERNAL\r\n")


# -- the calls ---------------------------------------------------------------------------


def simple_calls() -> dict[str, tuple[Callable[[FakeListener], None], tuple[object, ...]]]:
    """Calls that need neither reply nor descriptor, with the body that must arrive."""
    return {
        "Scanout": (
            lambda it: it.scanout(2, 1, 8, XRGB8888, b"01234567"),
            (2, 1, 8, XRGB8888, b"01234567"),
        ),
        "Update": (
            lambda it: it.update(-1, 2, 1, 1, 4, XRGB8888, b"0123"),
            (-1, 2, 1, 1, 4, XRGB8888, b"0123"),
        ),
        "UpdateMap": (lambda it: it.update_map(1, 2, 3, 4), (1, 2, 3, 4)),
        "Disable": (lambda it: it.disable(), ()),
        "MouseSet": (lambda it: it.mouse_set(-3, -4, 1), (-3, -4, 1)),
        "CursorDefine": (
            lambda it: it.cursor_define(1, 1, 2, 3, b"BGRA"),
            (1, 1, 2, 3, b"BGRA"),
        ),
    }


@pytest.mark.parametrize("member", simple_calls())
@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
def test_a_simple_call_arrives(member: str, big_endian: bool) -> None:
    send, body = simple_calls()[member]
    with listening(ConsoleOptions(big_endian=big_endian)) as (listener, raw):
        send(listener)
        message = raw.expect(member)
        assert message.body == body
        assert message.type == CALL
        assert message.flags == NO_REPLY_EXPECTED
        assert (message.path, message.sender, message.destination) == (calls.PATH, "", "")


def test_serials_grow_by_one() -> None:
    with listening() as (listener, raw):
        serials = []
        for _ in range(3):
            listener.disable()
            serials.append(raw.expect("Disable").serial)
        assert serials == [4, 5, 6]  # after three GetAll


def test_a_numpy_picture_travels_whole() -> None:
    picture = np.arange(1024 * 768 * 4, dtype=np.uint32).astype(np.uint8).reshape(768, -1)
    with listening() as (listener, raw):
        sender = threading.Thread(
            target=lambda: listener.scanout(1024, 768, 4096, XRGB8888, picture.data)
        )
        sender.start()
        assert raw.expect("Scanout").body[4] == picture.tobytes()
        sender.join()


def test_scanout_map_carries_memory_and_waits_for_the_answer() -> None:
    with listening() as (listener, raw), memfd_picture(gradient(8, 8), offset=64) as memory:
        reply = in_background(
            lambda: listener.scanout_map(memory.fd, 64, 8, 8, memory.stride, memory.code)
        )
        call = raw.expect("ScanoutMap")
        assert call.flags == 0
        assert call.body == (0, 64, 8, 8, 32, XRGB8888)
        assert os.pread(call.fds[0], 1000, 64) == memory.pixels.tobytes()
        close_fds(call)
        raw.answer(call)
        answer = reply()
        assert answer.ok
        assert 0 < answer.seconds < 1
        assert listener.can_map


def test_a_refused_map_is_the_last() -> None:
    with listening() as (listener, raw), memfd_picture(gradient(8, 8)) as memory:
        reply = in_background(lambda: listener.scanout_map(memory.fd, 0, 8, 8, 32, XRGB8888))
        call = raw.expect("ScanoutMap")
        close_fds(call)
        raw.refuse(call, "org.example.CannotMap")
        assert reply().error == "org.example.CannotMap"
        assert not listener.can_map


def test_a_map_that_is_not_answered_in_time_is_the_last_and_a_late_reply_is_counted() -> None:
    with listening() as (listener, raw), memfd_picture(gradient(8, 8)) as memory:
        reply = listener.scanout_map(memory.fd, 0, 8, 8, 32, XRGB8888, timeout=0.05)
        assert reply == Reply(0.05, TIMED_OUT)
        assert not listener.can_map
        call = raw.expect("ScanoutMap")
        close_fds(call)
        raw.answer(call)
        raw.sock.close()
        listener.closed.wait(10)
        assert listener.late_replies == 1
        assert listener.strays == []


def test_dmabuf_versions_carry_their_descriptors() -> None:
    with listening() as (listener, raw), memfd_picture(gradient(8, 8)) as memory:
        listener.scanout_dmabuf(memory.fd, 8, 8, 32, XR24, 5, y0_top=True)
        first = raw.expect("ScanoutDMABUF")
        assert first.body == (0, 8, 8, 32, XR24, 5, True)
        listener.scanout_dmabuf2(
            (memory.fd, memory.fd), 1, 2, 4, 4, (0, 16), (32, 32), 2, XR24, 8, 8, 7
        )
        second = raw.expect("ScanoutDMABUF2")
        assert second.body == ([0, 1], 1, 2, 4, 4, [0, 16], [32, 32], 2, XR24, 8, 8, 7, False)
        inode = os.fstat(memory.fd).st_ino
        assert [os.fstat(fd).st_ino for fd in first.fds + second.fds] == [inode] * 3
        close_fds(first)
        close_fds(second)


def test_dmabuf_updates_may_be_answered_in_any_order() -> None:
    with listening() as (listener, raw):
        pending = [listener.update_dmabuf_later(0, y, 8, 1) for y in range(3)]
        received = [raw.expect("UpdateDMABUF") for _ in range(3)]
        assert [call.flags for call in received] == [0, 0, 0]
        raw.answer(received[2])
        assert pending[2].wait().ok
        assert not pending[0].answered
        raw.refuse(received[0])
        raw.answer(received[1])
        assert [call.wait().ok for call in pending] == [False, True, True]


def test_a_vanished_client_fails_what_waits_at_once() -> None:
    with listening() as (listener, raw):
        pending = listener.update_dmabuf_later(0, 0, 8, 8, timeout=60)
        raw.expect("UpdateDMABUF")
        raw.sock.close()
        assert pending.wait().error == GONE
        with pytest.raises(ConnectionError):
            listener.disable()


def test_answers_that_nobody_asked_for_are_kept_as_evidence() -> None:
    with listening() as (listener, raw):
        listener.disable()
        call = raw.expect("Disable")
        raw.answer(call)
        raw.sock.close()
        listener.closed.wait(10)
        assert [stray.reply_serial for stray in listener.strays] == [call.serial]


def test_a_client_that_answers_nonsense_is_cut_off() -> None:
    with listening() as (listener, raw):
        raw.sock.sendall(b"X" * 16)
        listener.closed.wait(10)
        assert "0x58" in str(listener.failure)
        assert raw.next() is None


def test_a_client_that_reads_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SEND_TIMEOUT", 0.1)
    with listening() as (listener, _):
        with pytest.raises(TimeoutError, match="read nothing for"):
            listener.scanout(1024, 1024, 4096, XRGB8888, bytes(4 << 20))
        assert listener.closed.wait(10)


def test_ping_is_answered_as_every_peer_does() -> None:
    with listening() as (_, raw):
        raw.send(Message(CALL, path="/", interface="org.freedesktop.DBus.Peer", member="Ping"))
        answer = raw.next()
        assert answer is not None
        assert answer.type == RETURN


def test_a_closed_listener_is_eof_for_the_client() -> None:
    with listening() as (listener, raw):
        listener.close()
        listener.close()
        assert raw.next() is None


def test_no_descriptor_is_left_open() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    def once() -> None:
        with listening() as (listener, raw), memfd_picture(gradient(8, 8)) as memory:
            listener.scanout_dmabuf(memory.fd, 8, 8, 32, XR24)
            close_fds(raw.expect("ScanoutDMABUF"))
        listener.closed.wait(10)

    once()
    before = count()
    for _ in range(5):
        once()
    deadline = time.monotonic() + 10
    while count() > before and time.monotonic() < deadline:
        time.sleep(0.01)  # threads that end close their sockets
    assert count() <= before
