"""A control connection whose other end is a table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from glview.dbus.transport import SignalHandler, Transport
from glview.dbus.wire import SIGNAL, Message
from glview.errors import CallError

Answer = Callable[[tuple[Any, ...]], tuple[Any, ...]]

UNKNOWN = "org.freedesktop.DBus.Error.UnknownMethod"


class FakeTransport(Transport):
    """Answers calls from `answers`, by (destination, path, member); notes each in `calls`."""

    closed = False

    def __init__(self, answers: dict[tuple[str, str, str], Answer], *, is_bus: bool = True) -> None:
        self.answers = answers
        self.calls: list[tuple[str, str, str, tuple[Any, ...]]] = []
        self.matches: list[str] = []
        self._is_bus = is_bus
        self._handlers: list[SignalHandler] = []

    @property
    def is_bus(self) -> bool:
        return self._is_bus

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
        self.calls.append((destination, path, member, body))
        answer = self.answers.get((destination, path, member))
        if answer is None:
            raise CallError(UNKNOWN, f"no {member} at {path}")
        return answer(body)

    def add_signal_handler(self, handler: SignalHandler) -> Callable[[], None]:
        self._handlers.append(handler)

        def remove() -> None:
            with contextlib.suppress(ValueError):
                self._handlers.remove(handler)

        return remove

    def add_match(self, rule: str) -> None:
        self.matches.append(rule)

    def on_closed(self, handler: Callable[[], None]) -> None:
        """Never ends."""

    def close(self) -> None:
        """Nothing to close."""

    @property
    def watched(self) -> bool:
        """Whether anybody listens for signals."""
        return bool(self._handlers)

    def emit(self, sender: str, path: str, name: str, signature: str, *body: object) -> None:
        """Deliver a signal; `name` is the interface and the member."""
        interface, _, member = name.rpartition(".")
        message = Message(
            SIGNAL,
            path=path,
            interface=interface,
            member=member,
            sender=sender,
            signature=signature,
            body=body,
        )
        for handler in list(self._handlers):
            handler(message)
