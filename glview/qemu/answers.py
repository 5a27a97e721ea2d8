"""What the listener answers, sent without ever waiting for QEMU to read it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque

from glview.dbus import wire
from glview.stats.recorder import OFF, Recorder

_RETURN = struct.Struct("<8sI8sI")  # fixed header, then the field REPLY_SERIAL
_RETURN_FIXED = bytes((ord("l"), wire.RETURN, wire.NO_REPLY_EXPECTED, 1, 0, 0, 0, 0))
_RETURN_FIELDS = bytes((8, 0, 0, 0, 5, 1, ord("u"), 0))
_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Answers:
    """The way out of one connected socket. Any thread may use it.

    `replied_at` is when calls were answered last (monotonic seconds). While something is
    `held` because the socket is full, who waits for that calls `drain`.
    """

    def __init__(self, sock: socket.socket, recorder: Recorder = OFF) -> None:
        self._sock = sock
        self._recorder = recorder
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()
        self._serial = 0
        self.replied_at = 0.0

    @property
    def held(self) -> bool:
        """Whether something could not be sent yet."""
        return bool(self._held)

    def reply(self, *serials: int) -> None:
        """Answer calls with an empty reply each."""
        self.replied_at = time.monotonic()
        with self._lock:
            self._put(b"".join(map(self._return, serials)))
        if self._recorder.on:
            for serial in serials:
                self._recorder.reply(serial)

    def send(self, message: wire.Message) -> None:
        """Send any other message."""
        with self._lock:
            message.serial = self._next()
            self._put(wire.encode(message))

    def drain(self) -> None:
        """Send what fits of what is held."""
        with self._lock:
            held, self._held = self._held, deque()
            for data in held:
                self._put(data)

    # -- the lock is held --------------------------------------------------

    def _return(self, serial: int) -> bytes:
        return _RETURN.pack(_RETURN_FIXED, self._next(), _RETURN_FIELDS, serial)

    def _next(self) -> int:
        self._serial = self._serial % 0xFFFF_FFFF + 1
        return self._serial

    def _put(self, data: bytes) -> None:
        """Send it, or hold what does not fit, behind what is held already."""
        try:
            sent = 0 if self._held else self._sock.send(data, _FLAGS)
        except BlockingIOError:
            sent = 0
        except OSError:  # the reader sees the end of the stream too
            return
        if sent < len(data):
            self._held.append(data[sent:])
