"""A connection to a message bus, through dbus-next.

dbus-next runs in an asyncio loop on a thread of its own. It fails on lists of
addresses and spins when the bus hangs up during authentication, so it gets a
socket that is through both. A send that meets a full socket ends its
connection, so it gets one message at a time. Descriptors that it received and
nobody took stay open, so all of them are taken here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from dbus_next.constants import MessageFlag, MessageType
from dbus_next.message import Message as NextMessage

from glview.dbus import address, sasl
from glview.dbus.exports import LIMITS_EXCEEDED
from glview.dbus.limits import MAX_UNSENT_MESSAGES
from glview.dbus.nextbus import NextBus, close_all, from_next, to_next
from glview.dbus.transport import TIMEOUT, SignalHandler, Transport
from glview.dbus.wire import SIGNAL, Message, unwrap
from glview.errors import (
    CallError,
    GlviewError,
    InternalError,
    ProtocolError,
    ResourceError,
    VmGoneError,
)
from glview.threads import Thread, describe

log = logging.getLogger(__name__)

BUS_NAME = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"

HELLO_TIMEOUT = 10.0
"""Seconds the bus has for authentication, and again for its answer to Hello."""

_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"


class BusConnection(Transport):
    """A client of a message bus; `connect` makes one."""

    def __init__(self, sock: socket.socket) -> None:
        """Say Hello on an authenticated socket, which is owned from here on.

        Raises `ConnectError` when the bus hangs up or does not answer, `AuthError` when it
        does so and is another user's, `ResourceError` where no thread can be had.
        """
        self.fault = ""
        self._sock = sock
        self._handlers: list[SignalHandler] = []
        self._on_closed: list[Callable[[], None]] = []
        self._closed = False
        self._lock = threading.Lock()  # of the three above
        self._replies: dict[int, Future[NextMessage]] = {}
        self._hello: Future[None] = Future()
        owner = sasl.peer_uid(sock)
        self._thread = Thread("dbus-next", self._run, self._died)
        try:
            self._thread.start()
        except BaseException:
            sock.close()
            raise
        try:
            self._hello.result()
        except Exception as error:
            self._thread.join()
            if isinstance(error, GlviewError):
                raise
            if self.fault:
                raise InternalError(self.fault) from error
            raise sasl.no_hello(owner) from error

    @classmethod
    def connect(cls, addresses: str) -> BusConnection:
        """Connect to the first bus that answers in a list of D-Bus addresses.

        Raises `AddressError`, `ConnectError`, `NotDBusError` or `AuthError`.
        """
        sock = address.connect(addresses)
        try:
            sasl.authenticate(sock, HELLO_TIMEOUT)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @property
    def is_bus(self) -> bool:
        """Always true."""
        return True

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, by us or by the bus."""
        return self._closed

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
        """See `Transport.call`. Raises ValueError for a body that does not fit `signature`."""
        message = NextMessage(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=to_next(signature, body),
        )
        waiting: Future[NextMessage] = Future()
        self._submit(message, fds, waiting)
        try:
            reply = waiting.result(timeout)
        except TimeoutError as error:
            waiting.cancel()
            with contextlib.suppress(RuntimeError):  # the loop has ended, with all it knew
                self._loop.call_soon_threadsafe(self._forget, waiting)
            raise CallError(TIMEOUT, f"no answer to {member} in {timeout:g} s") from error
        received = from_next(reply.signature, reply.body)
        if reply.message_type is MessageType.ERROR:
            text = received[0] if received and isinstance(received[0], str) else ""
            raise CallError(reply.error_name, text)
        result: tuple[Any, ...] = unwrap(received)
        return result

    def add_signal_handler(self, handler: SignalHandler) -> Callable[[], None]:
        """See `Transport.add_signal_handler`."""
        with self._lock:
            self._handlers.append(handler)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._handlers.remove(handler)

        return remove

    def add_match(self, rule: str) -> None:
        """See `Transport.add_match`. Raises as `call` does."""
        self.call(BUS_NAME, BUS_PATH, BUS_NAME, "AddMatch", "s", (rule,))

    def on_closed(self, handler: Callable[[], None]) -> None:
        """See `Transport.on_closed`."""
        with self._lock:
            if not self._closed:
                self._on_closed.append(handler)
                return
        handler()

    def close(self) -> None:
        """See `Transport.close`. When this returns, no handler runs any more."""
        with self._lock:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._hang_up)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _submit(
        self, message: NextMessage, fds: Iterable[int], waiting: Future[NextMessage]
    ) -> None:
        """Hand a call to the loop, with descriptors of its own."""
        with self._lock:
            if self._closed:
                raise VmGoneError("the D-Bus connection is closed")
            copies = [os.dup(fd) for fd in fds]
            self._loop.call_soon_threadsafe(self._enqueue, message, copies, waiting)

    # All below runs in the loop's thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:  # no descriptors for the loop
            self._fail_all(ResourceError(f"the bus cannot be talked to: {error.strerror}"))

    async def _serve(self) -> None:
        """Run the connection from Hello to its end."""
        self._loop = asyncio.get_running_loop()
        broken = self._broken = self._loop.create_future()
        self._loop.set_exception_handler(self._complain)
        self._outbox: asyncio.Queue[NextMessage] = asyncio.Queue()
        self._bus = NextBus(self._sock)
        self._bus.add_message_handler(self._receive)
        gone = asyncio.ensure_future(self._bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        writer = asyncio.ensure_future(self._write())
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                await self._bus.connect()
            self._hello.set_result(None)
            await asyncio.wait([gone, writer, broken], return_when=asyncio.FIRST_COMPLETED)
        except Exception as error:
            self._hello.set_exception(error)
        finally:
            gone.cancel()
            writer.cancel()
            await asyncio.gather(gone, writer, return_exceptions=True)
            await self._finish()

    async def _finish(self) -> None:
        """Close the socket, fail what waits, and tell the others."""
        with self._lock:
            self._closed = True
        await asyncio.sleep(0)  # calls that were submitted before that moment come in
        self._bus.release()
        while not self._outbox.empty():
            close_all(self._outbox.get_nowait().unix_fds)
        self._tell_of_end()

    def _tell_of_end(self) -> None:
        with self._lock:
            handlers, self._on_closed = self._on_closed, []
        for serial in list(self._replies):
            self._fail(serial, VmGoneError(self.fault or "the D-Bus connection was closed"))
        for handler in handlers:
            handler()

    def _died(self, line: str) -> None:
        """End what is left of a connection whose thread failed, in whatever state that was."""
        self._fail_all(InternalError(line))

    def _fail_all(self, error: GlviewError) -> None:
        self.fault = str(error)
        with self._lock:
            self._closed = True
        self._sock.close()
        if not self._hello.done():
            self._hello.set_exception(error)
        self._tell_of_end()

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the connection after an exception in a callback, of which asyncio would log pages."""
        error = context.get("exception")
        if error is None:
            log.debug("%s", context.get("message"))
            return
        self._break_off(error)

    def _break_off(self, error: BaseException) -> None:
        if not self.fault:
            self.fault = describe("the connection to the bus", error)
        if not self._broken.done():
            self._broken.set_result(None)

    def _hang_up(self) -> None:
        if self._bus.connected:
            self._bus.disconnect()  # type: ignore[no-untyped-call]

    def _enqueue(self, message: NextMessage, fds: list[int], waiting: Future[NextMessage]) -> None:
        message.unix_fds = fds
        if self._outbox.qsize() >= MAX_UNSENT_MESSAGES:
            close_all(fds)
            if waiting.set_running_or_notify_cancel():
                waiting.set_exception(CallError(LIMITS_EXCEEDED, "the bus does not read"))
            return
        serial = message.serial = self._bus.next_serial()
        self._replies[serial] = waiting
        self._bus.awaited.add(serial, message.destination or "", message.interface or "")
        self._outbox.put_nowait(message)

    def _forget(self, waiting: Future[NextMessage]) -> None:
        """Keep nothing of a call that nobody waits for any more."""
        for serial in [serial for serial, future in self._replies.items() if future is waiting]:
            del self._replies[serial]
            self._bus.awaited.forget(serial)

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            try:
                await self._send(message)
            finally:
                close_all(message.unix_fds)

    async def _send(self, message: NextMessage) -> None:
        try:
            sent = self._bus.send(message)
        except Exception as error:  # whatever dbus-next makes of a body that does not fit
            self._fail(message.serial, ValueError(str(error)))
            return
        with contextlib.suppress(Exception):  # the end of the connection, which `gone` tells
            await sent

    def _receive(self, message: NextMessage) -> bool:
        """Take a message; False leaves it, the answer to Hello, to dbus-next."""
        try:
            return self._take(message)
        except ProtocolError as error:  # of one message: the bus and the others are well
            log.debug("a message from %s was left out: %s", message.sender, error)
        except Exception as error:
            self._break_off(error)
        return True

    def _take(self, message: NextMessage) -> bool:
        if message.message_type is MessageType.SIGNAL:
            self._signal(message)
            return True
        close_all(message.unix_fds)
        if message.message_type is MessageType.METHOD_CALL:
            self._refuse(message)
            return True
        waiting = self._replies.pop(message.reply_serial, None)
        if waiting is not None and waiting.set_running_or_notify_cancel():
            waiting.set_result(message)
        return waiting is not None

    def _refuse(self, call: NextMessage) -> None:
        """Answer a call that somebody on the bus made to us: we offer nothing there."""
        full = self._outbox.qsize() >= MAX_UNSENT_MESSAGES
        if not (full or call.flags & MessageFlag.NO_REPLY_EXPECTED):
            text = f"glview has no {call.interface}.{call.member}"
            self._outbox.put_nowait(NextMessage.new_error(call, _UNKNOWN_METHOD, text))

    def _signal(self, received: NextMessage) -> None:
        try:
            body = from_next(received.signature, received.body)
        except BaseException:
            close_all(received.unix_fds)
            raise
        message = Message(
            type=SIGNAL,
            serial=received.serial,
            path=received.path,
            interface=received.interface,
            member=received.member,
            destination=received.destination or "",
            sender=received.sender or "",
            signature=received.signature,
            body=body,
            fds=tuple(received.unix_fds),
        )
        with self._lock:
            handlers = list(self._handlers)
        try:
            for handler in handlers:
                handler(message)
        finally:
            message.close_fds()

    def _fail(self, serial: int, error: Exception) -> None:
        waiting = self._replies.pop(serial, None)
        if waiting is not None and waiting.set_running_or_notify_cancel():
            waiting.set_exception(error)
