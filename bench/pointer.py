"""What a movement of the pointer costs, from GLFW's callback to the socket: CPU time."""

from __future__ import annotations

import socket
import time

from bench.figures import SHM, SWAP, Figure
from glview.dbus.peer import PeerConnection
from glview.qemu.input import InputCalls
from glview.scanout.geometry import Rect
from glview.ui.controls import Controls

POINTER = "pointer event sent: CPU"
_BATCH = 50  # fit into the socket


def measure(batches: int) -> list[Figure]:
    """Microseconds of an event, the mean of each batch. Presenters have no part in it."""
    ours, theirs = socket.socketpair()
    connection = PeerConnection(ours, "bench")
    with theirs:
        controls = Controls("x11", lambda _: None)
        controls.place(Rect(0, 0, 1280, 720), (1280, 720), (1.0, 1.0))
        controls.connect(InputCalls(connection, "/org/qemu/Display1/Console_0"), True)
        times = []
        for _ in range(batches):
            began = time.thread_time()
            for number in range(_BATCH):
                controls.motion(100.0 + number, 100.0)
                controls.flush()
            times.append(1e6 * (time.thread_time() - began) / _BATCH)
            drain(theirs)
    connection.close()
    return [Figure(POINTER, viewer, times) for viewer in (SHM, SWAP)]


def drain(sock: socket.socket) -> int:
    """Read what is there; how many bytes."""
    size = 0
    while True:
        try:
            size += len(sock.recv(1 << 16, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return size
