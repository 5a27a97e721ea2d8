"""The ways to a VM: over a bus, through QMP, by an inherited socket, or a QEMU of our own."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from glview.dbus import address
from glview.dbus.peer import PeerConnection
from glview.dbus.transport import Transport
from glview.errors import CallError, ConnectError, GlviewError, NoVmError, VmGoneError
from glview.qemu import discovery, qmp
from glview.qemu.discovery import Vm

_ENDS_WITHIN = 0.3  # seconds
_RETRY = 0.5  # seconds between attempts where nothing tells when to try again


class Link(NamedTuple):
    """A control connection to a VM. `open_input` gives the connection that input goes out on."""

    transport: Transport
    vm: Vm
    open_input: Callable[[], PeerConnection]

    def close(self) -> None:
        """End the control connection."""
        self.transport.close()


class Way(Protocol):
    """How to get to a VM; `again` says whether it can be gone to more than once."""

    again: bool

    def still_there(self) -> bool:
        """Whether the VM that was opened last is known to run still. May wait a moment."""

    def open(self, *, wait: bool, stop: threading.Event) -> Link | None:
        """Connect. With `wait`, until the VM is there; None once `stop` is set.

        Raises GlviewError, with `wait` only what waiting cannot mend.
        """


def _over(sock: socket.socket, wanted: str | None) -> Link:
    """Return a peer-to-peer link to the VM `wanted` over a connected socket, owned from here on.

    Raises `NoVmError` where the VM there is another.
    """
    peer = PeerConnection.over(sock)
    try:
        vms = discovery.list_vms(peer)
        if not vms:
            raise NoVmError("the other end speaks D-Bus, but is no QEMU display")
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

    def still_there(self) -> bool:
        return False

    def open(self, *, wait: bool, stop: threading.Event) -> Link | None:
        while not stop.is_set():
            try:
                link = self._attempt(wait, stop)
            except (ConnectError, VmGoneError):
                if not wait:
                    raise
                stop.wait(_RETRY)
                continue
            if link is not None:
                self._wanted = link.vm.uuid or link.vm.name  # the same one the next time
            return link
        return None

    def _attempt(self, wait: bool, stop: threading.Event) -> Link | None:
        addresses = self._addresses or address.session_address()
        if not wait:
            return self._at_once(addresses)
        from glview.dbus.bus import BusConnection  # takes as long to load as all else together

        bus = BusConnection.connect(addresses)
        try:
            vm = discovery.wait_for_vm(bus, self._wanted, None, stop)
            if vm is None:
                bus.close()
                return None
            return Link(bus, vm, lambda: PeerConnection.to_bus(addresses))
        except BaseException:
            bus.close()
            raise

    def _at_once(self, addresses: str) -> Link:
        """The VM is there, or it is an error: our own connection is enough to look."""
        try:
            bus = PeerConnection.to_bus(addresses)
        except (CallError, VmGoneError) as error:
            raise ConnectError("the D-Bus bus hung up or did not answer Hello") from error
        try:
            vm = discovery.choose_vm(discovery.list_vms(bus), self._wanted)
            return Link(bus, vm, lambda: bus)
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

    def open(self, *, wait: bool, stop: threading.Event) -> Link | None:
        while not stop.is_set():
            try:
                if self._wanted is not None:  # before another viewer of another VM loses its place
                    discovery.choose_vm([qmp.describe(self._path)], self._wanted)
                link = _over(qmp.hand_over(self._path), self._wanted)
                self._process = _listening_process(self._path)
                return link
            except GlviewError:
                if not wait:
                    raise
                stop.wait(_RETRY)
        return None


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

    def open(self, *, wait: bool, stop: threading.Event) -> Link | None:
        return _over(self._get(), self._wanted)
