"""Input and properties of a console while its picture is shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from glview.dbus.peer import PeerConnection
from glview.errors import GlviewError, ProtocolError, VmGoneError
from glview.qemu.display import Console
from glview.qemu.events import Event, InputReady, LocksChanged, PointerKind
from glview.qemu.input import InputCalls
from glview.qemu.listener import Listener
from glview.qemu.properties import MOUSE
from glview.qemu.waiting import Backoff, mends
from glview.qemu.ways import Link

log = logging.getLogger(__name__)


class Inputs:
    """The input calls and the console's properties of one session.

    A QEMU or a bus that stands still does not cost the picture: `start` tries again.
    Use with `with`.
    """

    def __init__(
        self, link: Link, console: Console, listener: Listener, post: Callable[[Event], None]
    ) -> None:
        self._link = link
        self._console = console
        self._listener = listener
        self._post = post
        self._outlet: PeerConnection | None = None
        self._backoff = Backoff(first=0.5, most=30.0)
        self._due: float | None = 0.0  # monotonic seconds of the next attempt; None when done
        self._size: dict[str, int] = {}

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._outlet is not None:
            self._outlet.close()

    def start(self) -> float | None:
        """Try to begin, if that is due; return the seconds until the next attempt, if any."""
        if self._due is not None and time.monotonic() >= self._due:
            self._attempt()
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def _attempt(self) -> None:
        self._due = None
        try:
            self._begin()
        except VmGoneError:
            if not self._link.transport.closed:  # else the transport itself reports its end
                self._later("the connection for input was closed")
        except (GlviewError, OSError) as error:
            if isinstance(error, ProtocolError):
                log.warning("the VM gets no keys and no pointer: %s", error)
            elif mends(error):
                self._later(str(error))
            else:
                raise

    def _later(self, reason: str) -> None:
        if not self._backoff.in_a_row:
            log.warning("the VM gets no keys and no pointer yet: %s", reason)
        self._due = time.monotonic() + self._backoff.delay()

    def _begin(self) -> None:
        if self._outlet is None or self._outlet.closed:
            self._outlet = self._link.open_input()
        remove = self._console.watch(self._changed)
        try:
            properties = self._console.properties()  # what changed before we watched
            absolute: bool = self._console.properties(MOUSE)["IsAbsolute"]
        except BaseException:
            remove()
            raise
        self._size.setdefault("Width", properties["Width"])
        self._size.setdefault("Height", properties["Height"])
        self._resized()
        calls = InputCalls(self._outlet, self._console.path, self._link.vm.owner)
        self._post(InputReady(calls, absolute))

    def _changed(self, changes: dict[str, Any]) -> None:
        if "IsAbsolute" in changes:
            self._post(PointerKind(changes["IsAbsolute"]))
        if "Modifiers" in changes:
            self._post(LocksChanged(changes["Modifiers"]))
        sizes = (name for name in ("Width", "Height") if name in changes)
        new: dict[str, int] = {name: changes[name] for name in sizes}
        if new:
            self._size.update(new)  # both at once: a mixture was never the console's size
            self._resized()

    def _resized(self) -> None:
        if all(self._size.get(side) for side in ("Width", "Height")):
            self._listener.console_resized(self._size["Width"], self._size["Height"])
