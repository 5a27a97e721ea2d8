"""Puts pictures out of shared memory: the requests of MIT-SHM, as bytes on a socket.

Not GLFW's connection, because GLFW drops the answers, and Xlib ends the process
on an X error. Here both come as events. Not libxcb's calls either: ten of them by
ctypes for each small change cost as much as everything else about it.
(X11 protocol, chapters 1, 4 and 9; MIT-SHM 1.2; shmproto.h)
"""

from __future__ import annotations

import select
import socket
import struct

from glview.errors import NoDisplayError
from glview.present.xcb import DEPTH, Display

MAX_TOTAL_WIDTH = 0xFFFF  # pixels a row in shared memory may have
MAX_OFFSET = 1 << 32  # where a picture in shared memory must end

_DETACH, _PUT_IMAGE, _ATTACH_FD = 2, 3, 6
_Z_PIXMAP = 2
_READ_ONLY = 1
_DETACH_FORM = struct.Struct("=BBHI")
_ATTACH_FORM = struct.Struct("=BBHIB3x")
_PUT_FORM = struct.Struct("=BBHII6H2hBBBxII")
_EVENT = 32  # bytes; an error is as long, and no request here has a reply
_ERROR = 0


Pixels = tuple[int, int, int, int]
"""Rows of pixels in an attached file: its id, the offset in bytes, the width from row to row,
the height."""


class Connection:
    """Puts pictures into one window; never waits for the X server but in the constructor."""

    def __init__(self, window: int) -> None:
        """`window` is an id on the display in the environment.

        Raises NoGraphicsError where pictures of B, G, R, X bytes cannot be put into it
        out of files that the X server attaches.
        """
        self._display = display = Display(window)
        self.fd = display.fd
        self._opcode, self._completion = display.opcode, display.completion
        self._socket = socket.socket(fileno=display.fd)
        self._drawable = window, display.gc
        self._queued = b""
        self._answers = memoryview(bytearray(64 * _EVENT))
        self._unread = 0  # bytes there: the beginning of an event
        self._spare_ids: list[int] = []
        self._gone = False

    # -- requests: queued until `flush` ------------------------------------

    def attach(self, fd: int) -> int:
        """Have the X server map a file, to read; its id there. `fd` stays the caller's.

        This is sent at once, behind what is queued.
        """
        self.flush()
        segment = self._spare_ids.pop() if self._spare_ids else self._display.new_id()
        self._send(_ATTACH_FORM.pack(self._opcode, _ATTACH_FD, 3, segment, _READ_ONLY), [fd])
        return segment

    def detach(self, segment: int) -> None:
        """Have it unmapped again, once what was asked before is done."""
        self._queued += _DETACH_FORM.pack(self._opcode, _DETACH, 2, segment)
        self._spare_ids.append(segment)

    def put(self, pixels: Pixels, rect: tuple[int, int, int, int], y: int, *, last: bool) -> None:
        """Copy `rect` of `pixels` to the window: as far from the left, and `y` from the top.

        It must lie inside. The `last` one of a batch is answered by an event.
        """
        segment, offset, width, height = pixels
        self._queued += _PUT_FORM.pack(
            self._opcode,
            _PUT_IMAGE,
            _PUT_FORM.size // 4,
            *self._drawable,
            width,
            height,
            *rect,
            rect[0],
            y,
            DEPTH,
            _Z_PIXMAP,
            last,
            segment,
            offset,
        )

    def flush(self) -> None:
        """Send what is queued.

        This would wait for room in a full socket, which holds thousands of
        requests: the caller keeps the number of unanswered ones small.
        """
        if self._queued:
            queued, self._queued = self._queued, b""
            self._send(queued)

    def _send(self, data: bytes, fds: list[int] | None = None) -> None:
        while data and not self._gone:
            try:
                sent = (
                    socket.send_fds(self._socket, [data], fds) if fds else self._socket.send(data)
                )
            except BlockingIOError:
                poll = select.poll()
                poll.register(self.fd, select.POLLOUT)
                poll.poll()
            except OSError:
                self._gone = True  # which the next `poll` tells
            else:
                data, fds = data[sent:], None

    # -- answers -----------------------------------------------------------

    def poll(self) -> tuple[int, str]:
        """(batches completed, what went wrong) since the last look; never waits.

        Raises NoDisplayError where the connection broke.
        """
        try:
            got = self._socket.recv_into(self._answers[self._unread :])
        except BlockingIOError:
            if self._gone:
                raise NoDisplayError("the X server has gone") from None
            return 0, ""
        except OSError:
            got = 0
        if not got:
            raise NoDisplayError("the X server has gone")
        data, end = self._answers, self._unread + got
        done, fault, at = 0, "", 0
        while at + _EVENT <= end:
            kind = data[at] & 0x7F  # the highest bit says that another client sent it
            if kind == self._completion:
                done += 1
            elif kind == _ERROR:
                fault = f"X error {data[at + 1]} for request {data[at + 10]}.{data[at + 8]}"
            at += _EVENT
        self._unread = end - at
        if at < end:
            data[: end - at] = bytes(data[at:end])
        return done, fault

    def close(self) -> None:
        """Disconnect; the X server lets go of everything. A second call does nothing."""
        self._socket.detach()
        self._display.close()
