"""`python -m bench.hose --fd N VIA CHANGE`: a guest that changes as fast as the socket takes it.

A process of its own, so that its memory can be watched. The viewer's end of the control
connection is the other end of socket N. For each line `SECONDS COLOUR` on stdin it floods
for so long and gives the square, or everything, that colour with the last update; before
that one it writes `ending`, and after it what came of the flood, as JSON.

Calls are encoded once and sent many at a time: no Python runs between two of them. Answers
to UpdateDMABUF are not waited for before the next call is sent, but each is counted.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from bench.measure import FIRST, square
from bench.raw import take_over
from bench.source import Rect
from glview.dbus.wire import RETURN
from glview.testing import FakeListener, calls
from glview.testing.calls import Call
from glview.testing.console import ConsoleOptions
from glview.testing.link import encode_call
from glview.testing.output import Transport
from glview.testing.pictures import MemfdPicture, memfd_picture
from glview.testing.vm import FakeVm

SIZE = 1920, 1080
_BLOCK = 1 << 16  # bytes that are sent at once, if a call is not larger
_FIRST_SERIAL = 1 << 20  # beyond those of the fake VM
_MOST_REPLIES = 1 << 16  # bytes of answers that are read at once
_REPLY_TIMEOUT = 5.0  # seconds for the last answer
# METHOD_RETURN without a body: the only header field, REPLY_SERIAL, is 8 bytes long.
_REPLY = np.dtype(
    [
        *(("order", "u1"), ("kind", "u1"), ("flags", "<u2"), ("body", "<u4")),
        *(("serial", "<u4"), ("fields", "<u4"), ("field", "<u4"), ("answers", "<u4")),
    ]
)


class Block:
    """The same call many times over, each with a serial of its own."""

    def __init__(self, call: Call, args: tuple[object, ...], pixels: bytes = b"") -> None:
        one = encode_call(call, 0, args, pixel_bytes=len(pixels)) + pixels
        self.count = max(1, _BLOCK // len(one))
        self._data = np.tile(np.frombuffer(one, np.uint8), (self.count, 1))
        self._serials = self._data[:, 8:12].view("<u4")[:, 0]
        self.pixels = self._data[:, len(one) - len(pixels) :].view("<u4")

    def send(self, sock: socket.socket, serial: int, count: int) -> None:
        """The first `count` of them, with serials from `serial` on; returns when all are taken."""
        self._serials[:] = np.arange(serial, serial + self.count)
        sock.sendall(self._data[:count].data)


class Answers:
    """Counts the answers that come on a socket, on a thread of its own.

    `total` is the sum of the serials that they answer, which shows one given twice in
    another's place; `failure` is in words.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.count = self.total = 0
        self.failure = ""
        self._sock = sock
        self._come = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, count: int) -> None:
        """Until so many have come, or `_REPLY_TIMEOUT` seconds."""
        with self._come:
            self._come.wait_for(lambda: self.count >= count or self.failure, _REPLY_TIMEOUT)

    def _read(self) -> None:
        buffer, size = bytearray(_MOST_REPLIES), _REPLY.itemsize
        view, have = memoryview(buffer), 0
        with suppress(OSError):  # the end of the socket is the end
            while got := self._sock.recv_into(view[have:]):
                have += got
                whole = have // size * size
                self._take(np.frombuffer(buffer, _REPLY, count=have // size))
                view[: have - whole] = view[whole:have]
                have -= whole

    def _take(self, replies: NDArray[np.void]) -> None:
        kinds = replies["kind"] == RETURN, replies["body"] == 0, replies["fields"] == 8
        with self._come:
            if not np.logical_and.reduce(kinds).all():
                self.failure = "something came that is no empty answer"
            self.count += len(replies)
            self.total += int(replies["answers"].sum(dtype=np.uint64))
            self._come.notify_all()


class Hose:
    """Floods the client at the other end of `sock` with one kind of update."""

    def __init__(self, sock: socket.socket, surface: MemfdPicture, via: str, rect: Rect) -> None:
        self._sock, self._via = sock, via
        x, y, width, height = rect
        self._part = surface.pixels.view("<u4")[y : y + height, x : x + width]
        self._block = self._encode(surface, rect)
        self._pixels = self._block.pixels if via == "bytes" else self._part.reshape(1, -1)[:0]
        self._serial = _FIRST_SERIAL
        self._asked = self._asked_total = 0
        self._answers = Answers(sock)

    def _encode(self, surface: MemfdPicture, rect: Rect) -> Block:
        if self._via == "map":
            return Block(calls.UPDATE_MAP, rect)
        if self._via == "dmabuf":
            return Block(calls.UPDATE_DMABUF, rect)
        pixels = self._part.tobytes()
        if rect[2:] == SIZE:
            return Block(calls.SCANOUT, (*SIZE, surface.stride, surface.code, b""), pixels)
        return Block(calls.UPDATE, (*rect, rect[2] * 4, surface.code, b""), pixels)

    def flood(self, seconds: float, colour: int) -> dict[str, object]:
        """Send for so long; what came of it."""
        began, updates, mark = time.monotonic(), 0, 0
        while time.monotonic() < began + seconds:
            mark = (mark + 1) & 0xFFFF
            self._part[-1, -1] = self._pixels[:, -1] = mark
            self._send(self._block.count)
            updates += self._block.count
        print("ending", flush=True)
        self._part[:] = self._pixels[:] = colour
        self._send(1)
        taken = time.monotonic()
        self._answers.wait(self._asked)
        return {
            "updates": updates + 1,
            "seconds": taken - began,
            "taken_at": taken,
            "asked": self._asked,
            "answered": self._answers.count,
            "same": self._answers.total == self._asked_total,
            "failure": self._answers.failure,
        }

    def _send(self, count: int) -> None:
        self._block.send(self._sock, self._serial, count)
        if self._via == "dmabuf":
            self._asked += count
            self._asked_total += sum(range(self._serial, self._serial + count))
        self._serial += self._block.count


@contextmanager
def served(fd: int, via: str) -> Iterator[tuple[FakeListener, MemfdPicture]]:
    """A VM whose picture the viewer at the other end of `fd` has been sent."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    options = ConsoleOptions(width=SIZE[0], height=SIZE[1], transport=Transport(via))
    with memfd_picture(picture) as surface, FakeVm(consoles=[options]) as vm:
        surface.pixels.view("<u4")[:] = FIRST
        vm.console().output.switch(surface)
        vm.serve(socket.socket(fileno=fd))
        yield vm.console().wait_listener(timeout=30.0), surface


def main() -> int:
    """Do as stdin says, until it ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.hose", description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("via", choices=("map", "bytes", "dmabuf"))
    parser.add_argument("change", choices=("full", "64x64"))
    args = parser.parse_args()
    rect = square(*SIZE) if args.change == "64x64" else (0, 0, *SIZE)
    with served(args.fd, args.via) as (listener, surface), take_over(listener) as sock:
        hose = Hose(sock, surface, args.via, rect)
        print("ready", flush=True)
        for line in sys.stdin:
            seconds, colour = line.split()
            print(json.dumps(hose.flood(float(seconds), int(colour))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
