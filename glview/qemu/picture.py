"""The calls that carry the picture: arguments checked, pixels put where they belong.

One method for each call of the Listener interfaces; QEMU's side of them is
ui/dbus-listener.c. All run on the listener's thread.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable

from glview.dbus import wire
from glview.errors import ProtocolError
from glview.qemu.answers import Answers
from glview.qemu.framing import Call, Framing
from glview.qemu.livelock import Livelock
from glview.scanout import checks
from glview.scanout.copier import Copier, copyable, likeness
from glview.scanout.formats import PixelFormat
from glview.scanout.geometry import Rect
from glview.scanout.kept import Maps
from glview.scanout.mailbox import Cursor, Mailbox, Pointer
from glview.scanout.shadow import Shadow
from glview.scanout.source import DmabufSource, MapSource, Plane
from glview.stats.recorder import BYTES, COPIED, DMABUF, MAP


def _layout(fields: str) -> dict[bool, struct.Struct]:
    return {big: struct.Struct((">" if big else "<") + fields) for big in (False, True)}


_SCANOUT = _layout("5I")  # width, height, stride, format, length
_UPDATE = _layout("4i3I")  # x, y, width, height, stride, format, length
_CURSOR = _layout("4iI")  # width, height, hot x, hot y, length
_RECT = _layout("4i")
_MOUSE = _layout("3i")  # x, y, on
_MAP = _layout("6I")  # handle, offset, width, height, stride, format
_DMABUF = _layout("5I4xQI")  # handle, width, height, stride, fourcc, modifier, y0_top


ANSWERED_HERE = frozenset(("ScanoutMap", "UpdateDMABUF"))

_OF_THE_POINTER = "MouseSet", "CursorDefine"

# How long a picture may be larger than its console before it is cut to size.
SETTLE_AFTER = 0.1


class PictureCalls:
    """Decodes the calls of one listener and puts the outcome into the mailbox.

    It answers the calls in `ANSWERED_HERE`, each when due; the listener answers all others.

    `maps` are mappings of shared memory, kept over page flips.
    `copier` copies the dma-bufs that the main thread could not import;
    `answer` is what it calls with the UpdateDMABUF calls that it is through with.
    """

    def __init__(
        self,
        framing: Framing,
        answers: Answers,
        mailbox: Mailbox,
        answer: Callable[[list[int]], object],
    ) -> None:
        self._framing = framing
        self._answers = answers
        self._mailbox = mailbox
        self._recorder = mailbox.recorder
        self._shadow = Shadow(mailbox)
        self.maps = Maps()
        self._size = (0, 0)  # of the newest map or dma-buf scanout
        self._dmabuf: DmabufSource | None = None  # the newest scanout, if it is one
        self.copier = Copier(mailbox, answer)
        self.livelock = Livelock(self._pass_on, lambda: answers.replied_at)
        self._refused: tuple[object, ...] = ()  # what dma-bufs are like that are copied
        self._scratch = memoryview(b"")
        self._came_otherwise = True  # the newest picture, or one since there were bytes last
        self._console: tuple[int, int] | None = None
        self.settle_at: float | None = None  # when `settle` has something to do
        self._guard = threading.Lock()
        self._handlers = {
            "Scanout": self._scanout,
            "Update": self._update,
            "ScanoutMap": self._scanout_map,
            "UpdateMap": self._update_map,
            "ScanoutDMABUF": self._scanout_dmabuf,
            "ScanoutDMABUF2": self._scanout_dmabuf2,
            "UpdateDMABUF": self._update_dmabuf,
            "Disable": self._disable,
            "MouseSet": self._mouse_set,
            "CursorDefine": self._cursor_define,
        }

    def handle(self, call: Call) -> None:
        """Handle a call whose member and signature are known.

        Raises ProtocolError for arguments that make no sense; the stream is
        intact then, and what is left of the body is skipped by the caller.
        """
        member = call.fields.member
        if self.livelock.due is not None and member not in _OF_THE_POINTER:
            self.livelock.release()
        self._handlers[member](call)

    def console_resized(self, width: int, height: int) -> None:
        """Show no more of a byte picture than the console has. Any thread."""
        with self._guard:
            self._console = width, height
            self._shadow.crop(width, height)

    def settle(self, now: float) -> None:
        """Crop what stayed larger than the console, if it is time."""
        if self.settle_at is not None and now >= self.settle_at:
            self.settle_at = None
            with self._guard:
                if self._console is not None:
                    self._shadow.crop(*self._console)

    def _settle_later(self) -> None:
        """The console's size comes on another connection, perhaps before older pictures."""
        size, console = self._shadow.size, self._console
        if console is None or (size[0] <= console[0] and size[1] <= console[1]):
            self.settle_at = None
        elif self.settle_at is None:  # more rectangles may come for ever
            self.settle_at = time.monotonic() + SETTLE_AFTER

    def close(self) -> None:
        """Let go of the pictures' memory."""
        self.maps.end()
        with self._guard:
            self._shadow.forget()
            self.copier.close()

    def _unpack(self, call: Call, layout: dict[bool, struct.Struct]) -> tuple[int, ...]:
        fields = layout[call.big_endian]
        if call.left == fields.size == len(call.ahead):
            call.left = 0
            return fields.unpack(call.ahead)
        return fields.unpack(self._framing.read(call, fields.size))

    # -- bytes -------------------------------------------------------------

    def _scanout(self, call: Call) -> None:
        width, height, stride, code, length = self._unpack(call, _SCANOUT)
        fmt = checks.pixman_format(code)
        needed = checks.picture(width, height, stride, fmt)
        if length != call.left or length < needed:
            raise ProtocolError(f"{length} bytes for a picture of {needed}")
        self._frame(call, (width, height), stride, fmt, needed)

    def _frame(
        self, call: Call, size: tuple[int, int], stride: int, fmt: PixelFormat, needed: int
    ) -> None:
        """Receive a whole picture of `needed` bytes; QEMU may send more than that."""
        with self._guard:
            memory = self._shadow.begin(needed)
        self._framing.read_into(call, memory)
        if self._recorder.on:
            self._recorder.offer(BYTES)
        with self._guard:
            self._shadow.commit(*size, stride, fmt)
            self._came_as_bytes()

    def _update(self, call: Call) -> None:
        x, y, width, height, stride, code, length = self._unpack(call, _UPDATE)
        fmt = checks.pixman_format(code)
        rect = checks.rectangle(x, y, width, height)
        if not self._shadow.holds(rect, fmt):
            checks.picture(x + width, y + height, (x + width) * fmt.size, fmt)
        needed = checks.picture(width, height, stride, fmt)
        if length != call.left or length < needed:
            raise ProtocolError(f"{length} bytes for a rectangle of {needed}")
        pixels = call.ahead[:needed]
        if len(pixels) == needed:
            call.left -= len(call.ahead)
        else:
            if self._shadow.is_all(rect, fmt):
                self._frame(call, (width, height), stride, fmt, needed)
                return
            pixels = self._room(needed)
            self._framing.read_into(call, pixels)
        if self._recorder.on:
            self._recorder.offer(BYTES)
        with self._guard:
            self._shadow.patch(rect, fmt, pixels, stride)
            self._came_as_bytes()

    def _room(self, size: int) -> memoryview:
        """Memory that nobody else looks at, until the next call."""
        if len(self._scratch) < size:
            self._scratch = memoryview(bytearray(size))
        return self._scratch[:size]

    def _came_as_bytes(self) -> None:
        if self._console is not None:
            self._settle_later()
        if self._came_otherwise:
            self._came_otherwise = False
            self._no_dmabuf()
            self.maps.forget()

    # -- shared memory -----------------------------------------------------

    def _scanout_map(self, call: Call) -> None:
        handle, offset, width, height, stride, code = self._unpack(call, _MAP)
        fmt = checks.pixman_format(code)
        size = checks.picture(width, height, stride, fmt)
        fd = call.take_fd(handle)
        try:
            checks.mappable(fd, offset + size)
        except ProtocolError:
            os.close(fd)
            raise
        self.maps.only((width, height))
        memory = self.maps.memory(fd, offset, size)
        if call.wants_reply:
            self._answers.reply(call.serial)
        self._size = width, height
        self._came_otherwise = True
        with self._guard:
            self._shadow.forget()
            self._no_dmabuf()
        source = MapSource(memory, width, height, stride, fmt)
        self._mailbox.put_source(source, Rect(0, 0, width, height), updated=False)

    def _update_map(self, call: Call) -> None:
        rect = self._clip(self._unpack(call, _RECT))
        if self._recorder.on:
            self._recorder.offer(MAP)
            self._recorder.buffers = self.maps.counts.triple
        self._mailbox.put_damage(rect)
        self.maps.tidy()

    def _clip(self, rect: tuple[int, ...]) -> Rect:
        """Damage inside the scanout; all of it where QEMU's rectangle is a stale one."""
        width, height = self._size
        x, y, w, h = rect
        if x >= 0 <= y and w > 0 < h and x + w <= width and y + h <= height:
            return Rect(x, y, w, h)
        return Rect(x, y, w, h).clip(width, height) or Rect(0, 0, width, height)

    # -- dma-bufs ----------------------------------------------------------

    def _scanout_dmabuf(self, call: Call) -> None:
        handle, width, height, stride, fourcc, modifier, y0_top = self._unpack(call, _DMABUF)
        planes = (Plane(call.take_fd(handle), 0, stride),)
        rect = 0, 0, width, height
        self._put_dmabuf(
            DmabufSource(planes, rect, (width, height), fourcc, modifier, bool(y0_top))
        )

    def _scanout_dmabuf2(self, call: Call) -> None:
        body = self._framing.read(call, call.left)
        values, _ = wire.unmarshal(call.fields.signature, body, 0, call.big_endian)
        handles, x, y, width, height, offsets, strides, count, fourcc, *rest = values
        backing_width, backing_height, modifier, y0_top = rest
        if not 1 <= count <= 4 or not handles or min(len(offsets), len(strides)) < count:
            raise ProtocolError(f"{len(handles)} buffers for {count} planes")
        # Planes that share a buffer come without an fd of their own.
        wanted = [handles[i] if i < len(handles) else handles[0] for i in range(count)]
        if not call.has_fds(wanted):
            raise ProtocolError("ScanoutDMABUF2 came without its file descriptors")
        fds = {handle: call.take_fd(handle) for handle in set(wanted)}
        at = [fds[handle] for handle in wanted]
        planes = tuple(Plane(*p) for p in zip(at, offsets, strides, strict=False))
        if y0_top:  # y counts from the picture's top, which is the last row in memory
            y = backing_height - y - height
        rect, backing = (x, y, width, height), (backing_width, backing_height)
        self._put_dmabuf(DmabufSource(planes, rect, backing, fourcc, modifier, bool(y0_top)))

    def _put_dmabuf(self, source: DmabufSource) -> None:
        try:
            self._check_dmabuf(source)
        except ProtocolError:
            source.close()
            raise
        self._size = source.width, source.height
        self.livelock.scanout(source)
        self.maps.forget()
        self._came_otherwise = True
        with self._guard:
            self._shadow.forget()
            self._dmabuf = source
            if likeness(source) == self._refused:
                self.copier.show(source, [])
                return
            self.copier.forget()
        damage = Rect(0, 0, source.width, source.height)
        self._mailbox.put_source(source, damage, updated=False)

    def copy_instead(self, source: DmabufSource, serials: list[int]) -> bool:
        """Copy this one, which cannot be imported, and all that are like it. Any thread.

        Takes over the source and the calls that wait for it. False where it
        cannot be copied either, and all stays with the caller.
        """
        if not copyable(source):
            return False
        like = likeness(source)
        with contextlib.closing(source), self._guard:
            if source is self._dmabuf:
                try:
                    self.copier.show(source, serials)
                except OSError:
                    return False
            self._refused = like
        return True

    def _no_dmabuf(self) -> None:
        self._dmabuf = None
        self.copier.forget()

    @staticmethod
    def _check_dmabuf(source: DmabufSource) -> None:
        rect = checks.rectangle(source.x, source.y, source.width, source.height)
        backing = source.backing_width, source.backing_height
        checks.rectangle(0, 0, *backing)
        if rect.clip(*backing) != rect:
            raise ProtocolError(f"the scanout lies outside its buffer of {backing[0]}x{backing[1]}")
        checks.dmabuf_planes(source.planes, backing, source.fourcc, source.modifier)

    def _update_dmabuf(self, call: Call) -> None:
        serial = call.serial if call.wants_reply else 0
        self.livelock.update(self._clip(self._unpack(call, _RECT)), serial)

    def _pass_on(self, rect: Rect, serial: int) -> None:
        with self._guard:  # it may be handed to the copier just now
            if self._recorder.on and self._dmabuf is not None:
                self._recorder.offer(COPIED if self.copier.active else DMABUF, serial)
            if self.copier.active:
                self.copier.want(rect, serial)
                return
            waits = self._dmabuf is not None and self._mailbox.put_update(rect, serial)
        if not waits:
            self._answers.reply(serial)

    def _disable(self, _call: Call) -> None:
        self._mailbox.put_disable()

    # -- pointer -----------------------------------------------------------

    def _mouse_set(self, call: Call) -> None:
        x, y, on = self._unpack(call, _MOUSE)
        self._mailbox.put_pointer(Pointer(x, y, bool(on)))

    def _cursor_define(self, call: Call) -> None:
        width, height, hot_x, hot_y, length = self._unpack(call, _CURSOR)
        sane = 0 < width <= checks.MAX_SPRITE and 0 < height <= checks.MAX_SPRITE
        if not sane or length != call.left or length < width * height * 4:
            raise ProtocolError(f"{length} bytes for a pointer sprite of {width}x{height}")
        pixels = bytearray(width * height * 4)
        self._framing.read_into(call, memoryview(pixels))
        self._mailbox.put_cursor(Cursor(width, height, hot_x, hot_y, bytes(pixels)))
