"""Events that a session posts for the main thread."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import NamedTuple

from glview.errors import GlviewError
from glview.qemu.discovery import ConsoleInfo, Vm
from glview.qemu.input import InputCalls
from glview.qemu.listener import Listener
from glview.scanout.mailbox import Mailbox


class Connected(NamedTuple):
    """The picture is coming: through `mailbox`, answered through `listener`."""

    vm: Vm
    console: ConsoleInfo
    mailbox: Mailbox
    listener: Listener


class InputReady(NamedTuple):
    """Keys and the pointer can be sent; `absolute` as the guest has it now."""

    calls: InputCalls
    absolute: bool


class PointerKind(NamedTuple):
    """The guest's pointer became absolute or relative."""

    absolute: bool


class LocksChanged(NamedTuple):
    """The guest set the lights of its keyboard: bit 0 Scroll, 1 Num, 2 Caps Lock."""

    modifiers: int


class Waiting(NamedTuple):
    """There is no VM yet."""


class StillWaiting(NamedTuple):
    """An attempt to connect failed for a reason that the user has not been shown yet."""

    error: Exception


class Gone(NamedTuple):
    """The VM went away; `reason` may be empty. glview waits for it to come back."""

    reason: str


class Broken(NamedTuple):
    """The connection broke, but not because the VM has gone. glview connects again."""

    reason: str


class BusLost(NamedTuple):
    """The message bus went away: the picture goes on, input and the rest do not."""


class Replaced(NamedTuple):
    """Another viewer took the one place that QEMU has peer to peer."""


class Ended(NamedTuple):
    """Nothing more will come: the session is over, by `error` if there is one."""

    error: GlviewError | None


Event = (
    Connected
    | InputReady
    | PointerKind
    | LocksChanged
    | Waiting
    | StillWaiting
    | Gone
    | Broken
    | BusLost
    | Replaced
    | Ended
)


class EventQueue:
    """Events on their way to the main thread, oldest first. Any thread.

    Of several `PointerKind` in a row only the newest is kept: a VM may change it as often as
    it likes while the main thread waits for the window system. All others are few.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()

    def put(self, event: Event) -> None:
        """Add an event. Never waits."""
        with self._lock:
            last = self._events[-1] if self._events else None
            if isinstance(event, PointerKind) and isinstance(last, PointerKind):
                self._events.pop()
            self._events.append(event)

    def get_nowait(self) -> Event:
        """Return the oldest event. Raises queue.Empty where there is none."""
        with self._lock:
            if not self._events:
                raise queue.Empty
            return self._events.popleft()
