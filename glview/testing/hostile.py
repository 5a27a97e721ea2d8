"""What a broken or hostile VM may send: two catalogues of things done to one listener.

`BAD_CALLS` are well-formed messages whose content is nonsense: a client refuses each (those
that return a `Reply` must come back with an error or, for UpdateDMABUF, at least come back),
keeps the last picture and goes on. `BROKEN_STREAMS` leave no way to find the next message: a
client hangs up. All descriptors used are closed before a function returns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

from glview.testing import calls
from glview.testing.calls import Call
from glview.testing.link import Reply, encode_call
from glview.testing.listener import FakeListener
from glview.testing.pictures import XRGB8888, fourcc

HUGE = 1_000_000_000
XR24 = fourcc("XR24")

BadCall = Callable[[FakeListener], Reply | None]
BrokenStream = Callable[[FakeListener], None]


@contextlib.contextmanager
def pipe() -> Iterator[int]:
    """The reading end of an empty pipe."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        yield reader
    finally:
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def memory(size: int) -> Iterator[int]:
    """A memory file of `size` zero bytes, which stays as long as a dma-buf would."""
    fd = os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def null() -> Iterator[int]:
    """/dev/null, which is what QEMU 11.1 sends for blobs where its stdin is closed."""
    fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


Source = Callable[[], contextlib.AbstractContextManager[int]]


def _file(size: int) -> Source:
    return lambda: memory(size)


def _pixels(call: Call, *args: object, size: int = 64) -> BadCall:
    """A call with `size` bytes of pixels."""

    def send(listener: FakeListener) -> None:
        listener.post(call, (*args, b""), data=bytes(size))

    return send


def _plain(call: Call, *args: object) -> BadCall:
    """A call without reply or descriptors, whatever its arguments promise."""

    def send(listener: FakeListener) -> None:
        listener.post(call, args)

    return send


def _asked(call: Call, *args: object) -> BadCall:
    """A call that waits for its reply, without descriptors."""
    return lambda listener: listener.call(call, args).wait()


def _map(
    source: Source, offset: int, width: int, height: int, stride: int, code: int = XRGB8888
) -> BadCall:
    def send(listener: FakeListener) -> Reply:
        with source() as fd:
            args = (0, offset, width, height, stride, code)
            return listener.call(calls.SCANOUT_MAP, args, (fd,)).wait()

    return send


def _dmabuf(source: Source, width: int, height: int, stride: int, code: int = XR24) -> BadCall:
    def send(listener: FakeListener) -> None:
        with source() as fd:
            listener.scanout_dmabuf(fd, width, height, stride, code)

    return send


def _dmabuf2(
    source: Source,
    *,
    size: tuple[int, int] = (64, 64),
    at: tuple[int, int] = (0, 0),
    planes: int = 1,
    offset: int = 0,
    stride: int = 256,
    code: int = XR24,
    modifier: int = 0,
) -> BadCall:
    """One descriptor for `planes` planes of a 64 x 64 buffer."""

    def send(listener: FakeListener) -> None:
        with source() as fd:
            listener.scanout_dmabuf2(
                (fd,), *at, *size, (offset,) * planes, (stride,) * planes, planes, code,
                64, 64, modifier,
            )  # fmt: skip

    return send


BAD_CALLS: dict[str, BadCall] = {
    "scanout with other types": _plain(replace(calls.SCANOUT, signature="s"), "no picture"),
    "scanout without arguments": _plain(replace(calls.SCANOUT, signature="")),
    "scanout 1e9 x 1e9": _pixels(calls.SCANOUT, HUGE, HUGE, 4 * HUGE, XRGB8888),
    "scanout 65536 x 65536, no stride": _pixels(calls.SCANOUT, 65536, 65536, 0, XRGB8888),
    "scanout 0 x 0": _pixels(calls.SCANOUT, 0, 0, 0, XRGB8888),
    "scanout with a row less of data": _pixels(calls.SCANOUT, 4, 4, 16, XRGB8888, size=48),
    "scanout without data": _plain(calls.SCANOUT, 4, 4, 16, XRGB8888, b""),
    "scanout with half a row as stride": _pixels(calls.SCANOUT, 4, 4, 8, XRGB8888),
    "scanout of unknown format": _pixels(calls.SCANOUT, 4, 4, 16, 0xDEADBEEF),
    "scanout of format 0": _pixels(calls.SCANOUT, 4, 4, 16, 0),
    "update at -4, -4": _pixels(calls.UPDATE, -4, -4, 4, 4, 16, XRGB8888),
    "update of negative size": _pixels(calls.UPDATE, 0, 0, -4, -4, 16, XRGB8888),
    "update at 2e9": _pixels(calls.UPDATE, 2 * HUGE, 2 * HUGE, 4, 4, 16, XRGB8888),
    "update 1e9 x 1e9": _pixels(calls.UPDATE, 0, 0, HUGE, HUGE, 16, XRGB8888),
    "update with half its data": _pixels(calls.UPDATE, 0, 0, 4, 4, 16, XRGB8888, size=32),
    "update of unknown format": _pixels(calls.UPDATE, 0, 0, 4, 4, 16, 0xDEADBEEF),
    "map of a pipe": _map(pipe, 0, 4, 4, 16),
    "map of /dev/null": _map(null, 0, 640, 480, 2560),
    "map of an empty file": _map(_file(0), 0, 4, 4, 16),
    "map of a file one byte short": _map(_file(63), 0, 4, 4, 16),
    "map beyond the end": _map(_file(4096), 8192, 4, 4, 16),
    "map with an offset near 2**32": _map(_file(4096), 0xFFFFFFF0, 4, 4, 16),
    "map 1e9 x 1e9": _map(_file(4096), 0, HUGE, HUGE, 4 * HUGE),
    "map 0 x 0": _map(_file(4096), 0, 0, 0, 0),
    "map with half a row as stride": _map(_file(4096), 0, 4, 4, 8),
    "map of unknown format": _map(_file(4096), 0, 4, 4, 16, 0xDEADBEEF),
    "map without descriptor": _asked(calls.SCANOUT_MAP, 0, 0, 4, 4, 16, XRGB8888),
    "map of descriptor 7": _asked(calls.SCANOUT_MAP, 7, 0, 4, 4, 16, XRGB8888),
    "map with other types": _asked(replace(calls.SCANOUT_MAP, signature="s"), "no map"),
    "update of a map at -4, -4": _plain(calls.UPDATE_MAP, -4, -4, 8, 8),
    "update of a map 2e9 wide": _plain(calls.UPDATE_MAP, 0, 0, 2 * HUGE, 2 * HUGE),
    "dmabuf of a pipe": _dmabuf(pipe, 64, 64, 256),
    "dmabuf of a short file": _dmabuf(_file(4096), 64, 64, 256),
    "dmabuf 1e9 x 1e9": _dmabuf(_file(4096), HUGE, HUGE, 4 * HUGE),
    "dmabuf without descriptor": _plain(calls.SCANOUT_DMABUF, 0, 64, 64, 256, XR24, 0, False),
    "dmabuf2 of a pipe": _dmabuf2(pipe),
    "dmabuf2 of an empty file": _dmabuf2(_file(0)),
    "dmabuf2 half as long as it must be": _dmabuf2(_file(64 * 128)),
    "dmabuf2 beyond the end": _dmabuf2(_file(64 * 256), offset=1 << 20),
    "dmabuf2 of fourcc 0": _dmabuf2(_file(64 * 256), code=0),
    "dmabuf2 of an unknown fourcc": _dmabuf2(_file(64 * 256), code=fourcc("????")),
    "dmabuf2 of an unknown modifier": _dmabuf2(_file(64 * 256), modifier=0x0100000000000001),
    "dmabuf2 of 0 planes": _dmabuf2(_file(64 * 256), planes=0),
    "dmabuf2 of 5 planes": _dmabuf2(_file(64 * 256), planes=5),
    "dmabuf2 of 1e9 x 1e9 pixels": _dmabuf2(_file(64 * 256), size=(HUGE, HUGE)),
    "dmabuf2 of 0 x 0 pixels": _dmabuf2(_file(64 * 256), size=(0, 0)),
    "dmabuf2 with its rectangle outside": _dmabuf2(_file(64 * 256), at=(60, 60)),
    "dmabuf2 without descriptors": _plain(
        calls.SCANOUT_DMABUF2, [], 0, 0, 64, 64, [0], [256], 1, XR24, 64, 64, 0, False
    ),
    "dmabuf2 of descriptor 9": _plain(
        calls.SCANOUT_DMABUF2, [9], 0, 0, 64, 64, [0], [256], 1, XR24, 64, 64, 0, False
    ),
    "update of a dmabuf at -4, -4": _asked(calls.UPDATE_DMABUF, -4, -4, 8, 8),
    "update of a dmabuf far outside": _asked(calls.UPDATE_DMABUF, HUGE, HUGE, HUGE, HUGE),
    "update of a dmabuf with other types": _asked(
        replace(calls.UPDATE_DMABUF, signature="s"), "no rectangle"
    ),
    "mouse at the ends of the range": _plain(calls.MOUSE_SET, -(1 << 31), (1 << 31) - 1, 7),
    "cursor 1e9 x 1e9": _pixels(calls.CURSOR_DEFINE, HUGE, HUGE, 0, 0),
    "cursor of negative size": _pixels(calls.CURSOR_DEFINE, -4, -4, 0, 0),
    "cursor 0 x 0": _plain(calls.CURSOR_DEFINE, 0, 0, 0, 0, b""),
    "cursor with half its data": _pixels(calls.CURSOR_DEFINE, 4, 4, 0, 0, size=32),
    "cursor with its hot spot far outside": _pixels(calls.CURSOR_DEFINE, 4, 4, HUGE, -HUGE),
    "a member nobody knows": _asked(Call(calls.LISTENER, "NoSuchCall", "", waits=True)),
    "an interface nobody knows": _asked(Call("org.example.None", "Scanout", "", waits=True)),
}


def _raw(data: bytes) -> BrokenStream:
    """Bytes, then the end."""

    def send(listener: FakeListener) -> None:
        listener.send_raw(data)
        listener.close()

    return send


def _patched(offset: int, value: int) -> BrokenStream:
    """An otherwise good UpdateMap with another 32-bit word at `offset`; the stream stays open."""

    def send(listener: FakeListener) -> None:
        data = bytearray(encode_call(calls.UPDATE_MAP, listener.next_serial(), (0, 0, 4, 4)))
        struct.pack_into("<I", data, offset, value)
        listener.send_raw(data)

    return send


def _stopped(size: int, sent: int) -> BrokenStream:
    """A Scanout of a `size` pixels square that ends after `sent` bytes of its pixels."""

    def send(listener: FakeListener) -> None:
        args = (size, size, size * 4, XRGB8888, b"")
        serial = listener.next_serial()
        listener.send_raw(encode_call(calls.SCANOUT, serial, args, pixel_bytes=size * size * 4))
        listener.send_raw(bytes(sent))
        listener.close()

    return send


BROKEN_STREAMS: dict[str, BrokenStream] = {
    "the end, between two messages": lambda listener: listener.close(),
    "half a fixed header": _raw(b"l\1\1\1\0\0"),
    "not D-Bus": _patched(0, 0x01010158),
    "protocol version 9": _patched(0, 0x0901016C),
    "a body of 4 GiB": _patched(4, 0xFFFFFFF0),
    "serial 0": _patched(8, 0),
    "header fields of 4 GiB": _patched(12, 0xFFFFFFF0),
    "header fields that are none": _patched(20, 0xFFFFFFF0),
    "the end in the middle of a body": _stopped(256, 100_000),
    "the end before the first pixel": _stopped(256, 0),
}
