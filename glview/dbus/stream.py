"""Reads whole D-Bus messages from a Unix stream socket, with descriptors, within limits."""

from __future__ import annotations

import os
import select
import socket
from array import array
from collections.abc import Callable
from typing import NamedTuple

from glview.dbus.limits import MAX_FDS, MAX_FIELDS, WHOLE, Limit, TooLargeError
from glview.dbus.wire import (
    FIXED_HEADER,
    Fields,
    FixedHeader,
    Message,
    check_fields,
    decode_body,
    parse_fields,
    parse_fixed,
)
from glview.errors import ProtocolError

_ANCILLARY = socket.CMSG_SPACE(MAX_FDS * 4)
_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_SCRAP = 1 << 16  # bytes thrown away at once

Judge = Callable[[FixedHeader, Fields], Limit]
"""Returns the limit for a message, by its header."""


class Refused(NamedTuple):
    """A message that was thrown away; `reason` says why, in words."""

    header: FixedHeader
    fields: Fields
    reason: str


class Stream:
    """Reads the messages of one socket, whose owner closes it; never waits.

    `judge` is asked for the limit of each message before its body is received. Memory for a
    body is taken as the body comes.
    """

    def __init__(self, sock: socket.socket, judge: Judge) -> None:
        self._sock = sock
        self._judge = judge
        self._fds: list[int] = []  # of the message that is being received
        self._begin()

    def _begin(self) -> None:
        self._data = bytearray(FIXED_HEADER)
        self._have = 0
        self._header: FixedHeader | None = None
        self._fields = Fields()
        self._limit: Limit | None = None
        self._skip = 0
        self._reason = ""

    def close(self) -> None:
        """Close the descriptors of a message that did not come to its end."""
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)

    def next(self) -> Message | Refused | None:
        """Return the next message, whose descriptors are its own; None at the peer's end.

        Raises BlockingIOError while the message is not there yet, ProtocolError for what the
        protocol does not allow, also for an end in the middle of a message, and OSError.
        """
        header = self._header or self._receive_header()
        if header is None:
            return None
        if self._limit is None and not self._reason:
            self._limit = self._receive_fields(header)
        if not self._reason:
            self._fill(FIXED_HEADER + header.remainder)
            message = self._decode(header)
            if message is not None:
                self._begin()
                return message
        self._throw_away()
        self.close()
        refused = Refused(header, self._fields, self._reason)
        self._begin()
        return refused

    def _receive_header(self) -> FixedHeader | None:
        if not self._fill_head():
            return None
        self._header = header = parse_fixed(self._data)
        if header.fields_length > MAX_FIELDS:
            self._refuse(f"{header.fields_length} bytes of header fields", header.remainder)
        return header

    def _receive_fields(self, header: FixedHeader) -> Limit:
        self._fill(FIXED_HEADER + header.fields_padded)
        end = FIXED_HEADER + header.fields_length
        self._fields = parse_fields(memoryview(self._data)[FIXED_HEADER:end], header.big_endian)
        check_fields(header.type, self._fields)
        limit = self._judge(header, self._fields)
        size = FIXED_HEADER + header.remainder
        if size > limit.size:
            self._refuse(f"{size} bytes, more than {limit.size}", header.body_length)
        return limit

    def _refuse(self, reason: str, skip: int) -> None:
        self._reason, self._skip = reason, skip

    def _decode(self, header: FixedHeader) -> Message | None:
        body = memoryview(self._data)[FIXED_HEADER + header.fields_padded :]
        try:
            assert self._limit is not None
            message = decode_body(header, self._fields, body, tuple(self._fds), self._limit)
        except TooLargeError as error:
            self._refuse(str(error), 0)
            return None
        self._fds = []
        return message

    # -- the socket ----------------------------------------------------------------------

    def _fill_head(self) -> bool:
        """Receive the fixed header, with the descriptors. False at the end of the stream."""
        while self._have < FIXED_HEADER:
            view = memoryview(self._data)[self._have :]
            got, ancillary, flags, _ = self._sock.recvmsg_into([view], _ANCILLARY, _FLAGS)
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._fds += array("i", data[: len(data) // 4 * 4])
            if flags & socket.MSG_CTRUNC:
                raise ProtocolError(
                    "file descriptors were lost", "is the limit on open files reached?"
                )
            if len(self._fds) > MAX_FDS:
                raise ProtocolError(f"more than {MAX_FDS} file descriptors with one message")
            if not got and not self._have:
                return False
            self._advance(got)
        return True

    def _fill(self, size: int) -> None:
        """Receive up to `size` bytes of the message."""
        if len(self._data) < size:
            data = bytearray(size)  # the kernel gives its pages as they are written
            data[: self._have] = self._data
            self._data = data
        view = memoryview(self._data)
        while self._have < size:
            self._advance(self._sock.recv_into(view[self._have : size], 0, _FLAGS))

    def _throw_away(self) -> None:
        """Receive the rest of a message that is refused, into nothing."""
        self._data = bytearray()
        scrap = bytearray(min(self._skip, _SCRAP))
        while self._skip:
            got = self._sock.recv_into(scrap, min(self._skip, len(scrap)), _FLAGS)
            self._advance(got)
            self._skip -= got

    def _advance(self, got: int) -> None:
        if not got:
            raise ProtocolError("the connection ended in the middle of a message")
        self._have += got


def read_message(sock: socket.socket) -> Message | None:
    """Wait for the next message, whose descriptors are its own; None when the peer hung up.

    Takes any message that D-Bus allows. Raises ProtocolError for what the protocol does not
    allow, also for an end in the middle of a message, OSError, and TimeoutError as `sock`
    has it; no descriptor is left open then.
    """
    stream = Stream(sock, lambda header, fields: WHOLE)
    try:
        while True:
            try:
                message = stream.next()
            except BlockingIOError:
                _wait(sock)
                continue
            if isinstance(message, Refused):
                raise TooLargeError(message.reason)
            return message
    finally:
        stream.close()


def _wait(sock: socket.socket) -> None:
    """Wait for something to read."""
    timeout = sock.gettimeout()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if not poll.poll(None if timeout is None else timeout * 1000):
        raise TimeoutError("timed out")
