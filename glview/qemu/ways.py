"""The ways to a VM: over a bus, through QMP, by an inherited socket, or a QEMU of our own."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from glview.dbus import address
from glview.dbus.peer import PeerConnection
from glview.dbus.transport import Transport
from glview.errors import (
    AmbiguousVmError,
    GlviewError,
    NoVmError,
)
from glview.qemu import discovery, qmp
from glview.qemu.discovery import Vm
from glview.qemu.waiting import Backoff, mends

_ENDS_WITHIN = 0.3  # seconds
_ANSWERS_WITHIN = 10.0  # seconds, peer to peer: no other VM waits to be listed
_RETRY = 0.25  # seconds between attempts where nothing tells when to try again, at first
_SELDOM = 2.0  # and in the end

Tell = Callable[[Exception], None]
Passes = Callable[[Exception], bool]


class Link(NamedTuple):
    """A control connection to a VM. `open_input` gives the connection that input goes out on.

    `probe` makes another connection to the bus, where there is one.
    """

    transport: Transport
    vm: Vm
    open_input: Callable[[], PeerConnection]
    probe: Callable[[], PeerConnection] | None = None

    def close(self) -> None:
        """End the control connection."""
        self.transport.close()


class Way(Protocol):
    """How to get to a VM; `again` says whether it can be gone to more than once."""

    again: bool

    def still_there(self) -> bool:
        """Whether the VM that was opened last is known to run still. May wait a moment."""

    def open(self, *, wait: bool, stop: threading.Event, tell: Tell) -> Link | None:
        """Connect. With `wait`, until the VM is there; None once `stop` is set.

        Calls `tell` with each failure that waiting may mend (`waiting.mends`). Raises
        GlviewError and OSError, with `wait` only others.
        """


def _until_connected(
    attempt: Callable[[], Link | None], stop: threading.Event, tell: Tell, passes: Passes
) -> Link | None:
    """Repeat `attempt` until it returns, raises what does not pass, or `stop` is set."""
    backoff = Backoff(_RETRY, _SELDOM)
    while not stop.is_set():
        try:
            return attempt()
        except (GlviewError, OSError) as error:
            if not passes(error):
                raise
            tell(error)
        stop.wait(backoff.delay())
    return None


def _over(sock: socket.socket, wanted: str | None) -> Link:
    """Return a peer-to-peer link to the VM `wanted` over a connected socket, owned from here on.

    Raises `NoVmError` where the VM there is another, or does not answer.
    """
    peer = PeerConnection.over(sock)
    try:
        vms = discovery.list_vms(peer, _ANSWERS_WITHIN)
        if not vms:
            raise NoVmError("the other end speaks D-Bus, but is no QEMU display")
        if not vms[0].answering:
            raise NoVmError("the VM does not answer", "is QEMU stopped?")
        vm = discovery.choose_vm(vms, wanted) if wanted else vms[0]
        return Link(peer, vm, lambda: peer)
    except BaseException:
        peer.close()
        raise


def _listening_process(path: str) -> int:
    """Process id of who listens on a Unix socket; -1 where nobody does."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return -1
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    process: int = struct.unpack("3i", credentials)[0]
    return process


class ByBus:
    """By a message bus; `wanted` is a name or UUID, None for the only VM there."""

    again = True

    def __init__(self, addresses: str | None, wanted: str | None) -> None:
        self._addresses = addresses
        self._wanted = wanted
        self._found = False

    def still_there(self) -> bool:
        return False

    def open(self, *, wait: bool, stop: threading.Event, tell: Tell) -> Link | None:
        if wait:
            link = _until_connected(lambda: self._wait_there(stop), stop, tell, self._passes)
        else:
            link = self._at_once(self._addresses or address.session_address())
        if link is not None:
            self._wanted = link.vm.uuid or link.vm.name  # the same one the next time
            self._found = True
        return link

    def _passes(self, error: Exception) -> bool:
        """Return whether to wait on. Two VMs that fit may be one that is about to go."""
        return mends(error) or (self._found and isinstance(error, AmbiguousVmError))

    def _wait_there(self, stop: threading.Event) -> Link | None:
        addresses = self._addresses or address.session_address()
        from glview.dbus.bus import BusConnection  # takes as long to load as all else together

        bus = BusConnection.connect(addresses)
        try:
            vm = discovery.wait_for_vm(bus, self._wanted, None, stop)
            if vm is None:
                bus.close()
                return None
            another = partial(PeerConnection.to_bus, addresses)
            return Link(bus, vm, open_input=another, probe=another)
        except BaseException:
            bus.close()
            raise

    def _at_once(self, addresses: str) -> Link:
        """The VM is there, or it is an error: our own connection is enough to look."""
        bus = PeerConnection.to_bus(addresses)
        try:
            vm = discovery.choose_vm(discovery.list_vms(bus), self._wanted)
            return Link(bus, vm, lambda: bus, partial(PeerConnection.to_bus, addresses))
        except BaseException:
            bus.close()
            raise


class ByQmp:
    """Through a QMP socket: QEMU was started with ``-display dbus,p2p=yes``.

    `wanted` is the name or UUID that the VM there must have, None for any.
    """

    again = True

    def __init__(self, path: str, wanted: str | None = None) -> None:
        self._path = path
        self._wanted = wanted
        self._process = 0

    def still_there(self) -> bool:
        """A process that ends stops listening a moment after our connection has ended."""
        deadline = time.monotonic() + _ENDS_WITHIN
        while _listening_process(self._path) == self._process:
            if time.monotonic() > deadline:
                return True
            time.sleep(_ENDS_WITHIN / 10)
        return False

    def open(self, *, wait: bool, stop: threading.Event, tell: Tell) -> Link | None:
        return _until_connected(self._attempt, stop, tell, mends) if wait else self._attempt()

    def _attempt(self) -> Link:
        if self._wanted is not None:  # before another viewer of another VM loses its place
            discovery.choose_vm([qmp.describe(self._path)], self._wanted)
        link = _over(qmp.hand_over(self._path), self._wanted)
        self._process = _listening_process(self._path)
        return link


class BySocket:
    """By a socket that somebody else connected; `get` hands it over, once.

    `wanted` is the name or UUID that the VM there must have, None for any.
    """

    again = False

    def __init__(self, get: Callable[[], socket.socket], wanted: str | None = None) -> None:
        self._get = get
        self._wanted = wanted

    def still_there(self) -> bool:
        return False

    def open(self, *, wait: bool, stop: threading.Event, tell: Tell) -> Link | None:
        return _over(self._get(), self._wanted)
