"""QEMU's end of a listener socket: sends calls byte for byte as GDBus does, matches replies.

Header fields come in GDBus's order (path, interface, signature, member, descriptors), there is
neither sender nor destination, and bodies that hold pixels are never copied.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
import threading
from array import array
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from glview.dbus.exports import Exports
from glview.dbus.stream import read_message
from glview.dbus.wire import CALL, ERROR, NO_REPLY_EXPECTED, RETURN, Message, Variant, marshal
from glview.dbus.wire import encode as encode_message
from glview.errors import ProtocolError
from glview.testing.calls import PATH, Call

REPLY_TIMEOUT = 1.0  # seconds that QEMU waits for ScanoutMap and UpdateDMABUF
SEND_TIMEOUT = 30.0  # seconds; QEMU would queue without limit, a test should end
TIMED_OUT = "timed out"
GONE = "gone"

Pixels = bytes | bytearray | memoryview


class Reply(NamedTuple):
    """How a call ended: `error` is "", a D-Bus error name, `TIMED_OUT` or `GONE` (peer left).

    `seconds` passed from sending the call to the reply, or to giving up.
    """

    seconds: float
    error: str = ""
    body: tuple[Any, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was answered, in time, without an error."""
        return not self.error


class Pending:
    """A call on its way; `wait` for its `Reply`. Several may be outstanding."""

    def __init__(self, timeout: float, give_up: Callable[[], None]) -> None:
        self._timeout = timeout
        self._give_up = give_up
        self._sent = monotonic()
        self._done = threading.Event()
        self._reply = Reply(timeout, TIMED_OUT)

    @property
    def answered(self) -> bool:
        """Whether the reply, or the end of the connection, has come."""
        return self._done.is_set()

    def wait(self) -> Reply:
        """The reply; gives up `timeout` seconds after the call was sent, as QEMU does."""
        if not self._done.wait(max(0.0, self._sent + self._timeout - monotonic())):
            self._give_up()
        return self._reply

    def finish(self, error: str, body: tuple[Any, ...] = ()) -> None:
        """The reply has come, or never will."""
        self._reply = Reply(monotonic() - self._sent, error, body)
        self._done.set()


@functools.lru_cache(maxsize=256)
def _header(call: Call, flags: int, fds: int, big_endian: bool) -> bytes:
    """Everything before the body, with body length and serial 0."""
    fields = [(1, Variant("o", PATH)), (2, Variant("s", call.interface))]
    if call.signature:
        fields.append((8, Variant("g", call.signature)))
    fields.append((3, Variant("s", call.member)))
    if fds:
        fields.append((9, Variant("u", fds)))
    order = "B" if big_endian else "l"
    raw = (
        bytes((ord(order), CALL, flags, 1)) + bytes(8) + marshal("a(yv)", (fields,), 12, big_endian)
    )
    return raw + bytes(-len(raw) % 8)


def encode_call(
    call: Call,
    serial: int,
    args: tuple[Any, ...],
    *,
    fds: int = 0,
    pixel_bytes: int = 0,
    flags: int | None = None,
    big_endian: bool = False,
) -> bytes:
    """The bytes of one call.

    `flags` default to NO_REPLY_EXPECTED unless the call waits. With `pixel_bytes`, the last
    argument is an empty byte array whose stated length is that many; they are sent behind.
    """
    if flags is None:
        flags = 0 if call.waits else NO_REPLY_EXPECTED
    body = marshal(call.signature, args, 0, big_endian)
    order = ">" if big_endian else "<"
    header = bytearray(_header(call, flags, fds, big_endian))
    struct.pack_into(order + "II", header, 4, len(body) + pixel_bytes, serial)
    if pixel_bytes:
        body = body[:-4] + struct.pack(order + "I", pixel_bytes)
    return bytes(header + body)


class Link:
    """One authenticated socket to a client's listener, which it owns. Threads may share it."""

    def __init__(self, sock: socket.socket, *, big_endian: bool = False) -> None:
        self.big_endian = big_endian
        self.closed = threading.Event()
        self.late_replies = 0
        self.strays: list[Message] = []
        """What a good client never sends: replies to calls that want none, signals."""
        self.failure: ProtocolError | None = None
        self._sock = sock
        self._exports = Exports()
        self._sending = threading.Lock()
        self._serial = 0
        self._pending: dict[int, Pending] = {}
        self._given_up: set[int] = set()

    def start(self) -> None:
        """Begin to read replies; the socket has been authenticated."""
        limit = struct.pack("ll", int(SEND_TIMEOUT), int(SEND_TIMEOUT % 1 * 1e6))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        threading.Thread(target=self._read, name="fake-vm-replies", daemon=True).start()

    def post(
        self, call: Call, args: tuple[Any, ...], fds: tuple[int, ...] = (), data: Pixels = b""
    ) -> int:
        """Send a call whose reply nobody waits for; its serial.

        `fds` stay the caller's. `data` is the content of the last argument, an empty byte
        array in `args`. Raises ConnectionError where the client has gone; TimeoutError where it
        does not read, and hangs up then.
        """
        with self._sending:
            self._serial += 1
            self._send(self._serial, call, args, fds, data)
            return self._serial

    def call(
        self,
        call: Call,
        args: tuple[Any, ...],
        fds: tuple[int, ...] = (),
        timeout: float = REPLY_TIMEOUT,
    ) -> Pending:
        """Send a call and return at once; `Pending.wait` has the reply. Raises as `post` does."""
        with self._sending:
            self._serial += 1
            serial = self._serial
            pending = Pending(timeout, functools.partial(self._abandon, serial))
            self._pending[serial] = pending
            try:
                self._send(serial, call, args, fds, b"")
            except BaseException:
                self._pending.pop(serial, None)
                raise
        if self.closed.is_set():
            self._fail_pending()
        return pending

    def send_raw(self, data: Pixels, fds: tuple[int, ...] = ()) -> None:
        """Send bytes as they are, which may be no message at all. Raises as `post` does."""
        with self._sending:
            self._write([data], fds)

    def next_serial(self) -> int:
        """A serial number for a message that the caller encodes."""
        with self._sending:
            self._serial += 1
            return self._serial

    def close(self) -> None:
        """End the connection: the client sees EOF. Idempotent."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # the reader wakes up and closes it

    def _send(
        self, serial: int, call: Call, args: tuple[Any, ...], fds: tuple[int, ...], data: Pixels
    ) -> None:
        view = memoryview(data).cast("B")
        head = encode_call(
            call, serial, args, fds=len(fds), pixel_bytes=len(view), big_endian=self.big_endian
        )
        self._write([head, view] if view else [head], fds)

    def _write(self, parts: list[Pixels], fds: tuple[int, ...]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        if self.closed.is_set():
            raise BrokenPipeError("the client has gone")
        try:
            sent = self._sock.sendmsg(parts, rights, socket.MSG_NOSIGNAL)
            for part in parts:
                if sent < len(part):
                    self._sock.sendall(memoryview(part)[sent:], socket.MSG_NOSIGNAL)
                sent = max(0, sent - len(part))
        except BlockingIOError as error:
            self.close()  # in the middle of a message: no other could follow
            raise TimeoutError(f"the client read nothing for {SEND_TIMEOUT:g} s") from error

    def _read(self) -> None:
        try:
            while (message := read_message(self._sock)) is not None:
                self._take(message)
                message.close_fds()
        except ProtocolError as error:
            self.failure = error
        except OSError:
            pass
        finally:
            self._release()

    def _release(self) -> None:
        """Close the socket, after the last use of it, and fail what still waits."""
        self.closed.set()
        self._fail_pending()
        with self._sending:
            self._sock.close()

    def _take(self, message: Message) -> None:
        if message.type == CALL:
            if not message.flags & NO_REPLY_EXPECTED:
                self._answer(message)
            return
        pending = self._pending.pop(message.reply_serial, None)
        if pending is not None and message.type in (RETURN, ERROR):
            pending.finish(message.error_name, message.body)
        elif message.reply_serial in self._given_up:
            self.late_replies += 1
        else:
            self.strays.append(message)

    def _answer(self, message: Message) -> None:
        """As any peer: Ping and the like; QEMU shows no object here."""
        answer = self._exports.answer(message, self.next_serial())
        self.send_raw(encode_message(answer, self.big_endian))

    def _abandon(self, serial: int) -> None:
        if self._pending.pop(serial, None):
            self._given_up.add(serial)

    def _fail_pending(self) -> None:
        for serial in tuple(self._pending):
            if pending := self._pending.pop(serial, None):
                pending.finish(GONE)
