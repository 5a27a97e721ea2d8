"""The life of a connection: find the VM, register, notice its end, and begin again.

Plain sequential code on a thread of its own; it may wait for QEMU or the bus
as long as they like. It tells the main thread what happens as `events`.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from glview.dbus.limits import TooLargeError
from glview.errors import (
    GlviewError,
    InternalError,
    ProtocolError,
    ResourceError,
    VmGoneError,
    describe,
    shortage,
)
from glview.qemu import discovery, forwarded
from glview.qemu.display import Console
from glview.qemu.events import (
    Broken,
    BusLost,
    Connected,
    Ended,
    Event,
    EventQueue,
    Gone,
    Replaced,
    StillWaiting,
    Waiting,
)
from glview.qemu.inputs import Inputs
from glview.qemu.listener import Listener
from glview.qemu.waiting import Backoff, mends
from glview.qemu.ways import Link, Way
from glview.scanout.mailbox import Mailbox
from glview.stats.recorder import OFF, Recorder
from glview.threads import Thread

Inbox = queue.SimpleQueue[tuple[Any, ...]]

# After the control connection: how long the listener's end may take to follow.
_FOLLOWS_WITHIN = 0.3

_MOST_BROKEN = 3  # connections in a row that end by what the protocol does not allow
_MOST_REASONS = 16  # for failing attempts, that the user is shown

_LEAVES_WITHIN = 0.3
"""Seconds between the ends of a VM's listener and of its name on the bus."""


class _End(NamedTuple):
    """How a connection ended. `broken` if the VM is there still, as far as one knows.

    `attended` unless it failed in a way that another attempt may mend.
    """

    reason: str
    broken: bool = False
    attended: bool = True


class Session:
    """Runs on its own thread until `close`, or an error that waiting does not mend."""

    def __init__(
        self,
        way: Way,
        console: int | None,
        wake: Callable[[], None],
        *,
        wait: bool = False,
        reconnect: bool = True,
        offer_map: bool = True,
        offer_dmabuf2: bool = True,
        recorder: Recorder = OFF,
    ) -> None:
        """`wake` is called, on any thread, when there is something for the main thread."""
        self.events = EventQueue()
        self._way = way
        self._wanted_console = console
        self._wake = wake
        self._recorder = recorder
        self._wait = wait
        self._reconnect = reconnect and way.again
        self._offer_map = offer_map
        self._offer_dmabuf2 = offer_dmabuf2
        self._stop = threading.Event()
        self._inbox: Inbox = queue.SimpleQueue()
        self._backoff = Backoff(first=0.25, most=30.0)
        self._reasons: set[str] = set()
        self._connected = False  # a picture has been on its way
        self._thread = Thread("session", self._run, self._failed)

    def start(self) -> None:
        """Begin to connect. Raises ResourceError where no thread can be had."""
        self._thread.start()

    def ask_guest_size(self, width: int, height: int, millimetres: tuple[int, int]) -> None:
        """Ask the guest for this size in pixels, if it can follow. Never waits."""
        self._inbox.put(("size", width, height, millimetres))

    def close(self) -> None:
        """End everything; waits for the thread, but not for a QEMU that stands still."""
        self._stop.set()
        self._inbox.put(("stop",))
        if self._thread.is_alive():
            self._thread.join(2.0)

    # -- the thread --------------------------------------------------------

    def _post(self, event: Event) -> None:
        self.events.put(event)
        self._wake()

    def _run(self) -> None:
        error: GlviewError | None = None
        try:
            self._live()
        except GlviewError as problem:
            error = problem
        except OSError as problem:
            failed = f"the connection failed: {problem.strerror or problem}"
            error = shortage(problem) or ResourceError(failed)
        except (MemoryError, ImportError) as problem:
            error = describe(problem)
        self._post(Ended(error))

    def _failed(self, line: str) -> None:
        self._post(Ended(InternalError(line)))

    def _live(self) -> None:
        wait = self._wait
        while not self._stop.is_set():
            if wait:
                self._post(Waiting())
            link = self._way.open(wait=wait, stop=self._stop, tell=self._tell)
            if link is None:
                return
            self._backoff.begin()
            with contextlib.closing(link):
                end = self._stay(link, wait=wait)
                if end is None or self._stop.is_set():
                    return
                if not self._reconnect:
                    raise VmGoneError("the VM has gone" + (f": {end.reason}" if end.reason else ""))
                self._post(Broken(end.reason) if end.broken else Gone(end.reason))
                wait = True
                if end.attended and not end.broken and _has_gone(link):
                    self._backoff.reset()  # the next VM is another one, however soon it comes
                    continue
            self._stop.wait(self._backoff.delay())

    def _stay(self, link: Link, *, wait: bool) -> _End | None:
        """Attend a VM; a failure that waiting mends is an end, too, once there was a VM."""
        try:
            return self._attend(link)
        except (GlviewError, OSError) as error:
            if not mends(error) or not (wait or self._connected):
                raise  # the VM was there a moment ago, and nobody asked us to wait
            reason = str(error.args[0]) if isinstance(error, GlviewError) else str(error)
            return _End(reason, attended=False)

    def _tell(self, error: Exception) -> None:
        """Have the user told why an attempt failed, once for each reason."""
        text = str(error)
        if text not in self._reasons and len(self._reasons) < _MOST_REASONS:
            self._reasons.add(text)
            self._post(StillWaiting(error))

    def _attend(self, link: Link) -> _End | None:
        """Stay with one VM until it goes: how, or None where there is nothing to wait for."""
        info = discovery.choose_console(link.vm, self._wanted_console)
        console = Console(link.transport, link.vm.owner, info.id)
        self._inbox = queue.SimpleQueue()
        inbox = self._inbox
        if self._stop.is_set():
            return None
        link.transport.on_closed(lambda: inbox.put(("control lost",)))
        listener = self._register(console, inbox, link)
        try:
            self._connected = True
            self._reasons.clear()
            self._post(Connected(link.vm, info, listener.mailbox, listener))
            with Inputs(link, console, listener, self._post) as inputs:
                return self._watch(link, console, listener, inputs)
        finally:
            listener.close()

    def _register(self, console: Console, inbox: Inbox, link: Link) -> Listener:
        ours, theirs = socket.socketpair()
        with theirs:
            listener = Listener(
                ours,
                Mailbox(self._wake, self._recorder),
                lambda reason: inbox.put(("listener lost", reason)),
                offer_map=self._offer_map,
                offer_dmabuf2=self._offer_dmabuf2,
            )
            listener.start()
            try:
                console.register_listener(theirs.fileno())
            except BaseException as error:
                listener.close()
                if isinstance(error, GlviewError):
                    raise forwarded.cause(error, link.probe) from error
                raise
        return listener

    def _watch(
        self, link: Link, console: Console, listener: Listener, inputs: Inputs
    ) -> _End | None:
        inbox = self._inbox
        while True:
            try:
                what, *details = inbox.get(timeout=inputs.start())
            except queue.Empty:
                continue  # another attempt to start the input is due
            if what == "stop":
                return None
            if what == "size":
                width, height, millimetres = details
                with contextlib.suppress(GlviewError):
                    console.set_ui_info(width, height, *millimetres)
            elif what == "listener lost" and _at_fault(listener):
                return self._broken(listener, str(details[0]))
            elif not link.transport.is_bus:
                return self._lost_peer(link, what, details)
            elif what == "listener lost":
                return _End(str(details[0]))
            else:
                self._post(BusLost())

    def _broken(self, listener: Listener, reason: str) -> _End:
        """The listener ended for a reason of its own. Raises what another attempt cannot mend."""
        error = listener.error
        too_often = self._backoff.in_a_row >= _MOST_BROKEN - 1
        if isinstance(error, TooLargeError) or (isinstance(error, ProtocolError) and too_often):
            raise error
        return _End(reason, broken=True)

    def _lost_peer(self, link: Link, what: str, details: list[Any]) -> _End | None:
        """A peer-to-peer connection has ended: has the VM, or has another viewer our place?

        QEMU drops the older client's control connection; its listener lives
        on, but for QEMU 7.2, which ends that too a little later.
        """
        if link.transport.fault:
            return _End(link.transport.fault, broken=True)
        if self._way.still_there():
            self._post(Replaced())
            return None
        if what == "listener lost":
            return _End(str(details[0]))
        with contextlib.suppress(queue.Empty):
            while True:
                what, *details = self._inbox.get(timeout=_FOLLOWS_WITHIN)
                if what == "stop":
                    return None
                if what == "listener lost":
                    return _End(str(details[0]))
        self._post(Replaced())
        return None


def _has_gone(link: Link) -> bool:
    """Return whether the VM itself has ended, not only its connection. May wait a moment."""
    if not link.transport.is_bus:
        return True  # else another viewer would have its display
    try:
        return discovery.has_left(link.transport, link.vm.owner, _LEAVES_WITHIN)
    except (GlviewError, OSError):
        return False  # nobody can tell


def _at_fault(listener: Listener) -> bool:
    """Return whether the listener ended by something else than the end of its socket."""
    return isinstance(listener.error, InternalError | ProtocolError | ResourceError)
