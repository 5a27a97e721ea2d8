"""A VM without QEMU: the server side of its D-Bus display."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from glview.dbus import sasl
from glview.dbus.peer import BUS_NAME, BUS_PATH, PeerConnection
from glview.dbus.transport import PROPERTIES
from glview.dbus.wire import SIGNAL, Message, Variant, encode
from glview.errors import GlviewError
from glview.testing.console import ConsoleOptions, FakeConsole
from glview.testing.properties import ROOT, VM, Properties

NO_UUID = "00000000-0000-0000-0000-000000000000"


class FakeVm:
    """A VM that any client of QEMU's D-Bus display can talk to.

    `main_loop` stands for QEMU's: it is held while a listener registers and while ScanoutMap
    waits, and no call is answered meanwhile. Losing the control connection ends nothing.
    """

    def __init__(
        self,
        name: str = "fake",
        uuid: str = NO_UUID,
        consoles: Sequence[ConsoleOptions] = (ConsoleOptions(),),
    ) -> None:
        self.main_loop = threading.RLock()
        self.aborted = ""
        """Why QEMU would have dumped core, if it would."""
        self.disconnected = threading.Event()
        """Set when the latest control connection has ended, or failed to authenticate."""
        self.failure: GlviewError | None = None
        self.consoles = [
            FakeConsole(self, number, options) for number, options in enumerate(consoles)
        ]
        self._connection: PeerConnection | None = None
        self._unauthenticated: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._properties = Properties(
            self.main_loop,
            Name=Variant("s", name),
            UUID=Variant("s", uuid),
            ConsoleIDs=Variant("au", list(range(len(consoles)))),
            Interfaces=Variant("as", []),
        )

    @classmethod
    def pair(
        cls,
        name: str = "fake",
        uuid: str = NO_UUID,
        consoles: Sequence[ConsoleOptions] = (ConsoleOptions(),),
    ) -> tuple[Self, socket.socket]:
        """A VM, and the client's end of its control connection, not yet authenticated."""
        vm = cls(name, uuid, consoles)
        ours, theirs = socket.socketpair()
        vm.serve(ours)
        return vm, theirs

    def console(self, number: int = 0) -> FakeConsole:
        """A console by its number."""
        return self.consoles[number]

    def serve(self, sock: socket.socket) -> None:
        """Be the server on `sock`, as after QMP add_client: returns at once, owns the socket.

        A client that authenticates replaces the one before, which sees EOF.
        """
        with self._lock:
            self._unauthenticated.add(sock)
        threading.Thread(
            target=self._accept, args=(sock,), name="fake-vm-accept", daemon=True
        ).start()

    def _accept(self, sock: socket.socket) -> None:
        try:
            sasl.accept(sock, timeout=None)
        except GlviewError as error:
            self.failure = error
            self.disconnected.set()
            with self._lock:
                self._unauthenticated.discard(sock)
                sock.close()
            return
        connection = PeerConnection(sock, "fake-vm")
        self._adopt(connection)
        with self._lock:
            self._unauthenticated.discard(sock)
        connection.start()

    def join_bus(self, address: str) -> bool:
        """Connect to a message bus and ask for ``org.qemu`` without flags, as QEMU does.

        Whether this VM now owns the name; if not, it stands in the queue. Raises as
        `PeerConnection.to_bus` does.
        """
        connection = PeerConnection.to_bus(address)
        self._adopt(connection)
        (answer,) = connection.call(
            BUS_NAME, BUS_PATH, BUS_NAME, "RequestName", "su", ("org.qemu", 0)
        )
        return bool(answer == 1)

    def _adopt(self, connection: PeerConnection) -> None:
        """Show everything on `connection`, which takes the place of the present one."""
        connection.export(f"{ROOT}/VM", VM, self._properties, {})
        for console in self.consoles:
            for interface, properties in console.properties.items():
                connection.export(console.path, interface, properties, console.methods(interface))
        with self._lock:
            previous, self._connection = self._connection, connection
        if previous is not None:
            previous.close()
        self.disconnected.clear()
        connection.on_closed(lambda: self._lost(connection))

    def _lost(self, connection: PeerConnection) -> None:
        if connection is self._connection:
            self.disconnected.set()

    def emit(self, path: str, interface: str, changed: dict[str, Variant]) -> None:
        """Send PropertiesChanged on the control connection, if there is one."""
        connection = self._connection
        if connection is None:
            return
        message = Message(
            SIGNAL, connection.next_serial(), path=path, interface=PROPERTIES,
            member="PropertiesChanged", signature="sa{sv}as", body=(interface, changed, []),
        )  # fmt: skip
        connection.post(encode(message))

    def abort(self, reason: str) -> None:
        """Die as QEMU does on a failed assertion: every socket is closed."""
        self.aborted = reason
        self.close()

    def close(self) -> None:
        """End the VM: all connections and listeners see EOF. Idempotent."""
        with self._lock:
            for sock in self._unauthenticated:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        if self._connection is not None:
            self._connection.close()
        for console in self.consoles:
            console.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
