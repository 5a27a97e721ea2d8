"""Calls that wait for their replies, and the limits of messages that follow from them."""

from __future__ import annotations

import threading

from glview.dbus.limits import PEER_CALL, PROPERTIES_REPLY, UNASKED, Limit, of_reply
from glview.dbus.wire import CALL, ERROR, RETURN, Fields, FixedHeader, Message

_BUS = "org.freedesktop.DBus"


class Pending:
    """A call that waits for its reply; `done` is set when the reply has come, or never will."""

    def __init__(self, destination: str, limit: Limit) -> None:
        self.destination = destination
        self.limit = limit
        self.done = threading.Event()
        self.reply: Message | None = None

    def is_answered_by(self, sender: str) -> bool:
        """Return whether `sender` may answer: the one called, or the bus for one that has left."""
        return sender in ("", _BUS, self.destination) or not self.destination.startswith(":")


class PendingCalls:
    """The pending calls of one connection, by serial number. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, serial: int, destination: str, interface: str) -> Pending:
        """Expect the reply to a call of a method of `interface`."""
        pending = Pending(destination, of_reply(interface))
        with self._lock:
            self._calls[serial] = pending
        return pending

    def forget(self, serial: int) -> None:
        """Expect no reply to that call any more."""
        with self._lock:
            self._calls.pop(serial, None)

    def judge(self, header: FixedHeader, fields: Fields, *, is_bus: bool) -> Limit:
        """Return the limit for a message: a low one, unless the message answers a pending call."""
        if header.type == CALL and not is_bus:
            return PEER_CALL
        if header.type not in (RETURN, ERROR):
            return UNASKED
        pending = self._calls.get(fields.reply_serial)
        if pending is None or not pending.is_answered_by(fields.sender):
            return UNASKED
        return pending.limit if header.type == RETURN else PROPERTIES_REPLY

    def resolve(self, reply: Message) -> None:
        """Hand a reply to the call that waits for it, if there is one."""
        with self._lock:
            pending = self._calls.get(reply.reply_serial)
            if pending is None or not pending.is_answered_by(reply.sender):
                return
            del self._calls[reply.reply_serial]
        pending.reply = reply
        pending.done.set()

    def give_up(self) -> None:
        """End every wait: no reply will come any more."""
        with self._lock:
            calls, self._calls = self._calls, {}
        for pending in calls.values():
            pending.done.set()
