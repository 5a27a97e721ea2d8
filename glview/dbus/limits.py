"""The most that a peer may send, and the most that waits for a peer to read it.

Any client of a session bus can send any other one whatever it likes, unasked. So each
message is judged by its header, before its body is received. One that is too large is
thrown away, and the connection goes on; docs/architecture.md has the table.
"""

from __future__ import annotations

from typing import NamedTuple

from glview.errors import ProtocolError

MAX_MESSAGE = 256 << 20
"""Bytes of one message. QEMU sends Scanouts of 132 MB, above the specification's 128 MiB."""

MAX_ARRAY = 64 << 20
"""Bytes of an array of anything but bytes. (D-Bus specification)"""

MAX_NAME = 255
"""Bytes of a member, an interface, an error name, a bus name. (D-Bus specification)"""

MAX_FIELDS = 16 << 10
"""Bytes of all header fields. The specification's longest names and signature take 2 KiB."""

MAX_FIELD_VALUES = 512
"""Values in the header fields, those of unknown fields included; all known ones take 50."""

MAX_DEPTH = 64
"""Containers in each other, variants included."""

MAX_FDS = 253
"""Descriptors that come with one message: SCM_MAX_FD of Linux."""

MAX_UNREAD_ANSWERS = 1 << 20
"""Bytes of answers to a listener's calls that wait for QEMU to read them: 26,000 answers."""

MAX_UNREAD_POSTS = 1 << 20
"""Bytes that wait on a control connection before keys and pointer motion are dropped."""

MAX_UNREAD_CALLS = 4 << 20
"""Bytes that wait there before calls are refused, and a peer that never reads is cut off."""

MAX_UNSENT_MESSAGES = 1024
"""Messages that wait for a message bus to read them, in dbus-next's connection."""


class Limit(NamedTuple):
    """The most that one message of some kind may have.

    `size` is in bytes, header included. `values` counts each number, string and container of
    the body, and a character of a signature like a value. Strings are cut after `text` bytes.
    """

    size: int
    values: int
    text: int


UNASKED = Limit(128 << 10, 4096, 4096)
"""The limit for messages that strangers can send: signals, calls over a bus, unasked replies."""

PEER_CALL = Limit(32 << 20, 1 << 16, 1 << 20)
"""The limit for a call by the peer, where there is no bus between."""

PROPERTIES_REPLY = Limit(32 << 20, 8192, 4096)
"""The limit for a reply about properties. The name of a VM may be long, but is cut."""

REPLY = Limit(32 << 20, 1 << 16, 1 << 20)
"""The limit for a reply to any other call that glview made."""

_REPLIES = {"org.freedesktop.DBus.Properties": PROPERTIES_REPLY}

WHOLE = Limit(MAX_MESSAGE, 1 << 16, MAX_MESSAGE)
"""The limit for any message at all."""


def of_reply(interface: str) -> Limit:
    """Return the limit for the reply to a call of a method of `interface`."""
    return _REPLIES.get(interface, REPLY)


class TooLargeError(ProtocolError):
    """A message has more than its limit allows. The stream is intact."""
