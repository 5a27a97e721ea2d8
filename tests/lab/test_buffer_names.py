"""dma-bufs whose names hold any bytes: whoever holds a buffer may name it (DMA_BUF_SET_NAME).

The buffers are the kernel's own, of udmabuf and of vgem. The listener thread looks at such a
name when a scanout comes, and the copier when no driver imports the buffer.
(linux/dma-buf.h, drm/drm_mode.h, drm/drm.h)
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from glview.gl import buffers
from glview.qemu.listener import Listener
from glview.scanout.copier import copyable, exporter, is_plain_memory
from glview.scanout.formats import MOD_INVALID
from glview.scanout.mailbox import Mailbox
from glview.scanout.source import DmabufSource, PixelSource
from glview.testing.listener import FakeListener
from glview.testing.pictures import fourcc
from tests.support.profile import requires

pytestmark = [pytest.mark.lab, requires("dmabuf-export")]

NAMES = {
    "not-ascii": b"\xff\xfe\x80",
    "utf-8": "Bild № 1: ü".encode(),
    "lines": b"a\n\n\x1b[2J",
    "another-exporter": b"x\nexp_name:\tvgem_drm",
    "udmabuf": b"x\nexp_name:\tudmabuf",
    "long": b"\xe9" * 31,
}
_SET_NAME = 0x40086201  # of a pointer to text
_CREATE_DUMB = 0xC02064B2  # struct of height, width, bpp, flags, handle, pitch (u32), size (u64)
_PRIME_HANDLE_TO_FD = 0xC00C642D  # struct of handle, flags, fd


def name(fd: int, text: bytes) -> None:
    """Give a dma-buf a name."""
    fcntl.ioctl(fd, _SET_NAME, text + b"\0")
    assert text in Path(f"/proc/self/fdinfo/{fd}").read_bytes()


@pytest.fixture
def memory() -> Iterator[buffers.MemoryBuffer]:
    """A dma-buf of ordinary memory."""
    with closing(buffers.udmabuf()) as made:
        yield made


@pytest.fixture
def of_a_gpu() -> Iterator[int]:
    """A dma-buf of vgem, which stands for a GPU here."""
    node = next(
        Path("/dev/dri", path.name)
        for path in Path("/sys/class/drm").glob("card[0-9]*")
        if (path / "device").resolve().name == "vgem" or "vgem" in str(path.resolve())
    )
    device = os.open(node, os.O_RDWR | os.O_CLOEXEC)
    try:
        dumb = bytearray(struct.pack("=IIIIIIQ", 64, 64, 32, 0, 0, 0, 0))
        fcntl.ioctl(device, _CREATE_DUMB, dumb)
        handle = struct.unpack("=IIIIIIQ", dumb)[4]
        prime = bytearray(struct.pack("=IIi", handle, os.O_CLOEXEC, -1))
        fcntl.ioctl(device, _PRIME_HANDLE_TO_FD, prime)
    finally:
        os.close(device)
    fd = struct.unpack("=IIi", prime)[2]
    yield fd
    os.close(fd)


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_memory_is_known_whatever_its_name(memory: buffers.MemoryBuffer, text: bytes) -> None:
    name(memory.fd, text)
    assert is_plain_memory(memory.fd)


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_a_buffer_of_a_gpu_is_never_taken_for_memory(of_a_gpu: int, text: bytes) -> None:
    name(of_a_gpu, text)
    assert exporter(Path(f"/proc/self/fdinfo/{of_a_gpu}").read_bytes()) not in (b"", b"udmabuf")
    assert not is_plain_memory(of_a_gpu)


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_a_named_buffer_is_copied(memory: buffers.MemoryBuffer, text: bytes) -> None:
    """As the main thread asks for it, and the next one like it by the listener thread alone."""
    name(memory.fd, text)
    pixels = bytes(number * 7 % 251 for number in range(buffers.SIZE))
    memory.write(pixels)
    ours, theirs = socket.socketpair()
    news, closed = threading.Event(), threading.Event()
    reasons: list[str] = []

    def ended(reason: str) -> None:
        reasons.append(reason)
        closed.set()

    mailbox = Mailbox(news.set)
    listener = Listener(ours, mailbox, ended)
    listener.start()
    qemu = FakeListener(theirs)
    qemu.register()
    try:
        side = buffers.WIDTH
        args = memory.fd, side, side, memory.stride, fourcc("XR24"), MOD_INVALID
        qemu.scanout_dmabuf(*args)
        assert news.wait(5)
        refused = mailbox.take().source
        assert isinstance(refused, DmabufSource)
        assert copyable(refused)
        news.clear()
        assert listener.copy_instead(refused, [])
        assert shown(news, mailbox) == pixels
        assert qemu.update_dmabuf(0, 0, side, side).ok
        memory.write(pixels[::-1])
        qemu.scanout_dmabuf(*args)
        assert qemu.update_dmabuf(0, 0, side, side).ok
        assert shown(news, mailbox) == pixels[::-1]
        assert not closed.is_set()
    finally:
        listener.close()
        mailbox.close()
        qemu.close()
    assert closed.wait(5)
    assert reasons == [""]


def shown(news: threading.Event, mailbox: Mailbox) -> bytes:
    """The bytes of the newest picture, once there is one."""
    while True:
        assert news.wait(5)
        news.clear()
        source = mailbox.take().source
        if isinstance(source, PixelSource):
            with source.reading():
                data = bytes(source.memory.view[: buffers.SIZE])
            source.close()
            return data
