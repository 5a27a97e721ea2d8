"""The life of a connection: find the VM, register, notice its end, and begin again.

Plain sequential code on a thread of its own; it may wait for QEMU or the bus
as long as they like. What happens is told to the main thread as events.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from glview.dbus.peer import PeerConnection
from glview.errors import CallError, GlviewError, InternalError, VmGoneError
from glview.qemu import discovery
from glview.qemu.discovery import ConsoleInfo, Vm
from glview.qemu.display import Console
from glview.qemu.input import InputCalls
from glview.qemu.listener import Listener
from glview.qemu.properties import MOUSE
from glview.qemu.ways import Link, Way
from glview.scanout.mailbox import Mailbox
from glview.stats.recorder import OFF, Recorder
from glview.threads import Thread

log = logging.getLogger(__name__)

# After the control connection: how long the listener's end may take to follow.
_FOLLOWS_WITHIN = 0.3


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


class Waiting(NamedTuple):
    """There is no VM yet."""


class Gone(NamedTuple):
    """The VM went away; `reason` may be empty. glview waits for it to come back."""

    reason: str


class BusLost(NamedTuple):
    """The message bus went away: the picture goes on, input and the rest do not."""


class Replaced(NamedTuple):
    """Another viewer took the one place that QEMU has peer to peer."""


class Ended(NamedTuple):
    """Nothing more will come: the session is over, by `error` if there is one."""

    error: GlviewError | None


Event = Connected | InputReady | PointerKind | Waiting | Gone | BusLost | Replaced | Ended


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
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._way = way
        self._wanted_console = console
        self._wake = wake
        self._recorder = recorder
        self._wait = wait
        self._reconnect = reconnect and way.again
        self._offer_map = offer_map
        self._offer_dmabuf2 = offer_dmabuf2
        self._stop = threading.Event()
        self._inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
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
            error = GlviewError(f"the connection failed: {problem.strerror or problem}")
        self._post(Ended(error))

    def _failed(self, line: str) -> None:
        self._post(Ended(InternalError(line)))

    def _live(self) -> None:
        wait = self._wait
        while not self._stop.is_set():
            if wait:
                self._post(Waiting())
            link = self._way.open(wait=wait, stop=self._stop)
            if link is None:
                return
            try:
                reason = self._attend(link)
            except (VmGoneError, CallError) as error:
                if not wait:
                    raise  # it was there a moment ago, and nobody asked us to wait
                reason = str(error.args[0])
            finally:
                link.close()
            if reason is None or self._stop.is_set():
                return
            if not self._reconnect:
                raise VmGoneError("the VM has gone" + (f": {reason}" if reason else ""))
            self._post(Gone(reason))
            wait = True

    def _attend(self, link: Link) -> str | None:
        """Stay with one VM until it goes: why, or None where there is nothing to wait for."""
        info = discovery.choose_console(link.vm, self._wanted_console)
        console = Console(link.transport, link.vm.owner, info.id)
        self._inbox = queue.SimpleQueue()
        inbox = self._inbox
        if self._stop.is_set():
            return None
        link.transport.on_closed(lambda: inbox.put(("control lost",)))
        listener = self._register(console, inbox)
        outlet: PeerConnection | None = None
        try:
            self._post(Connected(link.vm, info, listener.mailbox, listener))
            outlet = link.open_input()
            self._start_input(console, outlet, link.vm.owner, listener)
            return self._watch(link, console, inbox)
        finally:
            listener.close()
            if outlet is not None:
                outlet.close()

    def _register(self, console: Console, inbox: queue.SimpleQueue[tuple[Any, ...]]) -> Listener:
        ours, theirs = socket.socketpair()
        listener = Listener(
            ours,
            Mailbox(self._wake, self._recorder),
            lambda reason: inbox.put(("listener lost", reason)),
            offer_map=self._offer_map,
            offer_dmabuf2=self._offer_dmabuf2,
        )
        listener.start()
        with theirs:
            try:
                console.register_listener(theirs.fileno())
            except BaseException:
                listener.close()
                raise
        return listener

    def _start_input(
        self, console: Console, outlet: PeerConnection, owner: str, listener: Listener
    ) -> None:
        size: dict[str, int] = {}

        def resized() -> None:
            if all(size.get(side) for side in ("Width", "Height")):
                listener.console_resized(size["Width"], size["Height"])

        def changed(changes: dict[str, Any]) -> None:
            if "IsAbsolute" in changes:
                self._post(PointerKind(changes["IsAbsolute"]))
            sizes = (name for name in ("Width", "Height") if name in changes)
            new: dict[str, int] = {name: changes[name] for name in sizes}
            if new:
                size.update(new)  # both at once: a mixture was never the console's size
                resized()

        console.watch(changed)
        properties = console.properties()  # what changed before we watched
        size.setdefault("Width", properties["Width"])
        size.setdefault("Height", properties["Height"])
        resized()
        absolute: bool = console.properties(MOUSE)["IsAbsolute"]
        self._post(InputReady(InputCalls(outlet, console.path, owner), absolute))

    def _watch(
        self, link: Link, console: Console, inbox: queue.SimpleQueue[tuple[Any, ...]]
    ) -> str | None:
        while True:
            what, *details = inbox.get()
            if what == "stop":
                return None
            if what == "size":
                width, height, millimetres = details
                with contextlib.suppress(GlviewError):
                    console.set_ui_info(width, height, *millimetres)
            elif not link.transport.is_bus:
                return self._lost_peer(what, details, inbox)
            elif what == "listener lost":
                return str(details[0])
            else:
                self._post(BusLost())

    def _lost_peer(
        self, what: str, details: list[Any], inbox: queue.SimpleQueue[tuple[Any, ...]]
    ) -> str | None:
        """A peer-to-peer connection has ended: has the VM, or has another viewer our place?

        QEMU drops the older client's control connection; its listener lives
        on, but for QEMU 7.2, which ends that too a little later.
        """
        if self._way.still_there():
            self._post(Replaced())
            return None
        if what == "listener lost":
            return str(details[0])
        with contextlib.suppress(queue.Empty):
            while True:
                what, *details = inbox.get(timeout=_FOLLOWS_WITHIN)
                if what == "stop":
                    return None
                if what == "listener lost":
                    return str(details[0])
        self._post(Replaced())
        return None
