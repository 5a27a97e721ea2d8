"""Reading calls from a listener socket, and answering them, without a copy too many.

QEMU repeats the same few header bytes for ever, so a header is parsed once
and then recognised by its bytes. Bodies stay in the socket until whoever
handles the call says where they go; tiny ones come along with the header.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from typing import Literal

from glview.dbus import wire
from glview.errors import ProtocolError, VmGoneError
from glview.stats.recorder import OFF, Recorder

_SMALL = 4096
_AHEAD = 64  # bytes that a body may have to be read along with its header
_MAX_FDS = 253  # SCM_MAX_FD of Linux
_FLAGS = int(socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC)
_ANCILLARY = socket.CMSG_SPACE(_MAX_FDS * 4)
_KNOWN_HEADERS = 64
_FIXED = struct.Struct("=8s4s4s")  # the fixed header: what is alike, the serial, what is alike
_RETURN = struct.Struct("<BBBBIIIBBBBI")  # fixed header, then the field REPLY_SERIAL
_TIMEVAL = struct.Struct("@ll")
_DRAIN = 1 << 20


class _Shape:
    """What the fixed headers of many messages have in common: all but the serial.

    `size` is the length of the fields with their padding; `end` what is read
    at once, with a tiny body.
    """

    __slots__ = ("byte_order", "end", "header", "size")

    def __init__(self, header: wire.FixedHeader) -> None:
        self.header = header
        self.byte_order: Literal["big", "little"] = "big" if header.big_endian else "little"
        self.size = header.fields_padded
        self.end = self.size + (header.body_length if header.body_length <= _AHEAD else 0)


class Call:
    """One call from the peer. Who handles it reads the body, or leaves it to be skipped.

    `fds` belong to the call until `take_fd`; those left are closed with it.
    """

    __slots__ = ("ahead", "big_endian", "fds", "fields", "left", "serial", "wants_reply")

    def __init__(
        self,
        fields: wire.Fields,
        header: wire.FixedHeader,
        serial: int,
        fds: list[int],
        ahead: memoryview,
    ) -> None:
        self.fields = fields
        self.ahead = ahead  # all of the body, or nothing
        self.serial = serial
        self.big_endian = header.big_endian
        self.wants_reply = not header.flags & wire.NO_REPLY_EXPECTED
        self.left = header.body_length
        self.fds = fds

    def take_fd(self, index: int) -> int:
        """The descriptor at `index`, now the caller's to close. Raises ProtocolError."""
        if not 0 <= index < len(self.fds) or self.fds[index] < 0:
            raise ProtocolError(f"{self.fields.member} came without its file descriptor")
        fd, self.fds[index] = self.fds[index], -1
        return fd

    def has_fds(self, indexes: list[int]) -> bool:
        """Whether each of these descriptors is there to be taken."""
        return all(0 <= index < len(self.fds) and self.fds[index] >= 0 for index in indexes)

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        for fd in self.fds:
            if fd >= 0:
                os.close(fd)
        self.fds = []


class Framing:
    """The message stream of one connected, authenticated, blocking socket.

    One thread reads; any thread may `reply`. Closing is the owner's business.
    `replied_at` is when that was done last (monotonic seconds).
    """

    def __init__(self, sock: socket.socket, recorder: Recorder = OFF) -> None:
        self._recorder = recorder
        self._sock = sock
        self._small = bytearray(_SMALL)
        self._view = memoryview(self._small)
        self._fixed = [self._view[: wire.FIXED_HEADER]]
        self._shapes: dict[tuple[bytes, bytes], _Shape] = {}
        self._headers: dict[bytes, wire.Fields] = {}
        self._lock = threading.Lock()
        self._outbox: deque[bytes] = deque()
        self._serial = 0
        self.replied_at = 0.0
        self._poll = select.poll()
        self._polled = 0  # for what
        self._patience = 0.0

    # -- reading -----------------------------------------------------------

    def wait(self, timeout: float | None) -> bool:
        """Wait for something to read; False after `timeout` seconds. Sends what was held back."""
        if timeout is None and not self._outbox:
            return True
        while True:
            events = select.POLLIN | (select.POLLOUT if self._outbox else 0)
            if events != self._polled:
                self._poll.register(self._sock, events)
                self._polled = events
            ready = self._poll.poll(None if timeout is None else max(0.0, timeout * 1000))
            if not ready or ready[0][1] & ~select.POLLOUT:
                return bool(ready)
            with self._lock:
                self._drain()

    def wait_in_next(self, seconds: float) -> None:
        """How long `next` waits for a message to begin; 0.0 is for ever.

        This is as good as `wait` for what may happen somewhat later, and a call less.
        """
        if seconds != self._patience:
            self._patience = seconds
            timeout = _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)

    def next(self) -> Call | None:
        """The next message's header; None at the end of the stream.

        Raises ProtocolError where the stream is no D-Bus, VmGoneError where it breaks off,
        BlockingIOError where none came in time.
        """
        fds = self._read_fixed()
        if fds is None:
            return None
        if self._recorder.on:
            self._recorder.arrive()
        call: Call | None = None
        try:
            shape, serial = self._shape()
            size, end = shape.size, shape.end
            raw = self._view[:end] if end <= _SMALL else memoryview(bytearray(end))
            self._exactly(raw)
            fields = self._fields(bytes(raw[:size]), shape.header)
            call = Call(fields, shape.header, serial, fds, raw[size:])
            return call
        finally:
            if call is None:
                _close_all(fds)

    def _read_fixed(self) -> list[int] | None:
        got, ancillary, flags, _ = self._sock.recvmsg_into(self._fixed, _ANCILLARY, _FLAGS)
        if got == 0:
            return None
        fds: list[int] = []
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = array.array("i")
                whole.frombytes(data[: len(data) & ~3])
                fds.extend(whole)
        if flags & socket.MSG_CTRUNC:
            _close_all(fds)
            raise ProtocolError("a message brought more file descriptors than can be taken")
        if got < wire.FIXED_HEADER:
            try:
                self._exactly(self._view[got : wire.FIXED_HEADER])
            except VmGoneError:
                _close_all(fds)
                raise
        return fds

    def _shape(self) -> tuple[_Shape, int]:
        """What the fixed header says, and the serial."""
        before, raw_serial, after = _FIXED.unpack_from(self._small)
        known = self._shapes.get((before, after))
        if known is None:
            known = _Shape(wire.parse_fixed(before + raw_serial + after))
            if len(self._shapes) < _KNOWN_HEADERS:
                self._shapes[before, after] = known
        serial = int.from_bytes(raw_serial, known.byte_order)
        if not serial:
            raise ProtocolError("a message without a serial number")
        return known, serial

    def _fields(self, raw: bytes, header: wire.FixedHeader) -> wire.Fields:
        known = self._headers.get(raw)
        if known is None:
            known = wire.parse_fields(raw[: header.fields_length], header.big_endian)
            if header.type == wire.CALL and len(self._headers) < _KNOWN_HEADERS:
                self._headers[raw] = known
        return known if header.type == wire.CALL else known._replace(member="")

    def _exactly(self, into: memoryview) -> None:
        while len(into):
            try:
                got = self._sock.recv_into(into, len(into), socket.MSG_WAITALL)
            except BlockingIOError:  # `wait_in_next` is for the beginning
                continue
            except OSError as error:
                raise VmGoneError(f"the connection broke: {error.strerror}") from None
            if got == 0:
                raise VmGoneError("the connection ended in the middle of a message")
            into = into[got:]

    def read(self, call: Call, size: int) -> memoryview:
        """The next `size` bytes of the body, at most 4096; valid until the next read."""
        if size > call.left or size > _SMALL:
            raise ProtocolError(
                f"{call.fields.member} is too {'short' if size > call.left else 'long'}"
            )
        call.left -= size
        if call.ahead:
            part, call.ahead = call.ahead[:size], call.ahead[size:]
            return part
        part = self._view[:size]
        self._exactly(part)
        return part

    def read_into(self, call: Call, target: memoryview) -> None:
        """The next bytes of the body, as many as `target` holds."""
        size = len(target)
        if size > call.left:
            raise ProtocolError(f"{call.fields.member} is too short")
        call.left -= size
        if call.ahead:
            target[:], call.ahead = call.ahead[:size], call.ahead[size:]
        else:
            self._exactly(target)

    def skip(self, call: Call) -> None:
        """Throw away what is left of the body."""
        if call.left and not call.ahead:
            scratch = memoryview(bytearray(min(call.left, _DRAIN)))
            while call.left:
                self.read_into(call, scratch[: min(call.left, len(scratch))])

    # -- answering ---------------------------------------------------------

    def reply(self, *serials: int) -> None:
        """Answer calls with an empty reply each. Never waits."""
        self.replied_at = time.monotonic()
        with self._lock:
            answers = [
                _RETURN.pack(
                    *(ord("l"), wire.RETURN, wire.NO_REPLY_EXPECTED, 1, 0, self._next(), 8),
                    *(5, 1, ord("u"), 0, serial),
                )
                for serial in serials
            ]
            self._outbox.append(b"".join(answers))
            self._drain()
        if self._recorder.on:
            for serial in serials:
                self._recorder.reply(serial)

    def send(self, message: wire.Message) -> None:
        """Send any other message. Never waits."""
        with self._lock:
            message.serial = self._next()
            self._outbox.append(wire.encode(message))
            self._drain()

    def _next(self) -> int:
        self._serial = self._serial % 0xFFFF_FFFF + 1
        return self._serial

    def _drain(self) -> None:
        """Send what fits; the lock is held."""
        while self._outbox:
            data = self._outbox[0]
            try:
                sent = self._sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:  # the reader sees the end of the stream too
                self._outbox.clear()
                return
            if sent < len(data):
                self._outbox[0] = data[sent:]
                return
            self._outbox.popleft()


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
    fds.clear()
