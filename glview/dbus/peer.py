"""A D-Bus connection without a library: peer to peer with QEMU, or on a bus for speed.

A thread of the connection's own reads, answers what the peer asks, matches replies with
calls, and sends what did not fit the socket as soon as it does. Everybody else may call and
post from any thread.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import select
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from glview.dbus import address, sasl
from glview.dbus.exports import LIMITS_EXCEEDED, Exports, Interface, Method
from glview.dbus.limits import MAX_UNREAD_CALLS, MAX_UNREAD_POSTS, Limit
from glview.dbus.outbox import Outbox
from glview.dbus.pending import PendingCalls
from glview.dbus.stream import Refused, Stream
from glview.dbus.transport import TIMEOUT, SignalHandler, Transport
from glview.dbus.wire import (
    CALL,
    ERROR,
    NO_REPLY_EXPECTED,
    RETURN,
    SIGNAL,
    Fields,
    FixedHeader,
    Message,
    Variant,
    encode,
    unwrap,
)
from glview.errors import CallError, ProtocolError, VmGoneError
from glview.threads import Thread, describe

log = logging.getLogger(__name__)

BUS_NAME = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"

_MAX_SERIAL = 0xFFFF_FFFF


class PeerConnection(Transport):
    """A connection over an authenticated, blocking stream socket, which it then owns.

    Export objects before `start`: the peer's first call may already wait in the socket.
    """

    is_bus = False
    closed = False

    def __init__(self, sock: socket.socket, name: str = "dbus-peer") -> None:
        self.unique_name = ""
        self._sock = sock
        self._epoll = select.epoll()
        self._epoll.register(sock, select.EPOLLIN)
        self._outbox = Outbox(sock, self._epoll)
        self._stream = Stream(sock, self._judge)
        self._pending = PendingCalls()
        self._said_refused = False
        self._exports = Exports()
        self._lock = threading.Lock()  # for all below; never held while waiting
        self._serials = itertools.count()
        self._signal_handlers: tuple[SignalHandler, ...] = ()
        self._closed_handlers: list[Callable[[], None]] = []
        self._cause = "the connection was closed"
        self._finished = False
        self._reader = Thread(name, self._run, self._failed)

    @classmethod
    def over(cls, sock: socket.socket, timeout: float | None = 10.0) -> Self:
        """Authenticate as the client on `sock`, which is ours from here on, and start.

        Raises AuthError and NotDBusError as `sasl.authenticate` does; `sock` is closed then.
        """
        try:
            sasl.authenticate(sock, timeout)
            connection = cls(sock)
        except BaseException:
            sock.close()
            raise
        try:
            connection.start()
        except BaseException:
            connection.close()
            raise
        return connection

    @classmethod
    def to_bus(cls, address_text: str, timeout: float | None = 10.0) -> Self:
        """Connect to a message bus; `unique_name` is what it calls us.

        Raises AddressError, ConnectError, AuthError, NotDBusError, ProtocolError.
        """
        sock = address.connect(address_text)
        owner = sasl.peer_uid(sock)
        connection = cls.over(sock, timeout)
        try:
            connection.is_bus = True
            connection.unique_name = _only_text(connection._call_bus("Hello", timeout=timeout))
        except (CallError, VmGoneError) as error:
            connection.close()
            raise sasl.no_hello(owner) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def start(self) -> None:
        """Begin to read. Raises ResourceError where no thread can be had; close it then."""
        self._reader.start()

    # -- calls ---------------------------------------------------------------------------

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
        """See `Transport.call`. Raises ValueError where `body` does not fit `signature`."""
        if threading.current_thread() is self._reader:
            raise RuntimeError(f"{member} called on the thread that would read the reply")
        serial = self.next_serial()
        message = Message(
            CALL, serial, path=path, interface=interface, member=member,
            destination=destination, signature=signature, body=body, fds=fds,
        )  # fmt: skip
        data = encode(message)
        pending = self._pending.add(serial, destination, interface)
        try:
            if self.closed:
                raise VmGoneError(self._cause)
            self._send_call(data, fds)
            answered = pending.done.wait(timeout)
        finally:
            self._pending.forget(serial)
        if not answered:
            raise CallError(TIMEOUT, f"no answer to {member} in {timeout:g} s")
        return self._result(pending.reply)

    def _send_call(self, data: bytes, fds: tuple[int, ...]) -> None:
        if self._outbox.accept(data, MAX_UNREAD_CALLS, fds):
            return
        if self._outbox.size >= MAX_UNREAD_CALLS:
            raise CallError(LIMITS_EXCEEDED, "the other end does not read what we send")
        raise VmGoneError(self._cause)

    def _result(self, reply: Message | None) -> tuple[Any, ...]:
        if reply is None:
            raise VmGoneError(self._cause)
        if reply.type == ERROR:
            text = reply.body[0] if reply.signature.startswith("s") else ""
            raise CallError(reply.error_name, text)
        return tuple(unwrap(value) for value in reply.body)

    def _call_bus(
        self, member: str, *arguments: str, timeout: float | None = 10.0
    ) -> tuple[Any, ...]:
        signature = "s" * len(arguments)
        return self.call(
            BUS_NAME, BUS_PATH, BUS_NAME, member, signature, arguments, timeout=timeout
        )  # fmt: skip

    # -- what the peer sends -------------------------------------------------------------

    def add_signal_handler(self, handler: SignalHandler) -> Callable[[], None]:
        """See `Transport.add_signal_handler`."""
        with self._lock:
            self._signal_handlers += (handler,)

        def remove() -> None:
            with self._lock:
                handlers = list(self._signal_handlers)
                if handler in handlers:
                    handlers.remove(handler)
                self._signal_handlers = tuple(handlers)

        return remove

    def add_match(self, rule: str) -> None:
        """See `Transport.add_match`. Raises as `call` does."""
        if self.is_bus:
            self._call_bus("AddMatch", rule)

    def export(
        self,
        path: str,
        interface: str,
        properties: Mapping[str, Variant],
        methods: Mapping[str, Method],
    ) -> None:
        """Show `interface` at `path`.

        A method gets the call and returns signature and body of its reply, or raises
        CallError; it runs on the reader's thread and must not wait. Descriptors of the call
        that it does not take are closed after it.
        """
        self._exports.add(path, interface, Interface(properties, methods))

    def _judge(self, header: FixedHeader, fields: Fields) -> Limit:
        return self._pending.judge(header, fields, is_bus=self.is_bus)

    def _refuse(self, refused: Refused) -> None:
        """Go on without a message that was too large; its sender or the caller learns why."""
        header, sender = refused.header, refused.fields.sender
        text = f"a message from {sender or 'the other end'} was refused: {refused.reason}"
        if not self._said_refused:
            self._said_refused = True
            log.warning("%s", text)
        if header.type in (RETURN, ERROR):
            self._pending.resolve(_limits_exceeded(refused.fields.reply_serial, text, sender))
        elif header.type == CALL and not header.flags & NO_REPLY_EXPECTED:
            answer = _limits_exceeded(header.serial, text)
            answer.serial, answer.destination = self.next_serial(), sender
            self._reply(answer)

    def _dispatch(self, message: Message) -> None:
        if message.type in (RETURN, ERROR):
            self._pending.resolve(message)
        elif message.type == SIGNAL:
            for handler in self._signal_handlers:
                handler(message)
        elif message.type == CALL:
            self._answer(message)

    def _answer(self, call: Message) -> None:
        answer = self._exports.answer(call, self.next_serial())
        if not call.flags & NO_REPLY_EXPECTED:
            self._reply(answer)

    def _reply(self, answer: Message) -> None:
        taken = self._outbox.accept(encode(answer), MAX_UNREAD_CALLS)
        if not taken and self._outbox.size >= MAX_UNREAD_CALLS:
            raise ProtocolError("the other end asks and never reads the answers")

    # -- writing -------------------------------------------------------------------------

    def next_serial(self) -> int:
        """A serial number for a message that the caller encodes itself."""
        return next(self._serials) % _MAX_SERIAL + 1

    def post(self, data: bytes | bytearray) -> bool:
        """Send one whole message, later if the socket is full. Never waits.

        `data` may be changed afterwards. False where the message was dropped: the connection
        has ended, or `MAX_UNREAD_POSTS` is reached. Who can hold back (pointer motion) does so
        while `wants_write`.
        """
        return self._outbox.accept(data, MAX_UNREAD_POSTS)

    @property
    def wants_write(self) -> bool:
        """Return whether something waits for room in the socket."""
        return bool(self._outbox.size)

    def fileno(self) -> int:
        """The socket's descriptor, for a poll for writability; -1 when it is closed."""
        return self._sock.fileno()

    def flush(self) -> None:
        """Send what fits of what waits. The reader does so too: nobody has to."""
        self._outbox.flush()

    # -- the reader, and the end ---------------------------------------------------------

    def _run(self) -> None:
        cause = "the other end closed the connection"
        try:
            while not self.closed and self._serve():
                pass
        except OSError as error:
            cause = f"the connection broke: {error}"
        except ProtocolError as error:
            cause = self.fault = f"the connection broke: {error}"
        self._end(cause)

    def _failed(self, line: str) -> None:
        self.fault = line
        self._end(line)

    def _end(self, cause: str) -> None:
        if not self.closed:
            self._cause = cause
        self._finish()

    def _serve(self) -> bool:
        """Wait for the socket and do what it is ready for. False at the peer's end."""
        ((_, events),) = self._epoll.poll()
        if events & select.EPOLLOUT:
            self.flush()
        if events == select.EPOLLOUT:
            return True
        try:
            message = self._stream.next()
        except BlockingIOError:  # the rest of the message has not come yet
            return True
        if isinstance(message, Refused):
            self._refuse(message)
        elif message is not None:
            self._take(message)
        return message is not None

    def _take(self, message: Message) -> None:
        try:
            self._dispatch(message)
        finally:
            message.close_fds()

    def on_closed(self, handler: Callable[[], None]) -> None:
        """See `Transport.on_closed`."""
        with self._lock:
            if not self._finished:
                self._closed_handlers.append(handler)
                return
        handler()

    def close(self) -> None:
        """See `Transport.close`. The reader closes the descriptors, before `on_closed` runs."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        self._outbox.close()
        if not self._reader.ident:
            self._finish()

    def _finish(self) -> None:
        self._outbox.close()
        self._stream.close()
        with self._lock:
            self.closed = self._finished = True
            self._epoll.close()
            self._sock.close()
            handlers, self._closed_handlers = self._closed_handlers, []
        self._pending.give_up()
        for handler in handlers:
            try:
                handler()
            except Exception as error:  # the others are to hear of the end all the same
                log.warning("%s", describe("a handler of a connection's end", error))


def _only_text(body: tuple[Any, ...]) -> str:
    """Return the string that is all of a reply. Raises ProtocolError."""
    match body:
        case (str(text),):
            return text
    raise ProtocolError("the bus answered Hello with something else")


def _limits_exceeded(reply_serial: int, text: str, sender: str = "") -> Message:
    return Message(
        ERROR, error_name=LIMITS_EXCEEDED, reply_serial=reply_serial, sender=sender,
        signature="s", body=(text,),
    )  # fmt: skip
