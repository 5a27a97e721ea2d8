"""Calls of QEMU's with random arguments, most of them near what is right.

A call is made in two steps, so that it can be named before it is sent: `str()`
of it says all of its arguments.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from glview.testing import FakeListener, calls, hostile
from glview.testing.calls import Call
from glview.testing.pictures import fourcc
from tests.support import yuv
from tests.support.layouts import LAYOUTS

SIDES = 0, 1, 2, 63, 65, 640, 2048, 16384, 16385, 32768, 65535, 65536, 1 << 31, (1 << 32) - 1
WORDS = 0, 1, 3, 4, 7, 255, 256, 4095, 4096, 4100, 1 << 16, 1 << 20, (1 << 31) - 1, *SIDES[-2:]
NUMBERS = 0, 1, -1, 2, -2, 63, 64, 65, 640, 4096, 32768, 1 << 30, (1 << 31) - 1, -(1 << 31)
CODES = [layout.drm for layout in LAYOUTS.values()]
FOREIGN = [fourcc(code) for code in ("NV16", "AYUV", "AB4H", "R8  ", "GR88", "????")]
YUV = {fourcc(layout.fourcc): len(layout.planes) for layout in yuv.FORMATS.values()}
"""Formats that only drivers know, and how many planes they have."""
MODIFIERS = (
    *(0, (1 << 56) - 1, (1 << 64) - 1),  # linear, not told, and what is no modifier
    *(0x0100_0000_0000_0001, 0x0200_0000_0018_01FF, 0x0300_0000_0000_0014, 0x0800_0000_0000_0041),
)


OTHER_TYPES: list[tuple[str, tuple[Any, ...]]] = [
    *(("", ()), ("s", ("x",)), ("iiii", (1, 2, 3, 4)), ("ay", (b"xyz",)), ("h", (0,))),
]
WRONG: dict[str, tuple[int, ...]] = {
    "width": SIDES,
    "height": SIDES,
    "offset": WORDS,
    "code": (*CODES, *FOREIGN, *YUV, 0),
    "modifier": MODIFIERS,
    "bottom_up": (0, 1),
    "planes": (0, 2, 3, 4, 5, 1 << 16),
    "more": (1, 5, 7),
    "handle": (1, 2, 9),
}
"""Fields of a dma-buf that are numbers, and what they may be instead; any number besides."""


@dataclass
class Attempt:
    """A call, what to send with it, and in words what its descriptors are."""

    call: Call
    args: tuple[Any, ...]
    files: list[str] = field(default_factory=list)
    size: int = 0  # bytes of pixels
    needed: int = 0  # bytes that the files should have

    def send(self, listener: FakeListener) -> str:
        """Send it and wait for the answer if it has one; the error, if any."""
        with opened(self.files, self.needed) as fds:
            if self.call.waits:
                return listener.call(self.call, self.args, fds).wait().error
            listener.post(self.call, self.args, fds, bytes(self.size))
            return ""


def _memory(size: int, flags: int = os.O_RDWR) -> int:
    with hostile.memory(min(size, 1 << 40)) as fd:
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def _shrinkable(size: int) -> int:
    fd = os.memfd_create("shrinkable", os.MFD_CLOEXEC)
    os.ftruncate(fd, min(size, 1 << 40))
    return fd


def _pipe(end: int) -> int:
    ends = os.pipe2(os.O_CLOEXEC)
    os.close(ends[1 - end])
    return ends[end]


OPEN: dict[str, Callable[[int], int]] = {
    "good": _memory,
    "short": lambda size: _memory(max(0, size - 1)),
    "empty": lambda size: _memory(0),
    "huge": lambda size: _memory(1 << 34),
    "shrinkable": _shrinkable,
    "readonly": lambda size: _memory(size, os.O_RDONLY),
    "writeonly": lambda size: _memory(size, os.O_WRONLY),
    "disk": lambda size: os.open(__file__, os.O_RDONLY | os.O_CLOEXEC),
    "folder": lambda size: os.open("/", os.O_RDONLY | os.O_CLOEXEC),
    "pipe": lambda size: _pipe(0),
    "writer": lambda size: _pipe(1),
    "socket": lambda size: socket.socket(socket.AF_UNIX).detach(),
    "null": lambda size: os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
    "zero": lambda size: os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC),
}
"""Kinds of descriptors; memory is as long as it has to be, where that is to be good."""


@contextlib.contextmanager
def opened(kinds: list[str], needed: int) -> Iterator[tuple[int, ...]]:
    """Descriptors of those kinds."""
    with contextlib.ExitStack() as stack:
        fds = []
        for kind in kinds:
            fds.append(OPEN[kind](needed))
            stack.callback(os.close, fds[-1])
        yield tuple(fds)


class Fuzzer:
    """Endless attempts, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def dmabuf(self) -> Attempt:
        """ScanoutDMABUF2 or ScanoutDMABUF with up to four wrong fields."""
        pick = self._random
        version = pick.choice((1, 2, 2))
        good = self._good_buffer()
        wrong = pick.sample(sorted(good), pick.choice((0, 0, 0, 1, 1, 1, 2, 3, 4)))
        for name in wrong:
            good[name] = self._wrong(name, good[name])
        stride, width, height = good["stride"], good["width"], good["height"]
        code, modifier, bottom_up = good["code"], good["modifier"], bool(good["bottom_up"])
        files: list[str] = good["files"]
        needed = good["offset"] * (version == 2) + stride * good["backing"][1]
        if version == 1:
            args: tuple[Any, ...] = good["handle"], width, height, stride, code, modifier, bottom_up
            return Attempt(calls.SCANOUT_DMABUF, args, files[:1], needed=stride * height)
        planes = good["planes"]
        few = min(planes, 6) + good["more"] % 8
        args = (
            *([(good["handle"] + i) & 0xFFFF_FFFF for i in range(len(files))], *good["at"]),
            *(width, height, [good["offset"]] * few, [stride] * few, planes, code),
            *(*good["backing"], modifier, bottom_up),
        )
        return Attempt(calls.SCANOUT_DMABUF2, args, files, needed=needed)

    def _good_buffer(self) -> dict[str, Any]:
        pick = self._random
        width, height = pick.choice(((64, 64), (200, 150), (65, 3), (1, 1), (640, 480)))
        x, y = pick.choice(((0, 0), (0, 0), (5, 7)))
        backing = (
            (width + x, height + y) if pick.random() < 0.7 else (width + x + 8, height + y + 9)
        )
        code = pick.choice((*CODES[:4], *YUV)) if pick.random() < 0.5 else CODES[0]
        return {
            "width": width,
            "height": height,
            "at": (x, y),
            "backing": backing,
            "stride": (width + x + 8) * 4,
            "offset": pick.choice((0, 0, 64, 4096)),
            "code": code,
            "modifier": 0,
            "bottom_up": pick.random() < 0.5,
            "planes": YUV.get(code, 1),
            "more": 0,
            "handle": 0,
            "files": ["good"],
        }

    def _wrong(self, name: str, right: Any) -> Any:  # noqa: ANN401 - as different as the fields are
        pick = self._random
        if name == "at":
            return pick.choice(WORDS), pick.choice(WORDS)
        if name == "backing":
            return pick.choice(SIDES), pick.choice((*SIDES, right[1]))
        if name == "files":
            return pick.choices(sorted(OPEN), k=pick.choice((0, 1, 1, 1, 1, 2, 4)))
        if name == "stride":
            near = 0, right // 4, right // 2, right * 5 // 4, right - 33, right + 1, right + 2
            return pick.choice((*WORDS, *near))
        return pick.choice((*WRONG[name], pick.getrandbits(64 if name == "modifier" else 32)))

    def update(self) -> Attempt:
        """UpdateDMABUF of some rectangle."""
        rect = self._random.choice(((0, 0, 64, 64), (0, 0, 1, 1), self._numbers(4)))
        return Attempt(calls.UPDATE_DMABUF, tuple(rect))

    def _numbers(self, count: int) -> list[int]:
        return self._random.choices(NUMBERS, k=count)

    # -- every call of the interface ---------------------------------------

    def any(self) -> Attempt:
        """Any call with any arguments, sometimes not even of the types that it has."""
        pick = self._random
        make = pick.choice(
            (self.dmabuf, self.update, self._pixels, self._map, self._map_update, self._pointer)
        )
        attempt = make()
        if pick.random() < 0.05:
            types, args = pick.choice(OTHER_TYPES)
            return Attempt(replace(attempt.call, signature=types), args, attempt.files)
        return attempt

    def _side(self) -> int:
        """Of a picture."""
        return self._random.choice((1, 4, 64, 200, *SIDES[:6], *SIDES[-3:]))

    def _pixels(self) -> Attempt:
        pick = self._random
        width, height = self._side(), self._side()
        if pick.random() < 0.6:
            width, height = pick.choice(((64, 64), (200, 150), (1, 1), (16, 300)))
        layout = pick.choice(list(LAYOUTS.values()))
        right = width * layout.size & 0xFFFF_FFFF
        stride = right if pick.random() < 0.7 else pick.choice((*WORDS, right ^ 3))
        code = layout.pixman if pick.random() < 0.9 else pick.getrandbits(32)
        size = stride * height if stride * height < 1 << 20 else 64
        size = size if pick.random() < 0.8 else max(0, size + pick.choice((-1, 1, -stride, 4096)))
        if pick.random() < 0.5:
            args: tuple[Any, ...] = width, height, stride, code, b""
            return Attempt(calls.SCANOUT, args, size=min(size, 1 << 20))
        x, y = pick.choice(((0, 0), (5, 5), self._numbers(2)))
        signed = [min(side, (1 << 31) - 1) for side in (width, height)]
        return Attempt(calls.UPDATE, (x, y, *signed, stride, code, b""), size=min(size, 1 << 20))

    def _map(self) -> Attempt:
        attempt = self.dmabuf()
        good = self._good_buffer()
        for name in self._random.sample(sorted(good), self._random.choice((0, 0, 1, 2))):
            good[name] = self._wrong(name, good[name])
        layout = self._random.choice(list(LAYOUTS.values()))
        offset, stride = good["offset"], good["stride"]
        args = good["handle"], offset, good["width"], good["height"], stride, layout.pixman
        needed = offset + stride * good["height"]
        return Attempt(calls.SCANOUT_MAP, args, attempt.files[:1], needed=needed)

    def _map_update(self) -> Attempt:
        return Attempt(calls.UPDATE_MAP, tuple(self._numbers(4)))

    def _pointer(self) -> Attempt:
        pick = self._random
        if pick.random() < 0.3:
            return Attempt(calls.DISABLE, ())
        if pick.random() < 0.5:
            return Attempt(calls.MOUSE_SET, tuple(self._numbers(3)))
        width, height = pick.choice(((64, 64), (1, 1), (300, 2), self._numbers(2)))
        size = width * height * 4 if 0 < width * height < 1 << 18 else 64
        return Attempt(calls.CURSOR_DEFINE, (width, height, *self._numbers(2), b""), size=size)
