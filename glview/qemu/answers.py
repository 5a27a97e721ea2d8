"""Sends the listener's answers, and never waits for QEMU to read them."""

from __future__ import annotations

import socket
import struct
import threading
import time

from glview.dbus import wire
from glview.dbus.limits import MAX_UNREAD_ANSWERS
from glview.errors import ProtocolError
from glview.stats.recorder import OFF, Recorder

_RETURN = struct.Struct("<8sI8sI")  # fixed header, then the field REPLY_SERIAL
_RETURN_FIXED = bytes((ord("l"), wire.RETURN, wire.NO_REPLY_EXPECTED, 1, 0, 0, 0, 0))
_RETURN_FIELDS = bytes((8, 0, 0, 0, 5, 1, ord("u"), 0))
_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Answers:
    """The way out of one connected socket. Any thread may use it.

    `replied_at` is when calls were answered last (monotonic seconds). `held` are the bytes
    that did not fit the socket; while there are some, a thread waits for room and calls `drain`.
    """

    def __init__(self, sock: socket.socket, recorder: Recorder = OFF) -> None:
        self._sock = sock
        self._recorder = recorder
        self._lock = threading.Lock()
        self._serial = 0
        self.held = bytearray()
        self.replied_at = 0.0

    def check(self) -> None:
        """Raise ProtocolError where more is held than a QEMU that reads would ever leave."""
        if len(self.held) > MAX_UNREAD_ANSWERS:
            raise ProtocolError("QEMU does not read the answers to its calls")

    def reply(self, *serials: int) -> None:
        """Answer calls with an empty reply each; 0 stands for a call that wants none."""
        self.replied_at = time.monotonic()
        with self._lock:
            self._put(b"".join(map(self._return, serials)))
        if self._recorder.on:
            for serial in filter(None, serials):
                self._recorder.reply(serial)

    def send(self, message: wire.Message) -> None:
        """Send any other message."""
        with self._lock:
            message.serial = self._next()
            self._put(wire.encode(message))

    def drain(self) -> None:
        """Send what fits of what is held."""
        with self._lock:
            del self.held[: self._send(self.held)]

    # -- the lock is held --------------------------------------------------

    def _return(self, serial: int) -> bytes:
        if not serial:
            return b""
        return _RETURN.pack(_RETURN_FIXED, self._next(), _RETURN_FIELDS, serial)

    def _next(self) -> int:
        self._serial = self._serial % 0xFFFF_FFFF + 1
        return self._serial

    def _put(self, data: bytes) -> None:
        """Send it, or hold what does not fit, behind what is held already."""
        sent = 0 if self.held else self._send(data)
        if sent < len(data) and len(self.held) <= MAX_UNREAD_ANSWERS:
            self.held += data[sent:]

    def _send(self, data: bytes | bytearray) -> int:
        """Send, and return the number of bytes sent: all where the stream has ended, which the
        reader notices, too."""
        try:
            return self._sock.send(data, _FLAGS)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)
