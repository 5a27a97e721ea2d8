"""The guest that draws by itself, in this process and as a program of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from glview.dbus.peer import PeerConnection
from glview.dbus.wire import Message
from glview.testing.console import ConsoleOptions
from glview.testing.guest import FakeGuest
from glview.testing.output import Transport
from glview.testing.pictures import fourcc, unpack
from glview.testing.properties import CONSOLE, KEYBOARD, MOUSE, VM
from glview.testing.scene import BAND, COLOURS, SQUARE, Scene, cursor_sprite
from tests.support.bus import Bus
from tests.support.wait import until
from tests.unit.testing.raw_client import RawListener, begin_listener, close_fds, connected

CONSOLE_0 = "/org/qemu/Display1/Console_0"
SLOW = 0.001  # frames a second: only input makes the guest draw

# -- the scene ---------------------------------------------------------------------------


def test_every_change_lies_in_the_rectangle_that_is_told() -> None:
    scene = Scene(320, 240)
    steps = [
        scene.step,
        lambda: scene.point(10, 200),
        lambda: scene.move(50, -300),
        lambda: scene.colour(3),
        lambda: scene.point(319, 239),
        scene.step,
    ]
    for step in steps:
        before = scene.pixels.copy()
        x, y, width, height = step()
        changed = (scene.pixels != before).any(axis=2)
        assert changed.any()
        changed[y : y + height, x : x + width] = False
        assert not changed.any()


def test_the_square_is_centred_on_the_pointer_and_stays_inside() -> None:
    scene = Scene(320, 240)
    assert scene.point(100, 80)  # union with where it was
    half = SQUARE // 2
    square = scene.pixels[80 - half : 80 + half, 100 - half : 100 + half]
    assert (square == COLOURS[0]).all()
    scene.point(0, 0)
    assert (scene.pixels[:SQUARE, :SQUARE] == COLOURS[0]).all()
    assert not (square == COLOURS[0]).all(axis=2).any()
    assert (scene.pixels[SQUARE, SQUARE] != COLOURS[0]).any()


def test_a_scene_smaller_than_its_parts() -> None:
    scene = Scene(20, 10)
    assert scene.step() == (0, 0, 20, 10)
    scene.point(19, 9)
    assert BAND > 10


def test_the_sprite_is_premultiplied() -> None:
    sprite = cursor_sprite()
    assert sprite.shape == (32, 32, 4)
    assert (sprite[..., :3] <= sprite[..., 3:]).all()
    assert len(np.unique(sprite[..., 3])) == 3


# -- the guest ---------------------------------------------------------------------------


class Watcher:
    """Reads a listener until it sees what a test waits for; answers what QEMU waits for."""

    def __init__(self, raw: RawListener) -> None:
        self.raw = raw

    def until(self, member: str) -> Message:
        """The next call of `member`; those before it are answered and forgotten."""
        while (message := self.raw.next()) is not None:
            close_fds(message)
            if not message.flags & 1:
                self.raw.answer(message)
            if message.member == member:
                return message
        raise AssertionError(f"EOF instead of {member}")


@contextlib.contextmanager
def watched(
    transport: Transport, fps: float, absolute: bool = True
) -> Iterator[tuple[PeerConnection, Watcher]]:
    """A guest of 320x240 with a client that has a listener."""
    options = ConsoleOptions(
        width=320, height=240, resizable=True, absolute=absolute, transport=transport
    )
    with (
        connected(options) as (vm, client),
        contextlib.closing(FakeGuest(vm.console(), fps)),
    ):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            raw.register()
            yield client, Watcher(raw)


@pytest.mark.parametrize(
    ("transport", "first", "then"),
    [
        (Transport.BYTES, "Scanout", "Update"),
        (Transport.MAP, "ScanoutMap", "UpdateMap"),
        (Transport.DMABUF, "ScanoutDMABUF2", "UpdateDMABUF"),
    ],
)
def test_the_guest_draws_by_itself(transport: Transport, first: str, then: str) -> None:
    with watched(transport, fps=200) as (_, watcher):
        watcher.until(first)
        watcher.until("CursorDefine")
        bands = [watcher.until(then).body[:4] for _ in range(4)]
        assert bands[-2:] == [(0, 240 - BAND, 320, BAND)] * 2


def test_the_square_follows_the_pointer_and_keys_colour_it() -> None:
    with watched(Transport.BYTES, fps=SLOW) as (client, watcher):
        watcher.until("MouseSet")
        client.call("", CONSOLE_0, MOUSE, "SetAbsPosition", "uu", (100, 80))
        moved = watcher.until("Update").body
        client.call("", CONSOLE_0, KEYBOARD, "Press", "u", (31,))
        x, y, width, height, stride, code, data = watcher.until("Update").body
        assert (x, y, width, height) == (100 - SQUARE // 2, 80 - SQUARE // 2, SQUARE, SQUARE)
        picture = unpack(np.frombuffer(data, np.uint8).reshape(height, stride), code)
        assert (picture == COLOURS[31 % len(COLOURS)]).all()
        assert moved[:2] <= (x, y)


def test_a_relative_mouse_moves_the_square() -> None:
    with watched(Transport.BYTES, fps=SLOW, absolute=False) as (client, watcher):
        watcher.until("MouseSet")
        client.call("", CONSOLE_0, MOUSE, "RelMotion", "ii", (-10, 5))
        x, y, width, height = watcher.until("Update").body[:4]
        assert (x, y) == (160 - SQUARE // 2 - 10, 120 - SQUARE // 2)
        assert (width, height) == (SQUARE + 10, SQUARE + 5)


@pytest.mark.parametrize("transport", Transport)
def test_ui_info_switches_the_mode(transport: Transport) -> None:
    scanout = {"bytes": "Scanout", "map": "ScanoutMap", "dmabuf": "ScanoutDMABUF2"}
    with watched(transport, fps=SLOW) as (client, watcher):
        watcher.until("MouseSet")
        thread = threading.Thread(
            target=lambda: client.call(
                "", CONSOLE_0, CONSOLE, "SetUIInfo", "qqiiuu", (1, 1, 0, 0, 400, 300)
            )
        )
        thread.start()
        body = watcher.until(scanout[transport.value]).body
        assert (400, 300) in itertools.pairwise(body)
        thread.join(timeout=10)
        until(lambda: client.get_all("", CONSOLE_0, CONSOLE)["Width"] == 400, "the width to change")


def test_a_guest_that_ended_leaves_nothing_to_show() -> None:
    with connected() as (vm, client):
        FakeGuest(vm.console()).close()
        raw = begin_listener(client, vm.console())
        raw.register()
        vm.console().wait_listener()
        vm.close()
        assert raw.next() is None
        raw.sock.close()


def test_a_mode_of_no_size_is_not_taken() -> None:
    with watched(Transport.BYTES, fps=SLOW) as (client, watcher):
        watcher.until("MouseSet")
        for size in ((0, 0), (1 << 31, 1 << 31)):
            client.call("", CONSOLE_0, CONSOLE, "SetUIInfo", "qqiiuu", (1, 1, 0, 0, *size))
        client.call("", CONSOLE_0, KEYBOARD, "Press", "u", (1,))
        watcher.until("Update")
        assert client.get_all("", CONSOLE_0, CONSOLE)["Width"] == 320


# -- python -m glview.testing ------------------------------------------------------------


def start(*arguments: str, fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """The program, with these descriptors inherited."""
    return subprocess.Popen(
        [sys.executable, "-m", "glview.testing", *arguments],
        pass_fds=fds,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what it complained of."""
    _, complaint = process.communicate(timeout=20)
    return process.returncode, complaint


def test_program_on_a_passed_socket_ends_with_its_client() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = start("--fd", str(theirs.fileno()), "--size", "300x200", fds=(theirs.fileno(),))
    with contextlib.closing(PeerConnection.over(ours)) as client:
        console = client.get_all("", CONSOLE_0, CONSOLE)
        assert (console["Width"], console["Height"]) == (300, 200)
    assert finish(process) == (0, "")


def test_program_on_a_bus_ends_on_sigterm(bus: Bus) -> None:
    process = start("--address", bus.address, "--name", "shown", "--transport", "dmabuf")
    with contextlib.closing(PeerConnection.to_bus(bus.address)) as client:

        def owned() -> bool:
            return bool(
                client.call(
                    "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                    "NameHasOwner", "s", ("org.qemu",),
                )[0]
            )  # fmt: skip

        until(owned, "the VM on the bus")
        assert client.get_all("org.qemu", "/org/qemu/Display1/VM", VM)["Name"] == "shown"
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == (0, "")


def test_program_without_a_bus_says_so() -> None:
    code, complaint = finish(start("--address", "unix:path=/nowhere/bus"))
    assert code == 4
    assert complaint.count("\n") == 1
    assert "no such file" in complaint


def test_program_refuses_nonsense_sizes() -> None:
    code, complaint = finish(start("--fd", "0", "--size", "12"))
    assert code == 2
    assert "--size" in complaint


def test_dmabuf_scanouts_name_the_format() -> None:
    with watched(Transport.DMABUF, fps=SLOW) as (_, watcher):
        assert watcher.until("ScanoutDMABUF2").body[8] == fourcc("XR24")
