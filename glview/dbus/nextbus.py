"""Adapts connection and values of dbus-next to those of glview. See `bus`."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageFlag, MessageType
from dbus_next.message import Message as NextMessage
from dbus_next.signature import SignatureTree
from dbus_next.signature import Variant as NextVariant

from glview.dbus.exports import LIMITS_EXCEEDED
from glview.dbus.limits import Limit
from glview.dbus.pending import PendingCalls
from glview.dbus.signature import Type, parse, parse_single
from glview.dbus.stream import Refused, Stream
from glview.dbus.wire import CALL, ERROR, RETURN, Fields, FixedHeader, Message, Variant

log = logging.getLogger(__name__)

_AT_ONCE = 32  # messages
_KNOWN_FLAGS = sum(MessageFlag)

Value = Any  # of a D-Bus type; see the table in `values`


class NextBus(MessageBus):
    """dbus-next's connection, on a socket that is connected and authenticated."""

    def __init__(self, sock: socket.socket) -> None:
        self._ready = sock
        self._messages = Stream(sock, self._judge)
        self.awaited = PendingCalls()  # for the limits of their replies
        super().__init__("unix:path=/unused", negotiate_unix_fd=True)

    def _setup_socket(self) -> None:
        self._sock = self._ready
        self._sock.setblocking(False)
        self._stream = self._sock.makefile("rwb")
        self._fd = self._sock.fileno()

    async def _authenticate(self) -> None:
        """Do nothing: the socket is authenticated already."""

    def _message_reader(self) -> None:
        """Take some messages, so that what is to be sent has its turn in a flood of them.

        The reader of dbus-next knows no limits. This one leaves out messages that are too
        large, which any client of the bus may have sent.
        """
        try:
            for _ in range(_AT_ONCE):
                message = self._messages.next()
                if message is None:
                    raise EOFError
                self._take(message)
        except BlockingIOError:
            return
        except Exception as error:
            self._finalize(error)  # type: ignore[no-untyped-call]

    def _judge(self, header: FixedHeader, fields: Fields) -> Limit:
        return self.awaited.judge(header, fields, is_bus=True)

    def _take(self, message: Message | Refused) -> None:
        if isinstance(message, Refused):
            log.debug("a message from %s was refused: %s", message.fields.sender, message.reason)
            substitute = _substitute(message)
            if substitute is None:
                return
            message = substitute
        if message.type in (RETURN, ERROR):
            self.awaited.forget(message.reply_serial)
        try:
            ready = _received(message)
        except Exception as error:  # whatever dbus-next finds wrong with it
            message.close_fds()
            log.debug("a message that dbus-next does not take: %s", error)
            return
        self._on_message(ready)  # type: ignore[no-untyped-call]

    def release(self) -> None:
        """Close the socket."""
        self._messages.close()
        with contextlib.suppress(OSError):  # what it could not send any more
            self._stream.close()
        self._sock.close()


def _substitute(refused: Refused) -> Message | None:
    """Return what replaces a message that was too large: an error, or a call without body."""
    header, fields, reason = refused
    if header.type == CALL:
        return Message(CALL, header.serial, header.flags, *fields[:-2])
    if header.type not in (RETURN, ERROR):
        return None
    return Message(
        *(ERROR, header.serial, header.flags),
        error_name=LIMITS_EXCEEDED,
        reply_serial=fields.reply_serial,
        sender=fields.sender,
        signature="s",
        body=(f"the reply was refused: {reason}",),
    )


def _received(message: Message) -> NextMessage:
    """Return the same message in dbus-next's form, with its descriptors."""
    return NextMessage(
        destination=_or_none(message.destination),
        path=_or_none(message.path),
        interface=_or_none(message.interface),
        member=_or_none(message.member),
        message_type=MessageType(message.type),
        flags=MessageFlag(message.flags & _KNOWN_FLAGS),
        error_name=_or_none(message.error_name),
        reply_serial=message.reply_serial,
        sender=_or_none(message.sender),
        unix_fds=list(message.fds),
        signature=_tree(message.signature),
        body=to_next(message.signature, message.body),
        serial=message.serial,
    )


def _tree(signature: str) -> Value:
    """Return a signature parsed anew: dbus-next keeps each one that it is given as text."""
    return SignatureTree(signature)


def _or_none(text: str) -> Value:
    return text or None


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody took."""
    for fd in fds:
        os.close(fd)


def to_next(signature: str, body: tuple[Any, ...]) -> list[Any]:
    """Return a message body in dbus-next's form: its own Variant, lists for structs.

    Raises ValueError where the number of values does not fit.
    """
    result: list[Any] = _to_next(_body(signature), body)
    return result


def from_next(signature: str, body: list[Any]) -> tuple[Any, ...]:
    """Return a message body from dbus-next's form; the reverse of `to_next`."""
    result: tuple[Any, ...] = _from_next(_body(signature), body)
    return result


def _body(signature: str) -> Type:
    """Return the type of a whole body: that of a struct."""
    return Type("(", 8, parse(signature))


def _to_next(kind: Type, value: Value) -> Value:
    if kind.code == "v":
        inner = _to_next(parse_single(value.signature), value.value)
        return NextVariant(_tree(value.signature), inner)
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
