"""Messages on their way out of a socket that may be full."""

from __future__ import annotations

import os
import select
import socket
import threading
from array import array
from collections import deque

_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Outbox:
    """Sends at once what fits and keeps the rest, in order. Never blocks; thread-safe.

    While something waits, `epoll` is asked to report that `sock` is writable; who waits on
    it then calls `flush`. Descriptors of a message that waits are duplicates of the outbox's
    own, closed when they are sent or when the outbox is.
    """

    def __init__(self, sock: socket.socket, epoll: select.epoll) -> None:
        self.size = 0  # bytes that wait
        self._sock = sock
        self._epoll = epoll
        self._events = select.EPOLLIN
        self._queue: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def accept(self, data: bytes | bytearray, limit: int, fds: tuple[int, ...] = ()) -> bool:
        """Send or keep one message; `data` and `fds` stay the caller's.

        False where it was not taken: closed, broken, or `limit` bytes wait already. Raises
        OSError where `fds` cannot be sent.
        """
        with self._lock:
            if self._closed or self.size >= limit:
                return False
            try:
                self._send(data, fds)
            except ConnectionError:
                self._clear()  # reading shows the end too, after what the peer said before
                return False
            self._arm()
            return True

    def flush(self) -> None:
        """Send what fits now of what waits."""
        with self._lock:
            if self._closed:
                return
            try:
                self._drain()
            except ConnectionError:
                self._clear()
            self._arm()

    def close(self) -> None:
        """Forget what waits and take no more; socket and epoll may be closed after this."""
        with self._lock:
            self._closed = True
            self._clear()

    def _send(self, data: bytes | bytearray, fds: tuple[int, ...]) -> None:
        sent = 0 if self._queue else self._try(data, fds)
        if sent == len(data):
            return
        kept = () if sent else _duplicates(fds)
        self._queue.append((memoryview(data[sent:]), kept))
        self.size += len(data) - sent

    def _drain(self) -> None:
        while self._queue:
            data, fds = self._queue[0]
            sent = self._try(data, fds)
            if not sent:
                return
            self._queue[0] = (data[sent:], ())
            self.size -= sent
            _close(fds)
            if sent == len(data):
                self._queue.popleft()

    def _clear(self) -> None:
        for _, fds in self._queue:
            _close(fds)
        self._queue.clear()
        self.size = 0

    def _arm(self) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if self._queue else 0)
        if events != self._events:
            self._epoll.modify(self._sock, events)
            self._events = events

    def _try(self, data: bytes | bytearray | memoryview, fds: tuple[int, ...]) -> int:
        """Send once; return how many bytes went. Descriptors go with the first."""
        try:
            if not fds:
                return self._sock.send(data, _FLAGS)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
            return self._sock.sendmsg([data], rights, _FLAGS)
        except BlockingIOError:
            return 0


def _duplicates(fds: tuple[int, ...]) -> tuple[int, ...]:
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))
    except OSError:
        _close(tuple(copies))
        raise
    return tuple(copies)


def _close(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
