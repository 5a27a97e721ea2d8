"""A listener made by hand, and the client around it: the viewer's side in the smallest form."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from glview.dbus import sasl
from glview.dbus.peer import PeerConnection
from glview.dbus.stream import read_message
from glview.dbus.wire import ERROR, RETURN, Message, Variant, encode
from glview.testing import calls
from glview.testing.console import ConsoleOptions, FakeConsole
from glview.testing.listener import ALL_OPTIONAL, FakeListener
from glview.testing.properties import CONSOLE
from glview.testing.vm import FakeVm

DEFAULT = ConsoleOptions()
PATIENCE = 20.0  # seconds that a test waits for a message, in vain


class RawListener:
    """The client's end of one listener socket; every message is read and answered by the test."""

    def __init__(self, sock: socket.socket, *, big_endian: bool = False) -> None:
        self.sock = sock
        self.big_endian = big_endian
        self._serial = 0

    def next(self) -> Message | None:
        """The next message; None at EOF. Its descriptors are the test's to close."""
        return read_message(self.sock)

    def expect(self, member: str) -> Message:
        """The next message, which must be a call of `member`."""
        message = self.next()
        assert message is not None, f"EOF instead of {member}"
        assert message.member == member
        return message

    def answer(self, call: Message, signature: str = "", *body: object) -> None:
        """Reply without an error."""
        self.send(Message(RETURN, reply_serial=call.serial, signature=signature, body=body))

    def refuse(self, call: Message, name: str = "org.example.No") -> None:
        """Reply with an error."""
        self.send(
            Message(ERROR, reply_serial=call.serial, error_name=name, signature="s", body=("no",))
        )

    def send(self, message: Message) -> None:
        """Send any message, with a serial of our own."""
        self._serial += 1
        message.serial = self._serial
        self.sock.sendall(encode(message, self.big_endian))

    def register(self, interfaces: tuple[str, ...] = ALL_OPTIONAL) -> list[str]:
        """Authenticate and answer GetAll as a viewer does; which interfaces were asked for."""
        sasl.authenticate(self.sock)
        self.sock.settimeout(PATIENCE)
        asked = []
        for _ in range(1 + len(interfaces)):
            call = self.expect("GetAll")
            asked.append(call.body[0])
            listed = {"Interfaces": Variant("as", list(interfaces))}
            self.answer(call, "a{sv}", listed if call.body[0] == calls.LISTENER else {})
        return asked


def begin_listener(client: PeerConnection, console: FakeConsole) -> RawListener:
    """RegisterListener, and nothing more: the other end waits for our authentication."""
    ours, theirs = socket.socketpair()
    with theirs:
        client.call("", console.path, CONSOLE, "RegisterListener", "h", (0,), (theirs.fileno(),))
    return RawListener(ours)


@contextlib.contextmanager
def connected(*options: ConsoleOptions) -> Iterator[tuple[FakeVm, PeerConnection]]:
    """A VM with these consoles (one by default) and a client's control connection to it."""
    vm, sock = FakeVm.pair(consoles=options or (ConsoleOptions(),))
    with vm, contextlib.closing(PeerConnection.over(sock)) as client:
        yield vm, client


@contextlib.contextmanager
def listening(
    options: ConsoleOptions = DEFAULT, interfaces: tuple[str, ...] = ALL_OPTIONAL
) -> Iterator[tuple[FakeListener, RawListener]]:
    """Both ends of a registered listener: QEMU's and the client's."""
    with connected(options) as (vm, client):
        raw = begin_listener(client, vm.console())
        with raw.sock:
            raw.register(tuple(name for name in interfaces if name in options.optional))
            yield vm.console().wait_listener(), raw


def close_fds(message: Message) -> None:
    """Close what came with a message."""
    for fd in message.fds:
        os.close(fd)
