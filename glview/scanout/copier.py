"""dma-bufs that the OpenGL driver does not import, copied by the CPU into byte pictures.

The driver may not know the pixel format, or may have been asked for memory of
another GPU. Linear buffers can be mapped and read all the same. A thread of
its own does that, because memory of a GPU may be uncached and take a second to
read: neither the listener thread nor the main thread waits for it.
(Linux include/uapi/linux/dma-buf.h; Documentation/driver-api/dma-buf.rst)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterator

from glview.errors import ResourceError
from glview.scanout import checks
from glview.scanout.formats import BY_FOURCC, MOD_INVALID, MOD_LINEAR, PixelFormat
from glview.scanout.geometry import Rect, span
from glview.scanout.mailbox import Mailbox
from glview.scanout.memory import Memory
from glview.scanout.replies import Replies
from glview.scanout.shadow import Shadow
from glview.scanout.source import DmabufSource
from glview.threads import Thread, describe

_DMA_BUF_IOCTL_SYNC = 0x4008_6200  # _IOW('b', 0, struct dma_buf_sync)
_SYNC_START_READ, _SYNC_END_READ = struct.pack("Q", 1), struct.pack("Q", 1 | 4)


def copyable(source: DmabufSource) -> bool:
    """Whether the CPU can read the buffer: a known format in one plane, row after row.

    A modifier that is not told may stand for any layout, but not in memory
    that no GPU has made.
    """
    fmt = BY_FOURCC.get(source.fourcc)
    if fmt is None or fmt.planes or len(source.planes) != 1:
        return False
    if source.modifier == MOD_INVALID:
        return is_plain_memory(source.planes[0].fd)
    return source.modifier == MOD_LINEAR


def is_plain_memory(fd: int) -> bool:
    """Return whether a buffer is memory of the guest's or QEMU's, which no GPU has made.

    Raises OSError.
    """
    if os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:"):
        return True
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        return exporter(info.read()) == b"udmabuf"


def exporter(fdinfo: bytes) -> bytes:
    """Return the name of the driver that made a dma-buf, by its /proc/PID/fdinfo; else b"".

    The name of the buffer itself follows. Whoever holds the buffer chooses that
    (DMA_BUF_SET_NAME): it may be any bytes, a line that looks like the driver's too.
    (Linux Documentation/filesystems/proc.rst, 3.8)
    """
    for line in fdinfo.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"exp_name":
            return value.strip()
    return b""


def likeness(source: DmabufSource) -> tuple[object, ...]:
    """What decides whether a driver imports a buffer, as it is of the next one of its kind."""
    layout = [(plane.offset, plane.stride) for plane in source.planes]
    backing = source.backing_width, source.backing_height
    memory = [(checks.may_shrink(plane.fd), checks.access(plane.fd)) for plane in source.planes]
    return source.fourcc, source.modifier, backing, layout, memory


class Copier:
    """Copies what changes of one dma-buf at a time and puts it into the mailbox as bytes.

    `replies` are the UpdateDMABUF calls whose buffer is still to be read; `answer` is called
    with those that have been. Methods are for the listener thread, or whoever excludes it.
    """

    def __init__(self, mailbox: Mailbox, answer: Callable[[list[int]], object]) -> None:
        self.replies = Replies()
        self._mailbox = mailbox
        self._answer = answer
        self._shadow = Shadow(mailbox)
        self._changed = threading.Condition()
        self._source: _Mapped | None = None
        self._wanted: Rect | None = None
        self._serials: list[int] = []  # calls to answer besides those in `replies`
        self._asked = False  # there are new calls in `replies`
        self._thread: Thread | None = None
        self._closed = False

    @property
    def active(self) -> bool:
        """Whether the newest scanout is one that is copied."""
        return self._source is not None

    def show(self, source: DmabufSource, serials: list[int]) -> None:
        """Copy this one from now on; it is the copier's to close.

        `serials` are answered once it has been read. Raises OSError where it
        cannot be mapped, or no thread can be had, having closed it.
        """
        with contextlib.closing(source):
            mapped = _Mapped(source)
        with self._changed:
            if self._thread is None:
                self._thread = self._start()
            self._source, self._wanted = mapped, mapped.all
            self._serials += serials
            self._changed.notify()

    def _start(self) -> Thread:
        thread = Thread("copier", self._run, self._failed)
        try:
            thread.start()
        except ResourceError as error:
            raise OSError(errno.EAGAIN, str(error)) from error
        return thread

    def _failed(self, line: str) -> None:
        """Show why nothing is copied any more; the next buffer starts a new thread."""
        self._mailbox.put_problem(line)
        with self._changed:
            self._source = self._wanted = self._thread = None
            serials, self._serials = self._serials + self.replies.waiting(), []
        self._answer(serials)

    def want(self, rect: Rect, serial: int) -> None:
        """A rectangle has changed; the call is to be answered once it has been read."""
        with self._changed:
            self.replies.add(serial)
            self._wanted = rect.union(self._wanted)
            self._asked = True
            self._changed.notify()

    def forget(self) -> None:
        """Another scanout took over."""
        if self._thread is None:
            return
        with self._changed:
            self._source = self._wanted = None
            self._changed.notify()

    def close(self) -> None:
        """End the thread. The mailbox gets nothing from here any more."""
        with self._changed:
            self._closed = True
            self._source = self._wanted = None
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(self._has_work)
                source, rect = self._source, self._wanted
                serials, self._serials = self._serials + self.replies.waiting(), []
                self._wanted, self._asked = None, False
            if source is not None and rect is not None:
                try:
                    self._copy(source, rect)
                except OSError as error:  # no memory for the copy
                    self._mailbox.put_problem(f"a dma-buf cannot be copied: {error.strerror}")
                except Exception as error:
                    self._mailbox.put_problem(describe("copying a dma-buf", error))
            del source  # and with it the mapping, if another scanout took over
            self._answer(serials)
        self._shadow.forget()

    def _has_work(self) -> bool:
        return bool(self._wanted or self._serials or self._asked or self._closed)

    def _copy(self, source: _Mapped, rect: Rect) -> None:
        rect = (rect.clip(source.width, source.height) if source.whole else None) or source.all
        everything = rect == source.all
        if everything:
            target = self._shadow.begin(source.span(rect))
        else:
            target = memoryview(bytearray(source.span(rect)))
        source.read(rect, target)
        with self._changed:
            if self._source is not source:
                return
            if everything:
                self._shadow.commit(source.width, source.height, source.stride, source.format)
            else:
                self._shadow.patch(rect, source.format, target, source.stride)


class _Mapped:
    """A linear dma-buf in our address space, as long as somebody holds this object."""

    def __init__(self, source: DmabufSource) -> None:
        plane = source.planes[0]
        self.format: PixelFormat = BY_FOURCC[source.fourcc]
        self.width, self.height = source.width, source.height
        self.stride = plane.stride
        self.whole = source.whole
        self.all = Rect(0, 0, source.width, source.height)
        self._bottom_up = source.y0_top
        start = plane.offset + source.y * plane.stride + source.x * self.format.size
        self._memory = Memory(self.span(self.all), os.dup(plane.fd), start)

    def span(self, rect: Rect) -> int:
        """Bytes that a rectangle takes at this stride."""
        return span(rect.width, rect.height, self.stride, self.format.size)

    def read(self, rect: Rect, target: memoryview) -> None:
        """Copy a rectangle into `target`, of `span(rect)` bytes, top row first.

        Waits for a GPU that still draws into the buffer.
        """
        into = ctypes.addressof(ctypes.c_char.from_buffer(target))
        start = self._memory.address + rect.y * self.stride + rect.x * self.format.size
        row, stride = rect.width * self.format.size, self.stride
        with _cpu_access(self._memory.fd):
            if row * 2 > stride and not self._bottom_up:  # the rest of the rows comes for nothing
                ctypes.memmove(into, start, len(target))
                return
            for number in range(rect.height):
                at = rect.height - 1 - number if self._bottom_up else number
                ctypes.memmove(into + number * stride, start + at * stride, row)


@contextlib.contextmanager
def _cpu_access(fd: int) -> Iterator[None]:
    """Caches are in order, and the GPU is done. Memory that is no dma-buf needs nothing."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _DMA_BUF_IOCTL_SYNC, _SYNC_START_READ)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, _DMA_BUF_IOCTL_SYNC, _SYNC_END_READ)
