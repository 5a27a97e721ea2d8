"""dbus-next's connection and values, made to fit ours. See `bus`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from dbus_next.aio.message_bus import MessageBus
from dbus_next.signature import Variant as NextVariant

from glview.dbus.signature import Type, parse, parse_single
from glview.dbus.wire import Variant

Value = Any  # of a D-Bus type; see the table in `values`


class NextBus(MessageBus):
    """dbus-next's connection, on a socket that is connected and authenticated."""

    def __init__(self, sock: socket.socket) -> None:
        self._ready = sock
        super().__init__("unix:path=/unused", negotiate_unix_fd=True)

    def _setup_socket(self) -> None:
        self._sock = self._ready
        self._sock.setblocking(False)
        self._stream = self._sock.makefile("rwb")
        self._fd = self._sock.fileno()

    async def _authenticate(self) -> None:
        """Done before."""

    def release(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):  # what it could not send any more
            self._stream.close()
        self._sock.close()


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
