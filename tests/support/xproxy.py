"""Stands between X clients and their server: counts shared-memory requests, and spoils some."""

from __future__ import annotations

import array
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.x11 import Xvfb
from tests.support.xlib import XConnection

_NAMES = {2: "detach", 3: "put", 6: "attach_fd"}  # minor opcodes of MIT-SHM 1.2
_SIZE, _SEND_EVENT, _SEGMENT = 20, 30, slice(32, 36)  # of a ShmPutImage request
_REPLY, _GENERIC_EVENT = 1, 35
_FOLDER = Path("/tmp/.X11-unix")
_BEYOND = 1000  # from the server's display number to the proxy's
_CHUNK = 1 << 16
_ROOM_FOR_FDS = socket.CMSG_SPACE(16 * 4)


class XProxy:
    """A display of its own, for those who use `environment`; a context manager.

    `counts` has what happened to attached files: attach_fd, detach, put and
    completion. `puts` are their (x, y, width, height) in the window, and the segments
    they came from. `most` is how many puts waited for their completion at once.
    With `lose_fds`, descriptors get lost on the way.
    """

    def __init__(self, xvfb: Xvfb, *, lose_fds: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.puts: list[tuple[tuple[int, int, int, int], bytes]] = []
        self.most = 0
        self.spoil = False
        """Set it, and the next put names a segment that does not exist."""
        self.lose_fds = lose_fds
        number = int(xvfb.display[1:])
        self._target = _FOLDER / f"X{number}"
        self._path = _FOLDER / f"X{number + _BEYOND}"
        self.environment = {"DISPLAY": f":{number + _BEYOND}"}
        with XConnection(xvfb) as x:
            self._opcode, self._event = x.extension("MIT-SHM")
        self._lock = threading.Lock()
        self._sockets = [socket.socket(socket.AF_UNIX)]
        self._path.unlink(missing_ok=True)  # of one that was killed; the number is ours
        self._sockets[0].bind(str(self._path))
        self._sockets[0].listen()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, act: Callable[[], None]) -> None:
        thread = threading.Thread(target=act, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._path.unlink()
        self._sockets[0].shutdown(socket.SHUT_RDWR)
        self._threads.pop(0).join()  # from here on there are no new ones
        for sock in self._sockets[1:]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._target))
                self._sockets += [client, server]
                for stream in (_Requests(self, client, server), _Answers(self, server, client)):
                    self._start(stream.run)

    def name(self, message: bytearray) -> str:
        """What a request does to attached files; empty for other requests."""
        return _NAMES.get(message[1], "") if message[0] == self._opcode else ""

    def request(self, name: str, message: bytearray) -> None:
        """A client that attaches files asks something of that name."""
        with self._lock:
            if name == "put" and self.spoil:
                self.spoil = False
                message[_SEGMENT] = bytes(4)
            self.counts[name] += name != "put" or message[_SEND_EVENT]
            if name == "put":
                width, height, x, y = struct.unpack_from("=2H2h", message, _SIZE)
                self.puts.append(((x, y, width, height), bytes(message[_SEGMENT])))
            self.most = max(self.most, self.counts["put"] - self.counts["completion"])

    def answer(self, message: bytearray) -> None:
        """The server says something."""
        if message[0] & 0x7F == self._event:
            with self._lock:
                self.counts["completion"] += 1


class _Stream:
    """One direction of one connection, passed on message by message."""

    def __init__(self, proxy: XProxy, source: socket.socket, target: socket.socket) -> None:
        self._proxy, self._source, self._target = proxy, source, target
        self._set_up = False

    def run(self) -> None:
        pending, fds = bytearray(), array.array("i")
        with contextlib.suppress(OSError):
            while True:
                data, ancillary, _, _ = self._source.recvmsg(_CHUNK, _ROOM_FOR_FDS)
                if not data:
                    self._target.shutdown(socket.SHUT_WR)
                    return
                for _, _, more in ancillary:
                    fds.frombytes(more)
                pending += data
                if whole := self._take(pending):
                    self._send(whole, fds)
                    fds = array.array("i")

    def _take(self, pending: bytearray) -> bytearray:
        """The whole messages at the start, seen by the proxy and taken away."""
        whole = bytearray()
        while 0 < (size := self._size(pending)) <= len(pending):
            message = pending[:size]
            del pending[:size]
            if self._set_up:
                self._see(message)
            self._set_up = True
            whole += message
        return whole

    def _send(self, data: bytearray, fds: array.array[int]) -> None:
        kept = array.array("i") if self._proxy.lose_fds else fds
        sent = socket.send_fds(self._target, [data], kept.tolist())
        for fd in fds:
            socket.close(fd)
        self._target.sendall(data[sent:])

    def _size(self, head: bytearray) -> int:
        """Bytes of the message that begins here; 0 where too little of it is there to tell."""
        raise NotImplementedError

    def _see(self, message: bytearray) -> None:
        raise NotImplementedError


class _Requests(_Stream):
    _attaches = False

    def _size(self, head: bytearray) -> int:
        if len(head) < (4 if self._set_up else 12):
            return 0
        if not self._set_up:
            name, data = struct.unpack_from("=2H", head, 6)
            return 12 + int(name + -name % 4 + data + -data % 4)
        size = struct.unpack_from("=H", head, 2)[0]
        if size == 0 and len(head) >= 8:  # BIG-REQUESTS
            size = struct.unpack_from("=I", head, 4)[0]
        return 4 * int(size)

    def _see(self, message: bytearray) -> None:
        name = self._proxy.name(message)
        self._attaches = self._attaches or name == "attach_fd"
        if name and self._attaches:  # others, Mesa among them, have segments of another kind
            self._proxy.request(name, message)


class _Answers(_Stream):
    def _size(self, head: bytearray) -> int:
        if len(head) < 8:
            return 0
        if not self._set_up:
            (more,) = struct.unpack_from("=H", head, 6)
            return 8 + 4 * int(more)
        more = head[0] == _REPLY or head[0] & 0x7F == _GENERIC_EVENT
        return 32 + 4 * int(struct.unpack_from("=I", head, 4)[0]) * more

    def _see(self, message: bytearray) -> None:
        self._proxy.answer(message)
