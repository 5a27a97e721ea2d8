"""dbus-next's connection and values, made to fit ours. See `bus`."""

from __future__ import annotations

import array
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from dbus_next._private.unmarshaller import MarshallerStreamEndError
from dbus_next.aio.message_bus import MessageBus
from dbus_next.signature import Variant as NextVariant

from glview.dbus.signature import Type, parse, parse_single
from glview.dbus.limits import MAX_FDS
from glview.dbus.wire import FIXED_HEADER, Variant, parse_fixed

log = logging.getLogger(__name__)

LARGEST = 1 << 18
"""Bytes of a message; lists of names and descriptions of VMs have a few thousand."""

_AT_ONCE = 32  # messages
_PART = 1 << 16  # bytes

Value = Any  # of a D-Bus type; see the table in `values`


class NextBus(MessageBus):
    """dbus-next's connection, on a socket that is connected and authenticated."""

    def __init__(self, sock: socket.socket) -> None:
        self._ready = sock
        self._left_out = 0  # bytes of a message that is too large
        super().__init__("unix:path=/unused", negotiate_unix_fd=True)

    def _setup_socket(self) -> None:
        self._sock = self._ready
        self._sock.setblocking(False)
        self._stream = self._sock.makefile("rwb")
        self._fd = self._sock.fileno()

    async def _authenticate(self) -> None:
        """Done before."""

    def _message_reader(self) -> None:
        """Take some messages, so that what is to be sent has its turn in a flood of them.

        What the protocol does not allow, and what is too large for a signal or an answer
        of a bus, is left out: any client of the bus may have sent it.
        """
        try:
            for _ in range(_AT_ONCE):
                if not (self._skips() and self._take_one()):
                    return
        except Exception as error:
            self._finalize(error)  # type: ignore[no-untyped-call]

    def _skips(self) -> bool:
        """Throw away the rest of a message that is too large. False if that is to come yet."""
        while self._left_out:
            try:
                part, ancillary, *_ = self._sock.recvmsg(
                    min(self._left_out, _PART), socket.CMSG_SPACE(MAX_FDS * 4)
                )
            except BlockingIOError:
                return False
            if not part:
                raise EOFError
            self._left_out -= len(part)
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                    close_all(fds)
        return True

    def _take_one(self) -> bool:
        """Take the next message. False if it is not whole yet."""
        unmarshaller, message = self._unmarshaller, None
        try:
            if len(unmarshaller.buf) < FIXED_HEADER:
                unmarshaller.read(FIXED_HEADER, prefetch=True)
                self._left_out = self._excess(unmarshaller.buf)
            if not self._left_out:
                if not unmarshaller.unmarshall():
                    return False
                message = unmarshaller.message
        except MarshallerStreamEndError:
            return False
        except (OSError, EOFError):
            raise
        except Exception as error:
            log.debug("a message that dbus-next does not take: %s", error)
        self._unmarshaller = self._create_unmarshaller()  # type: ignore[no-untyped-call]
        if message is None:
            close_all(unmarshaller.unix_fds)
        else:
            self._on_message(message)  # type: ignore[no-untyped-call]
        return True

    @staticmethod
    def _excess(head: bytearray) -> int:
        """Return how many bytes of a message are to be left out after its head. Mostly 0."""
        remainder = parse_fixed(bytes(head)).remainder
        if remainder <= LARGEST:
            return 0
        log.debug("a message of %d bytes was left out", remainder)
        return remainder

    def release(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):  # what it could not send any more
            self._stream.close()
        self._sock.close()


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody took."""
    for fd in fds:
        os.close(fd)


def to_next(signature: str, body: tuple[Any, ...]) -> list[Any]:
    """A message body of ours as dbus-next wants it: its own Variant, lists for structs.

    Raises ValueError where the number of values does not fit.
    """
    result: list[Any] = _to_next(_body(signature), body)
    return result


def from_next(signature: str, body: list[Any]) -> tuple[Any, ...]:
    """The reverse of `to_next`."""
    result: tuple[Any, ...] = _from_next(_body(signature), body)
    return result


def _body(signature: str) -> Type:
    """The type of a whole body: that of a struct."""
    return Type("(", 8, parse(signature))


def _to_next(kind: Type, value: Value) -> Value:
    if kind.code == "v":
        inner = _to_next(parse_single(value.signature), value.value)
        return NextVariant(value.signature, inner)
    return _containers(kind, value, _to_next, list)


def _from_next(kind: Type, value: Value) -> Value:
    if kind.code == "v":
        return Variant(value.signature, _from_next(parse_single(value.signature), value.value))
    return _containers(kind, value, _from_next, tuple)


def _containers(
    kind: Type,
    value: Value,
    convert: Callable[[Type, Value], Value],
    struct: Callable[[list[Value]], Value],
) -> Value:
    if kind.code == "(":
        if len(value) != len(kind.children):
            raise ValueError(f"{len(value)} values where {len(kind.children)} belong")
        return struct([convert(*pair) for pair in zip(kind.children, value, strict=True)])
    if kind.code != "a" or isinstance(value, bytes):
        return value
    (element,) = kind.children
    if element.code != "{":
        return [convert(element, item) for item in value]
    of_key, of_value = element.children
    return {convert(of_key, key): convert(of_value, item) for key, item in value.items()}
