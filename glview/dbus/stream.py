"""Whole D-Bus messages out of a blocking Unix stream socket, with their descriptors."""

from __future__ import annotations

import os
import socket
from array import array

from glview.dbus.wire import FIXED_HEADER, Message, decode, parse_fixed
from glview.errors import ProtocolError

MAX_FDS = 253  # SCM_MAX_FD: the kernel lets no message carry more
_ANCILLARY = socket.CMSG_SPACE(MAX_FDS * 4)


def read_message(sock: socket.socket) -> Message | None:
    """The next message, whose descriptors are now its own; None when the peer has hung up.

    Raises ProtocolError for what the protocol does not allow, also for an end in the middle
    of a message, and OSError; no descriptor is left open then.
    """
    fds: list[int] = []
    try:
        head = read_head(sock, fds)
        if head is None:
            return None
        data = bytearray(FIXED_HEADER + parse_fixed(head).remainder)
        data[:FIXED_HEADER] = head
        read_exactly(sock, memoryview(data)[FIXED_HEADER:])
        return decode(data, tuple(fds))
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise


def read_head(sock: socket.socket, fds: list[int]) -> bytes | None:
    """The fixed header; None when the peer has hung up before its first byte.

    Descriptors come with the first bytes of a message. They are appended to `fds` as they
    come, close-on-exec, and are the caller's to close, whatever is raised: ProtocolError for
    an end in the middle or for descriptors lost, OSError.
    """
    head = b""
    while len(head) < FIXED_HEADER:
        part, ancillary, flags, _ = sock.recvmsg(
            FIXED_HEADER - len(head), _ANCILLARY, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds += array("i", data[: len(data) // 4 * 4])
        if flags & socket.MSG_CTRUNC:
            raise ProtocolError("file descriptors were lost", "is the limit on open files reached?")
        if not part:
            if head:
                raise ProtocolError("the connection ended in the middle of a message")
            return None
        head += part
    return head


def read_exactly(sock: socket.socket, view: memoryview) -> None:
    """Fill `view`. Raises ProtocolError where the connection ends first, OSError."""
    while view:
        count = sock.recv_into(view, 0, socket.MSG_WAITALL)
        if not count:
            raise ProtocolError("the connection ended in the middle of a message")
        view = view[count:]
