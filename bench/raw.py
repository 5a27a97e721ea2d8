"""What receiving costs: answers to calls for which nothing is drawn, and bodies of pixels.

The viewer's window is minimised. Its listener socket is taken over from the fake VM, and
calls are sent and answers read by one thread that does nothing else; a poll loop in C has
the same on a socket of its own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.figures import READER, SHM, SWAP, Figure
from bench.process import cpu_seconds, rss_mib
from glview.testing import FakeListener, calls
from glview.testing.link import encode_call
from tests.support import hiding
from tests.support.canvas import Canvas
from tests.support.carriers import Mapped
from tests.support.layouts import LAYOUTS
from tests.support.stage import Stage
from tests.support.x11 import Xvfb

BACK_TO_BACK = "UpdateDMABUF call to reply, nothing drawn, back to back"
RESTED = "UpdateDMABUF call to reply, nothing drawn, after 5 ms of rest"
BODY = "1080p byte body received: viewer CPU"
GROWTH = "1080p byte bodies received: growth of RSS"

SIZE = 1920, 1080
REST = 0.005
_SERIAL = struct.Struct("<I")
_FIRST_SERIAL = 1 << 20  # beyond those of the fake VM


class Effort(NamedTuple):
    """How many of each."""

    calls: int
    rested: int
    bodies: int


class Receiver:
    """A process at the other end of `sock`, which reads calls; nothing else uses that socket."""

    def __init__(self, name: str, sock: socket.socket, pid: int) -> None:
        self.name, self._sock, self._pid = name, sock, pid
        self._update = bytearray(encode_call(calls.UPDATE_DMABUF, 0, (0, 0, 64, 64)))
        self._serial = _FIRST_SERIAL

    def answer(self) -> float:
        """Seconds from a call to its answer."""
        self._serial += 1
        _SERIAL.pack_into(self._update, 8, self._serial)
        began = time.perf_counter()
        self._sock.send(self._update)
        self._sock.recv(4096)
        return time.perf_counter() - began

    def body(self, pixels: memoryview) -> float:
        """Seconds of CPU that a whole frame costs, and an answer after it."""
        self._serial += 1
        args = (*SIZE, SIZE[0] * 4, LAYOUTS["x8r8g8b8"].pixman, b"")
        head = encode_call(calls.SCANOUT, self._serial, args, pixel_bytes=len(pixels))
        before = cpu_seconds(self._pid)
        self._sock.sendall(head)
        self._sock.sendall(pixels)
        self.answer()
        return cpu_seconds(self._pid) - before

    def figures(self, effort: Effort) -> Iterator[Figure]:
        """Everything, in microseconds, milliseconds and MiB."""
        turns = [self.answer() for _ in range(effort.calls)]
        yield Figure(BACK_TO_BACK, self.name, [1e6 * seconds for seconds in turns])
        rested = []
        for _ in range(effort.rested):
            time.sleep(REST)
            rested.append(1e6 * self.answer())
        yield Figure(RESTED, self.name, rested)
        pixels = memoryview(bytes(SIZE[0] * SIZE[1] * 4))
        for _ in range(3):  # its memory exists after these
            self.body(pixels)
        rss = rss_mib(self._pid)
        yield Figure(BODY, self.name, [1e3 * self.body(pixels) for _ in range(effort.bodies)])
        yield Figure(GROWTH, self.name, [rss_mib(self._pid) - rss])


def measure(effort: Effort) -> list[Figure]:
    """The C reader and both presenters. Raises CalledProcessError without a C compiler."""
    receivers = reader(), viewer(SHM, "shm"), viewer(SWAP, "swap")
    found: list[Figure] = []
    for receiver in receivers:
        with receiver as one:
            found += one.figures(effort)
    return found


@contextlib.contextmanager
def reader() -> Iterator[Receiver]:
    """The poll loop in C."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        program = Path(folder, "reader")
        source = Path(__file__).with_name("reader.c")
        subprocess.run(["gcc", "-O2", "-Wall", "-o", program, source], check=True)
        ours, theirs = socket.socketpair()
        with (
            ours,
            subprocess.Popen([program, str(theirs.fileno())], pass_fds=[theirs.fileno()]) as p,
        ):
            theirs.close()
            yield Receiver(READER, ours, p.pid)
            ours.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def viewer(name: str, present: str) -> Iterator[Receiver]:
    """glview, minimised, with a dma-buf that it has never drawn."""
    with tempfile.TemporaryDirectory(prefix="bench-") as text, Xvfb(Path(text)) as xvfb:
        layout = LAYOUTS["x8r8g8b8"]
        with (
            Stage(Path(text), xvfb, "--present", present) as stage,
            Canvas(layout, 640, 480) as canvas,
        ):
            Mapped().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture())
            hiding.minimised(stage)
            time.sleep(0.3)
            stage.listener.scanout_dmabuf(canvas.fd, 640, 480, canvas.stride, layout.drm)
            with take_over(stage.listener) as sock:
                yield Receiver(name, sock, stage.viewer.pid)


def take_over(listener: FakeListener) -> socket.socket:
    """The fake VM's end of a listener socket; the fake VM takes it for closed from here on."""

    def end(*_: object) -> None:
        raise OSError("taken over")

    sock = listener._sock.dup()
    setattr(listener, "_take", end)  # noqa: B010 - mypy does not allow the other way
    listener.call(calls.GET_ALL, (calls.LISTENER,)).wait()
    listener.closed.wait()
    sock.setblocking(True)
    return sock
