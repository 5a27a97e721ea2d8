"""One console of the fake VM: its D-Bus objects and the life of its listeners."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from glview.dbus.exports import Answer, Method
from glview.dbus.wire import Message, Variant
from glview.errors import CallError, GlviewError, ProtocolError
from glview.testing.input import FakeInput, InputCall
from glview.testing.listener import ALL_OPTIONAL, FakeListener
from glview.testing.output import Output, Transport
from glview.testing.properties import (
    CONSOLE,
    FAILED,
    KEYBOARD,
    MOUSE,
    ROOT,
    TOUCH,
    UNSUPPORTED,
    Machine,
    Properties,
    check_types,
)


@dataclass(frozen=True)
class ConsoleOptions:
    """What kind of console; the defaults are QEMU's standard VGA with an active tablet.

    `kind` is "Graphic" or "Text". `optional` names the optional listener interfaces that this
    QEMU knows: none for 7.2, no ScanoutDMABUF2 before 10.1.
    """

    label: str = "VGA"
    head: int = 0
    kind: str = "Graphic"
    width: int = 640
    height: int = 480
    address: str = "pci/0000/01.0"
    resizable: bool = False
    absolute: bool = True
    transport: Transport = Transport.MAP
    optional: tuple[str, ...] = ALL_OPTIONAL
    big_endian: bool = False


class UiInfo(NamedTuple):
    """What SetUIInfo asked for: millimetres, then pixels."""

    width_mm: int
    height_mm: int
    x: int
    y: int
    width: int
    height: int


class FakeConsole:
    """A console. `ui_info` and `failures` (of registrations) only ever grow."""

    def __init__(self, machine: Machine, number: int, options: ConsoleOptions) -> None:
        self.path = f"{ROOT}/Console_{number}"
        self.options = options
        self.output = Output(options.transport)
        self.ui_info: list[UiInfo] = []
        self.failures: list[GlviewError] = []
        self.on_ui_info: Callable[[UiInfo], None] = lambda info: None
        self._machine = machine
        self._changed = threading.Condition()
        self.input = FakeInput(machine, options.absolute, lambda: self.size, self._changed)
        self._begun: list[FakeListener] = []
        self._registered: list[FakeListener] = []
        self.properties = {CONSOLE: self._make_properties(), **self.input.properties}

    def _make_properties(self) -> Properties:
        options = self.options
        return Properties(
            self._machine.main_loop,
            Label=Variant("s", options.label),
            Head=Variant("u", options.head),
            Type=Variant("s", options.kind),
            Width=Variant("u", options.width),
            Height=Variant("u", options.height),
            DeviceAddress=Variant("s", options.address),
            Interfaces=Variant("as", [KEYBOARD, MOUSE, TOUCH]),
        )

    def methods(self, interface: str) -> dict[str, Method]:
        """The methods of one of this console's interfaces, ready to be exported."""
        if interface != CONSOLE:
            return self.input.methods(interface)
        return {"RegisterListener": self._register, "SetUIInfo": self._set_ui_info}

    def _set_ui_info(self, message: Message) -> Answer:
        with self._machine.main_loop:
            check_types(message, "qqiiuu")
            if not self.options.resizable:
                raise CallError(UNSUPPORTED, "SetUIInfo is not supported")
            info = UiInfo(*message.body)
            if self.ui_info[-1:] != [info]:
                self._note(self.ui_info, info)
                self.on_ui_info(info)
        return "", ()

    # -- listeners -----------------------------------------------------------------------

    def _register(self, message: Message) -> Answer:
        """Reply first; a thread then authenticates with the main loop stopped."""
        with self._machine.main_loop:
            check_types(message, "h")
            listener = FakeListener(
                _take_socket(message),
                optional=self.options.optional,
                big_endian=self.options.big_endian,
                main_loop=self._machine.main_loop,
            )
            self._begun.append(listener)
        stopped = threading.Event()
        threading.Thread(
            target=self._serve, args=(listener, stopped), name="fake-vm-listener", daemon=True
        ).start()
        stopped.wait()  # so that no later call is answered first
        return "", ()

    def _serve(self, listener: FakeListener, stopped: threading.Event) -> None:
        """The life of one listener; `stopped` is set when the main loop stands still for it."""
        try:
            with self._machine.main_loop:
                stopped.set()
                listener.register()
        except GlviewError as error:
            self._note(self.failures, error)
            return
        self.output.add(listener)
        self._note(self._registered, listener)
        listener.closed.wait()
        self.output.remove(listener)
        self.input.lift_keys()

    def close(self) -> None:
        """Hang up on every listener, as the end of QEMU does."""
        for listener in self._begun:
            listener.close()

    # -- what the guest does -------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Console.Width and Height, in pixels."""
        shown = self.properties[CONSOLE]
        width, height = shown["Width"].value, shown["Height"].value
        assert isinstance(width, int)
        assert isinstance(height, int)
        return width, height

    def set_size(self, width: int, height: int) -> None:
        """Announce another size, on the control connection; no listener hears of it."""
        self._change(CONSOLE, Width=width, Height=height)

    def set_absolute(self, absolute: bool) -> None:
        """The guest takes another pointing device into use."""
        self._change(MOUSE, IsAbsolute=absolute)

    def set_modifiers(self, leds: int) -> None:
        """The guest sets its keyboard's LEDs: 1 Scroll, 2 Num, 4 Caps."""
        self._change(KEYBOARD, Modifiers=leds)

    def _change(self, interface: str, **values: object) -> None:
        if changed := self.properties[interface].change(**values):
            self._machine.emit(self.path, interface, changed)

    # -- waiting, for tests --------------------------------------------------------------

    @property
    def input_log(self) -> list[InputCall]:
        """Every input call so far, in order."""
        return self.input.log

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
        """Wait for what input or listeners bring about. Raises TimeoutError naming `what`."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"waited {timeout:g} s for {what}")

    def wait_listener(self, index: int = 0, timeout: float = 10.0) -> FakeListener:
        """The listener that registered as number `index`, once it has been told everything."""
        self.wait_until(lambda: len(self._registered) > index, f"listener {index}", timeout)
        return self._registered[index]

    def wait_input(self, count: int, timeout: float = 10.0) -> list[InputCall]:
        """The input log, once it has `count` entries."""
        self.wait_until(lambda: len(self.input_log) >= count, f"{count} input calls", timeout)
        return self.input_log

    def _note(self, where: list[Any], what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()


def _take_socket(message: Message) -> socket.socket:
    """The socket that came with the call; refused in QEMU's words where there is none."""
    try:
        fd = message.take_fd(message.body[0])
    except ProtocolError as error:
        reason = "Unable to create socket: Unknown family was specified"
        raise CallError(FAILED, f"Couldn't make a socket: {reason}") from error
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        os.close(fd)
        raise CallError(FAILED, f"Couldn't make a socket: {error.strerror}") from error
