"""Reading calls from a listener socket, without a copy too many.

QEMU repeats the same few header bytes for ever, so a header is parsed once
and then recognised by its bytes. Bodies stay in the socket until whoever
handles the call says where they go; short ones come along with the header.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
from typing import Literal

from glview.dbus import wire
from glview.dbus.limits import MAX_FDS, MAX_FIELDS, UNASKED
from glview.errors import ProtocolError, VmGoneError
from glview.qemu.answers import Answers
from glview.stats.recorder import OFF, Recorder

_SMALL = 4096
_SHORT = 1 << 15  # bytes that a body may have to be read along with its header
_FRONT = 1 << 16  # more than such a body with the longest header
_WHOLE = int(socket.MSG_WAITALL)  # plain numbers: an operation on flags is some calls of Python
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_TRUNCATED = int(socket.MSG_CTRUNC)
_ANCILLARY = socket.CMSG_SPACE(MAX_FDS * 4)
_KNOWN_HEADERS, _KNOWN_SIZE = 64, 512  # of each shape, and bytes of one: QEMU's have 160
_FIXED = struct.Struct("=4s4s4s4s")  # what kind, length of the body, serial, length of the fields
_TIMEVAL = struct.Struct("@ll")
_DRAIN = 1 << 20


class _Shape:
    """The part that the headers of many messages share: all but serial and length of the body.

    `size` is the length of both headers with their padding, `most` the longest body allowed.
    `numbers` are the bytes of a long body that are wanted at once: what comes before its
    pixels, and none of these, as they are copied faster to where memory is aligned.
    `fields` are those that were there, by their bytes.
    """

    __slots__ = ("byte_order", "fields", "header", "most", "numbers", "size", "wants_reply")

    def __init__(self, header: wire.FixedHeader) -> None:
        self.header = header
        self.byte_order: Literal["big", "little"] = "big" if header.big_endian else "little"
        self.wants_reply = not header.flags & wire.NO_REPLY_EXPECTED
        self.size = wire.FIXED_HEADER + header.fields_padded
        most = wire.MAX_MESSAGE if header.type == wire.CALL else UNASKED.size
        self.most = most - self.size
        self.numbers = 0
        self.fields: dict[bytes, wire.Fields] = {}

    def parse(self, raw: bytes) -> wire.Fields:
        """The fields in `raw`; nothing but calls has a member."""
        fields = wire.parse_fields(raw[: self.header.fields_length], self.header.big_endian)
        if self.header.type != wire.CALL:
            return fields._replace(member="")
        if len(self.fields) < _KNOWN_HEADERS and len(raw) <= _KNOWN_SIZE:
            self.fields[raw] = fields
        numbers = fields.signature.removesuffix("ay")
        plain = numbers != fields.signature and set(numbers) <= {"i", "u"}
        self.numbers = 4 * len(numbers) + 4 if plain else 0  # and the length of the array
        return fields


class Call:
    """One call from the peer. Who handles it reads the body, or leaves it to be skipped.

    `fds` belong to the call until `take_fd`; those left are closed with it.
    """

    __slots__ = ("ahead", "big_endian", "fds", "fields", "left", "serial", "wants_reply")

    def __init__(
        self,
        fields: wire.Fields,
        shape: _Shape,
        serial: int,
        body: int,
        fds: list[int],
        ahead: memoryview,
    ) -> None:
        self.fields = fields
        self.ahead = ahead  # the beginning of what is left: all of it, if it is short
        self.serial = serial
        self.big_endian = shape.header.big_endian
        self.wants_reply = shape.wants_reply
        self.left = body
        self.fds = fds

    def take_fd(self, index: int) -> int:
        """The descriptor at `index`, now the caller's to close. Raises ProtocolError."""
        if not 0 <= index < len(self.fds) or self.fds[index] < 0:
            raise ProtocolError(f"{self.fields.member} came without its file descriptor")
        fd, self.fds[index] = self.fds[index], -1
        return fd

    def has_fds(self, indexes: list[int]) -> bool:
        """Return whether each of these descriptors is there to be taken."""
        return all(0 <= index < len(self.fds) and self.fds[index] >= 0 for index in indexes)

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        for fd in self.fds:
            if fd >= 0:
                os.close(fd)
        self.fds = []


class Framing:
    """The message stream of one connected, authenticated, blocking socket.

    One thread reads. QEMU mostly repeats itself, so that as much is asked for at once as the
    message before was long, but for most of a longer body. What that brings of the next
    message is kept, with its descriptors. `answers` are sent while the thread waits, if it has to.
    """

    def __init__(self, sock: socket.socket, answers: Answers, recorder: Recorder = OFF) -> None:
        self._recorder = recorder
        self._sock = sock
        self._answers = answers
        self._front = bytearray(_FRONT)  # headers, short bodies, what came with them
        self._view = memoryview(self._front)
        self._at = self._have = 0  # from where to where is not used yet
        self._expected = wire.FIXED_HEADER
        self._fds: list[int] = []  # of what is there
        self._small = memoryview(bytearray(_SMALL))
        self._shapes: dict[tuple[bytes, bytes], _Shape] = {}
        self._poll = select.poll()
        self._polled = 0  # for what
        self._patience = 0.0

    def close(self) -> None:
        """Close the descriptors of messages that were not read. The socket is the owner's."""
        _close_all(self._fds)

    def wait(self, timeout: float | None) -> bool:
        """Wait for something to read; False after `timeout` seconds. Sends what was held back.

        Raises ProtocolError where too much is held back.
        """
        answers = self._answers
        answers.check()
        if self._at < self._have:
            return True
        while True:
            events = select.POLLIN | (select.POLLOUT if answers.held else 0)
            if events != self._polled:
                self._poll.register(self._sock, events)
                self._polled = events
            ready = self._poll.poll(None if timeout is None else max(0.0, timeout * 1000))
            if not ready:
                return False
            if ready[0][1] & select.POLLOUT:
                answers.drain()
            if ready[0][1] & ~select.POLLOUT:
                return True

    def wait_in_next(self, seconds: float) -> None:
        """Set how long `next` waits for a message to begin, in seconds; 0.0 is for ever.

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
        if self._at == self._have:
            self._at = self._have = 0
            if not self._receive():
                return None
        else:
            self._to_the_front()
        while self._have < wire.FIXED_HEADER:
            if not self._receive():
                raise VmGoneError("the connection ended in the middle of a message")
        if self._recorder.on:
            self._recorder.arrive()
        kind, length, number, fields_length = _FIXED.unpack_from(self._front)
        shape = self._shapes.get((kind, fields_length)) or self._new_shape(kind, fields_length)
        body = int.from_bytes(length, shape.byte_order)
        serial = int.from_bytes(number, shape.byte_order)
        if not serial or body > shape.most:
            wire.parse_fixed(self._front[: wire.FIXED_HEADER])  # may say what is wrong
            raise ProtocolError(f"a message of {shape.size + body} bytes that is no call")
        size = shape.size
        end = size + (body if body <= _SHORT else shape.numbers)
        view = self._view if self._have >= end else self._complete(end)
        self._at = self._expected = end
        raw = bytes(view[wire.FIXED_HEADER : size])
        fields = shape.fields.get(raw) or shape.parse(raw)
        fds = self._fds_of(fields) if self._fds else []
        return Call(fields, shape, serial, body, fds, view[size:end])

    def _to_the_front(self) -> None:
        if self._at:
            rest = self._have - self._at
            self._front[:rest] = self._front[self._at : self._have]
            self._at, self._have = 0, rest

    def _receive(self) -> bool:
        """Take in more, as far as that is expected; False at the end of the stream."""
        got, ancillary, flags, _ = self._sock.recvmsg_into(
            [self._view[self._have : self._expected]], _ANCILLARY, _CLOEXEC
        )
        if ancillary:
            self._take_fds(ancillary)
        if flags & _TRUNCATED:
            raise ProtocolError("a message brought more file descriptors than can be taken")
        self._have += got
        return got > 0

    def _take_fds(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = array.array("i")
                whole.frombytes(data[: len(data) & ~3])
                self._fds.extend(whole)
        if len(self._fds) > MAX_FDS:  # nobody declares those of earlier messages
            raise ProtocolError("messages brought more file descriptors than they declare")

    def _fds_of(self, fields: wire.Fields) -> list[int]:
        """Return the descriptors of a message: all, unless the next message is here, too."""
        count = len(self._fds) if self._at == self._have else fields.unix_fds
        fds, self._fds = self._fds[:count], self._fds[count:]
        return fds

    def _new_shape(self, kind: bytes, fields_length: bytes) -> _Shape:
        header = wire.parse_fixed(self._front[: wire.FIXED_HEADER])
        if header.fields_length > MAX_FIELDS:
            raise ProtocolError(f"a message with {header.fields_length} bytes of header fields")
        shape = _Shape(header)
        if len(self._shapes) < _KNOWN_HEADERS:
            self._shapes[kind, fields_length] = shape
        return shape

    def _complete(self, end: int) -> memoryview:
        """Receive up to `end`, and return the view of all that is there."""
        self._from_socket(self._view[self._have : end])
        self._have = end
        return self._view

    def _from_socket(self, into: memoryview) -> None:
        while len(into):
            try:
                got = self._sock.recv_into(into, len(into), _WHOLE)
            except BlockingIOError:  # `wait_in_next` is for the beginning
                continue
            except OSError as error:
                raise VmGoneError(f"the connection broke: {error.strerror}") from None
            if got == 0:
                raise VmGoneError("the connection ended in the middle of a message")
            into = into[got:]

    def _exactly(self, into: memoryview) -> None:
        ready = self._view[self._at : self._have][: len(into)]
        into[: len(ready)] = ready
        self._at += len(ready)
        self._from_socket(into[len(ready) :])

    def read(self, call: Call, size: int) -> memoryview:
        """The next `size` bytes of the body, at most 4096; valid until the next read."""
        if size > call.left or size > _SMALL:
            raise ProtocolError(
                f"{call.fields.member} is too {'short' if size > call.left else 'long'}"
            )
        call.left -= size
        if len(call.ahead) >= size:
            part, call.ahead = call.ahead[:size], call.ahead[size:]
        else:
            part = self._small[:size]
            self._fill(call, part)
        return part

    def read_into(self, call: Call, target: memoryview) -> None:
        """The next bytes of the body, as many as `target` holds."""
        size = len(target)
        if size > call.left:
            raise ProtocolError(f"{call.fields.member} is too short")
        call.left -= size
        self._fill(call, target)

    def _fill(self, call: Call, target: memoryview) -> None:
        ready = call.ahead[: len(target)]
        target[: len(ready)] = ready
        call.ahead = call.ahead[len(ready) :]
        self._exactly(target[len(ready) :])

    def skip(self, call: Call) -> None:
        """Throw away what is left of the body."""
        if call.left > len(call.ahead):
            scratch = memoryview(bytearray(min(call.left, _DRAIN)))
            while call.left:
                self.read_into(call, scratch[: min(call.left, len(scratch))])


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
    fds.clear()
