"""A VM without QEMU: the server side of the D-Bus display, for tests, demo and bench.

`FakeVm` talks to clients, `FakeConsole` is one screen with its input log, `FakeListener` sends
every call that QEMU makes, `hostile` what it should not make. `FakeGuest` draws by itself.
"""

from glview.testing.console import ConsoleOptions, FakeConsole
from glview.testing.guest import FakeGuest
from glview.testing.listener import FakeListener
from glview.testing.output import Transport
from glview.testing.vm import FakeVm

__all__ = [
    "ConsoleOptions",
    "FakeConsole",
    "FakeGuest",
    "FakeListener",
    "FakeVm",
    "Transport",
]
