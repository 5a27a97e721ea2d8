"""Tell a socket that carries bytes alone from a VM that has gone.

QEMU sends pictures over sockets that the viewer hands it, as descriptors. A socket that
ssh or another relay forwards passes the agreement on descriptors (NEGOTIATE_UNIX_FD), as
all bytes, but loses the descriptors themselves. A message bus hangs up then, for a
message that lacks what its header announces; QEMU itself answers with the error of a call
that GLib made in vain.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from glview.errors import CallError, GlviewError, NoDescriptorsError, QmpRefusedError, VmGoneError
from glview.qemu.discovery import BUS_NAME, BUS_PATH

if TYPE_CHECKING:
    from glview.dbus.peer import PeerConnection

_QEMU_S = "Unable to create socket: Unknown family"  # ui/dbus-console.c, in GLib's words
_QMP_S = "SCM_RIGHTS"  # monitor/fds.c
_WHAT = "the socket that leads to the VM passes no descriptors, so QEMU cannot send pictures"
_WAY_OUT = (
    "is it forwarded, as by ssh -L? run glview beside QEMU, by ssh -X or waypipe, or qemu-vnc "
    "there (QEMU 11.1) and a VNC viewer here"
)

Connect = Callable[[], "PeerConnection"]


def cause(error: GlviewError, probe: Connect | None) -> GlviewError:
    """Return why a call that handed QEMU a descriptor failed with `error`, or that error.

    `probe` makes another connection to the bus, where there is one.
    """
    told = isinstance(error, CallError | QmpRefusedError) and any(
        words in str(error) for words in (_QEMU_S, _QMP_S)
    )
    if told or (isinstance(error, VmGoneError) and probe and _loses_descriptors(probe)):
        return NoDescriptorsError(_WHAT, _WAY_OUT)
    return error


def _loses_descriptors(connect: Connect) -> bool:
    """Return whether a bus answers a call, but hangs up at the same with a descriptor."""
    try:
        with closing(connect()) as bus:
            bus.call(BUS_NAME, BUS_PATH, BUS_NAME, "GetId")
            fds = os.pipe()
            try:
                bus.call(BUS_NAME, BUS_PATH, BUS_NAME, "GetId", fds=fds[:1])
            except VmGoneError:
                return True
            finally:
                for fd in fds:
                    os.close(fd)
    except (GlviewError, OSError):  # the bus itself has gone, or we have no descriptors left
        pass
    return False
