"""Byte for byte what QEMU sends: judged by GDBus itself, by dbus-next, and by QEMU's sizes."""

from __future__ import annotations

import io

import pytest
from dbus_next._private.unmarshaller import Unmarshaller
from dbus_next.constants import MessageFlag
from dbus_next.message import Message as NextMessage

from glview.testing import calls
from glview.testing.calls import Call
from glview.testing.link import encode_call
from tests.unit.testing import gdbus

XR24 = 875713112

# call, arguments, descriptors, the same arguments as GVariant text
SAMPLES: list[tuple[Call, tuple[object, ...], int, str]] = [
    (calls.GET_ALL, ("org.qemu.Display1.Listener",), 0, "('org.qemu.Display1.Listener',)"),
    (
        calls.SCANOUT,
        (1, 2, 4, 537004168, bytes(range(8))),
        0,
        "(uint32 1, uint32 2, uint32 4, uint32 537004168, @ay [0,1,2,3,4,5,6,7])",
    ),
    (
        calls.UPDATE,
        (-1, 2, 1, 1, 4, 537004168, b"abcd"),
        0,
        "(-1, 2, 1, 1, uint32 4, uint32 537004168, @ay [97,98,99,100])",
    ),
    (
        calls.SCANOUT_MAP,
        (0, 512400, 1280, 800, 10240, 537004168),
        1,
        "(handle 0, uint32 512400, uint32 1280, uint32 800, uint32 10240, uint32 537004168)",
    ),
    (calls.UPDATE_MAP, (0, 16, 720, 16), 0, "(0, 16, 720, 16)"),
    (
        calls.SCANOUT_DMABUF,
        (0, 640, 480, 2560, XR24, 0x00FFFFFFFFFFFFFF, True),
        1,
        "(handle 0, uint32 640, uint32 480, uint32 2560, uint32 875713112, "
        "uint64 72057594037927935, true)",
    ),
    (
        calls.SCANOUT_DMABUF2,
        ([0, 1], 64, 32, 640, 480, [0, 4096], [4096, 64], 2, XR24, 1024, 768, 1 << 56, False),
        2,
        "([handle 0, handle 1], uint32 64, uint32 32, uint32 640, uint32 480, "
        "[uint32 0, uint32 4096], [uint32 4096, uint32 64], uint32 2, uint32 875713112, "
        "uint32 1024, uint32 768, uint64 72057594037927936, false)",
    ),
    (
        calls.SCANOUT_DMABUF2,
        ([], 0, 0, 1, 1, [], [], 0, 0, 1, 1, 0, False),
        0,
        "(@ah [], uint32 0, uint32 0, uint32 1, uint32 1, @au [], @au [], uint32 0, uint32 0, "
        "uint32 1, uint32 1, uint64 0, false)",
    ),
    (calls.UPDATE_DMABUF, (0, 400, 640, 80), 0, "(0, 400, 640, 80)"),
    (calls.DISABLE, (), 0, "()"),
    (calls.MOUSE_SET, (-3, -4, 1), 0, "(-3, -4, 1)"),
    (
        calls.CURSOR_DEFINE,
        (1, 1, 3, 4, b"\x10\x20\x40\x80"),
        0,
        "(1, 1, 3, 4, @ay [16, 32, 64, 128])",
    ),
]
NAMES = [f"{call.member}-{index}" for index, (call, *_) in enumerate(SAMPLES)]


@pytest.mark.parametrize(("call", "args", "fds", "text"), SAMPLES, ids=NAMES)
@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
def test_bytes_are_those_of_gdbus(
    call: Call, args: tuple[object, ...], fds: int, text: str, big_endian: bool
) -> None:
    ours = encode_call(call, 0x01020304, args, fds=fds, big_endian=big_endian)
    flags = 0 if call.waits else 1
    assert ours == gdbus.encode(
        call, text, serial=0x01020304, flags=flags, fds=fds, big_endian=big_endian
    )


@pytest.mark.parametrize(("call", "args", "fds", "text"), SAMPLES, ids=NAMES)
def test_dbus_next_reads_and_writes_the_same_body(
    call: Call, args: tuple[object, ...], fds: int, text: str
) -> None:
    ours = encode_call(call, 7, args, fds=fds)
    read = Unmarshaller(io.BytesIO(ours)).unmarshall()  # type: ignore[no-untyped-call]
    assert (read.path, read.interface, read.member) == (calls.PATH, call.interface, call.member)
    assert (read.serial, read.signature) == (7, call.signature)
    assert (read.sender, read.destination) == (None, None)
    assert bool(read.flags & MessageFlag.NO_REPLY_EXPECTED) is not call.waits
    assert tuple(read.body) == args
    again = NextMessage(
        path=calls.PATH, member=call.member, interface=call.interface,
        signature=call.signature, body=list(args),
    )  # fmt: skip
    written = again._marshall()  # type: ignore[no-untyped-call]
    body = int.from_bytes(ours[4:8], "little")
    assert ours[len(ours) - body :] == written[len(written) - body :]


@pytest.mark.parametrize(
    ("call", "args", "fds", "pixels", "size"),
    [
        (calls.GET_ALL, (calls.LISTENER,), 0, 0, 151),
        (calls.GET_ALL, (calls.MAP,), 0, 0, 160),
        (calls.GET_ALL, (calls.DMABUF2,), 0, 0, 171),
        (calls.SCANOUT, (640, 480, 2560, 1, b""), 0, 640 * 480 * 4, 1228948),
        (calls.SCANOUT, (1280, 800, 5120, 1, b""), 0, 1280 * 800 * 4, 4096148),
        (calls.UPDATE, (0, 0, 720, 16, 2880, 1, b""), 0, 720 * 16 * 4, 46236),
        (calls.SCANOUT_MAP, (0, 0, 1, 1, 4, 1), 1, 0, 176),
        (calls.UPDATE_MAP, (0, 0, 1, 1), 0, 0, 160),
        (calls.SCANOUT_DMABUF2, ([0], 0, 0, 1, 1, [0], [4], 1, 1, 1, 1, 0, False), 1, 0, 236),
        (calls.UPDATE_DMABUF, (0, 0, 1, 1), 0, 0, 152),
        (calls.MOUSE_SET, (0, 0, 0), 0, 0, 148),
        (calls.CURSOR_DEFINE, (64, 64, 0, 0, b""), 0, 64 * 64 * 4, 16540),
    ],
)
def test_messages_are_as_long_as_qemu_s(
    call: Call, args: tuple[object, ...], fds: int, pixels: int, size: int
) -> None:
    head = encode_call(call, 1, args, fds=fds, pixel_bytes=pixels)
    assert len(head) + pixels == size


def test_pixels_sent_behind_are_the_same_message() -> None:
    data = bytes(range(64))
    whole = encode_call(calls.SCANOUT, 9, (4, 4, 16, 1, data))
    head = encode_call(calls.SCANOUT, 9, (4, 4, 16, 1, b""), pixel_bytes=len(data))
    assert head + data == whole
