"""Faults of QEMU that a viewer may set off, by version, and what helps.

Seen on QEMU 7.2, 10.0 and 11.1, and in the source of 10.2; `tests/vm/test_qemu_faults.py`
tries each where it can be had.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Version = tuple[int, ...]


class Fault(NamedTuple):
    """A fault of the versions from `since` on and `before` another; `text` is what happens."""

    name: str
    since: Version
    before: Version
    text: str
    way_out: str


FAULTS = (
    Fault(
        "button",
        (0,),
        (11, 0),
        "a viewer that sends an unknown mouse button (above 8) ends QEMU",
        "glview sends none; QEMU 11.0 ignores it",
    ),
    Fault(
        "listener",
        (10, 0),
        (11, 0),
        "QEMU goes on copying each picture for every viewer that has disconnected",
        "keep one glview open rather than many in turn; QEMU 11.0 forgets them",
    ),
    Fault(
        "refused client",
        (0,),
        (11, 0),
        "peer to peer, a program that connects and fails to authenticate cuts a viewer off",
        "let nothing else use add_client; QEMU 11.0 keeps the viewer",
    ),
    Fault(
        "blob",
        (0,),
        (10, 1),
        "with gl=on and blob=on pictures of the guest get lost",
        "blob=off; QEMU 10.1 has the call that is not lost",
    ),
    Fault(
        "reset",
        (10, 2),
        (11, 0),
        "with gl=on a reset of the guest while a viewer is connected may end QEMU, it is reported",
        "gl=off, or another version",
    ),
)
"""Every fault, those of older versions first."""


def known(version: str) -> list[Fault]:
    """Return the faults of a version of QEMU; none of one that is not told."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    return [fault for fault in FAULTS if numbers and fault.since <= numbers < fault.before]
