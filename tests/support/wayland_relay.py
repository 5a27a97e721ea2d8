"""A relay between Wayland clients and a compositor that keeps releases of keys to itself."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

_BIND, _GET_KEYBOARD, _RELEASE = 0, 1, 0  # requests
_KEY = 3  # an event of wl_keyboard
_SEAT = b"wl_seat\0"


class Relay:
    """Passes everything on between `path` and the compositor's socket, but releases in `kept`.

    `kept` are evdev codes: as a compositor whose grab swallows what goes up meanwhile,
    but which describes its keyboard rightly to each new wl_keyboard.
    """

    def __init__(self, path: Path, compositor: Path) -> None:
        self.kept: set[int] = set()
        self.swallowed = 0
        self._compositor = compositor
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        seats: set[int] = set()
        keyboards: set[int] = set()

        def requested(target: int, opcode: int, body: bytes) -> bool:
            if opcode == _BIND and body[8:16] == _SEAT:
                seats.add(int.from_bytes(body[-4:], "little"))
            elif target in seats and opcode == _GET_KEYBOARD:
                keyboards.add(int.from_bytes(body[:4], "little"))
            elif target in keyboards and opcode == _RELEASE:
                keyboards.discard(target)
            return True

        def told(target: int, opcode: int, body: bytes) -> bool:
            if target in keyboards and opcode == _KEY:
                _, _, key, state = struct.unpack("<4I", body)
                if key in self.kept and not state:
                    self.swallowed += 1
                    return False
            return True

        with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as both:
            server.connect(str(self._compositor))
            both.register(client, selectors.EVENT_READ, (client, server, requested, bytearray()))
            both.register(server, selectors.EVENT_READ, (server, client, told, bytearray()))
            with suppress(OSError):
                while all(_pass_on(*key.data) for key, _ in both.select()):
                    pass


def _pass_on(source: socket.socket, sink: socket.socket, wanted: object, rest: bytearray) -> bool:
    """Move whole messages; False at the end."""
    assert callable(wanted)
    data, fds, _, _ = socket.recv_fds(source, 1 << 16, 64)
    rest += data
    out = bytearray()
    while len(rest) >= 8:
        target, word = struct.unpack_from("<2I", rest)
        size = word >> 16
        if len(rest) < size:
            break
        if wanted(target, word & 0xFFFF, bytes(rest[8:size])):
            out += rest[:size]
        del rest[:size]
    if out:
        sent = socket.send_fds(sink, [out], fds)
        sink.sendall(out[sent:])
    assert out or not fds
    for fd in fds:
        os.close(fd)
    return bool(data)
