"""What session code needs from a control connection, whichever kind it is.

Implemented by `peer.PeerConnection` (peer to peer, or a bus by our own codec) and by
`bus.Bus` (a message bus through dbus-next).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from glview.dbus.wire import Message
from glview.errors import ProtocolError

PROPERTIES = "org.freedesktop.DBus.Properties"
TIMEOUT = "org.freedesktop.DBus.Error.Timeout"

SignalHandler = Callable[[Message], None]


class Transport(Protocol):
    """A connection to a bus, or straight to QEMU."""

    @property
    def is_bus(self) -> bool:
        """Whether a message bus is at the other end, so that destinations matter."""

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, by us or by the other side."""

    fault: str = ""
    """Why the connection broke; "" while it lives and after an end that somebody wanted."""

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
        fds: tuple[int, ...] = (),
        timeout: float | None = 10.0,
    ) -> tuple[Any, ...]:
        """Call a method and wait for its answer: the reply's body, variants unwrapped.

        `destination` is "" peer to peer. `fds` stay the caller's, who may close them as soon
        as this returns or raises; `h` values in `body` are indexes into them. Descriptors in
        the reply are closed. May be called from any thread but the one that runs handlers.

        Raises CallError for an error reply, and with the name `TIMEOUT` when none came in
        `timeout` seconds; VmGoneError when the connection is closed, before or meanwhile.
        """

    def get_all(self, destination: str, path: str, interface: str) -> dict[str, Any]:
        """All properties of an interface. Raises as `call` does, and ProtocolError."""
        reply = self.call(destination, path, PROPERTIES, "GetAll", "s", (interface,))
        if len(reply) != 1 or not isinstance(reply[0], dict):
            raise ProtocolError(f"GetAll({interface}) was answered without properties")
        return reply[0]

    def add_signal_handler(self, handler: SignalHandler) -> Callable[[], None]:
        """Have `handler` called with every signal, on the reader's thread; returns the remover.

        Variants in the message's body are not unwrapped. The handler must not wait for
        anything; descriptors that it does not take are closed after it.
        """

    def add_match(self, rule: str) -> None:
        """Ask the bus for the signals that match `rule`. Nothing to do peer to peer."""

    def on_closed(self, handler: Callable[[], None]) -> None:
        """Have `handler` called once when the connection has ended, at once if it has.

        It runs on the reader's thread, or on the caller's in the second case.
        """

    def close(self) -> None:
        """End the connection, from any thread; calls that wait raise. Idempotent."""
