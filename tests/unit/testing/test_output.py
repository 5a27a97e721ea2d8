"""Which calls a listener gets for what the guest does, as QEMU chooses them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from glview.dbus.peer import PeerConnection
from glview.dbus.wire import Message
from glview.testing import calls
from glview.testing.console import ConsoleOptions, FakeConsole
from glview.testing.link import Reply
from glview.testing.listener import ALL_OPTIONAL
from glview.testing.output import Transport
from glview.testing.pictures import gradient, memfd_picture, pack, unique
from glview.testing.scene import cursor_sprite
from tests.unit.testing.raw_client import RawListener, begin_listener, close_fds, connected

Answer = Callable[[RawListener, Message], None]


class Viewer:
    """A client that reads in the background and answers what QEMU waits for."""

    def __init__(self, raw: RawListener, answer: Answer) -> None:
        self.members: list[str] = []
        self.messages: list[Message] = []
        self._raw = raw
        self._answer = answer
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while (message := self._raw.next()) is not None:
            if not message.flags & 1:
                self._answer(self._raw, message)
            close_fds(message)
            self.members.append(message.member)
            self.messages.append(message)

    def until_end(self) -> list[str]:
        """The members of all calls; the VM has hung up."""
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()
        return self.members


def accept(raw: RawListener, call: Message) -> None:
    """Answer without an error."""
    raw.answer(call)


def refuse(raw: RawListener, call: Message) -> None:
    """Answer with one."""
    raw.refuse(call)


@contextmanager
def viewing(
    options: ConsoleOptions,
    interfaces: tuple[str, ...] = ALL_OPTIONAL,
    answer: Answer = accept,
) -> Iterator[tuple[FakeConsole, Viewer]]:
    """A console with a registered viewer; leaving hangs up and waits for the viewer's thread."""
    with connected(options) as (vm, client):
        console = vm.console()
        raw = begin_listener(client, console)
        with raw.sock:
            raw.register(interfaces)
            viewer = Viewer(raw, answer)
            console.wait_listener()
            yield console, viewer
            vm.close()
            viewer.until_end()


def register(client: PeerConnection, console: FakeConsole, index: int) -> RawListener:
    """A registered listener that nobody reads from yet."""
    raw = begin_listener(client, console)
    raw.register()
    console.wait_listener(index)
    return raw


def options(transport: Transport) -> ConsoleOptions:
    """A console of that kind."""
    return ConsoleOptions(transport=transport)


def test_map_then_updates_of_the_map() -> None:
    with memfd_picture(gradient(8, 8)) as surface:
        with viewing(options(Transport.MAP)) as (console, viewer):
            console.output.switch(surface)
            console.output.update(0, 0, 8, 8)
            console.output.update(1, 2, 3, 4)
        assert viewer.members == ["ScanoutMap", "UpdateMap", "UpdateMap"]
        assert viewer.messages[2].body == (1, 2, 3, 4)


def test_a_new_surface_is_a_new_map() -> None:
    with memfd_picture(gradient(8, 8)) as first, memfd_picture(gradient(16, 4)) as second:
        with viewing(options(Transport.MAP)) as (console, viewer):
            for surface in (first, second):
                console.output.switch(surface)
                console.output.update(0, 0, 4, 4)
        assert viewer.members == ["ScanoutMap", "UpdateMap"] * 2
        assert viewer.messages[2].body[2:4] == (16, 4)


def test_switching_to_the_same_surface_maps_it_again() -> None:
    with memfd_picture(gradient(8, 8)) as surface:
        with viewing(options(Transport.MAP)) as (console, viewer):
            for _ in range(2):
                console.output.switch(surface)
                console.output.update(0, 0, 8, 8)
        assert viewer.members == ["ScanoutMap", "UpdateMap"] * 2


def test_a_refused_map_falls_back_to_bytes_for_ever() -> None:
    picture = unique(8, 8)
    with memfd_picture(picture) as surface:
        with viewing(options(Transport.MAP), answer=refuse) as (console, viewer):
            console.output.switch(surface)
            console.output.update(0, 0, 8, 8)
            console.output.update(2, 3, 4, 2)
            console.output.switch(surface)
            console.output.update(0, 0, 8, 8)
        assert viewer.members == ["ScanoutMap", "Scanout", "Update", "Scanout"]
        packed = pack(picture, surface.code)
        assert viewer.messages[1].body == (8, 8, 32, surface.code, packed.tobytes())
        part = np.ascontiguousarray(packed[3:5, 8:24]).tobytes()
        assert viewer.messages[2].body == (2, 3, 4, 2, 16, surface.code, part)


def test_bytes_for_a_viewer_that_lists_nothing() -> None:
    with memfd_picture(gradient(8, 8)) as surface:
        with viewing(options(Transport.MAP), interfaces=()) as (console, viewer):
            console.output.switch(surface)
            console.output.update(0, 0, 8, 4)
            console.output.update(0, 0, 8, 8)
        assert viewer.members == ["Update", "Scanout"]


def test_scanout_has_stride_times_height_bytes_even_past_a_short_file() -> None:
    picture = unique(5, 3)
    with memfd_picture(picture, offset=12, stride=32, short_last_row=True) as surface:
        with viewing(options(Transport.BYTES)) as (console, viewer):
            console.output.switch(surface)
            console.output.update(0, 0, 5, 3)
        width, height, stride, _, data = viewer.messages[0].body
        assert (width, height, stride, len(data)) == (5, 3, 32, 96)
        rows = np.frombuffer(data, np.uint8).reshape(3, 32)[:, :20]
        assert np.array_equal(rows, pack(picture, surface.code))


def test_dmabuf_updates_wait_for_the_reply() -> None:
    replies: list[Reply] = []
    with memfd_picture(gradient(8, 8)) as surface:
        with viewing(options(Transport.DMABUF)) as (console, viewer):
            console.output.switch(surface)
            replies += console.output.update(0, 0, 8, 8)
        assert viewer.members == ["ScanoutDMABUF2", "UpdateDMABUF"]
        assert [reply.ok for reply in replies] == [True]


def test_dmabuf_version_1_for_a_viewer_that_does_not_list_the_second() -> None:
    with memfd_picture(gradient(8, 8)) as surface:
        with viewing(options(Transport.DMABUF), interfaces=(calls.MAP,)) as (console, viewer):
            console.output.switch(surface)
        assert viewer.members == ["ScanoutDMABUF"]


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (Transport.BYTES, ["Scanout", "CursorDefine", "MouseSet"]),
        (Transport.MAP, ["ScanoutMap", "UpdateMap", "CursorDefine", "MouseSet"]),
        (Transport.DMABUF, ["ScanoutDMABUF2", "CursorDefine", "MouseSet", "UpdateDMABUF"]),
    ],
)
def test_who_comes_late_is_told_everything(transport: Transport, expected: list[str]) -> None:
    with memfd_picture(gradient(8, 8)) as surface, connected(options(transport)) as (vm, client):
        output = vm.console().output
        output.switch(surface)
        output.define_cursor(cursor_sprite(16), 1, 2)
        output.move_cursor(-3, 5)
        raw = begin_listener(client, vm.console())
        with raw.sock:
            raw.register()
            viewer = Viewer(raw, accept)
            vm.console().wait_listener()
            vm.close()
            assert viewer.until_end() == expected
        mouse = viewer.messages[expected.index("MouseSet")]
        cursor = viewer.messages[expected.index("CursorDefine")]
        assert mouse.body == (-3, 5, 1)
        assert cursor.body[:4] == (16, 16, 1, 2)


def test_nothing_is_sent_where_nothing_is_shown() -> None:
    with viewing(options(Transport.MAP)) as (console, viewer):
        assert console.output.listeners
    assert viewer.members == []


def test_one_viewer_that_leaves_does_not_disturb_the_other() -> None:
    with memfd_picture(gradient(8, 8)) as surface, connected() as (vm, client):
        console = vm.console()
        leaving, staying = (register(client, console, index) for index in range(2))
        leaving.sock.close()
        viewer = Viewer(staying, accept)
        console.output.switch(surface)
        for _ in range(3):
            console.output.update(0, 0, 8, 8)
        console.wait_until(lambda: len(console.output.listeners) == 1, "the first to be removed")
        vm.close()
        assert viewer.until_end() == ["ScanoutMap", *["UpdateMap"] * 3]
        staying.sock.close()


def test_who_comes_after_the_end_of_the_picture_gets_nothing() -> None:
    with connected() as (vm, client), memfd_picture(gradient(8, 8)) as surface:
        vm.console().output.switch(surface)
        vm.console().output.blank()
        raw = register(client, vm.console(), 0)
        vm.close()
        assert raw.next() is None
        raw.sock.close()


def test_update_before_there_is_a_surface_is_a_mistake() -> None:
    with connected() as (vm, _), pytest.raises(RuntimeError, match="no surface"):
        vm.console().output.update(0, 0, 1, 1)
