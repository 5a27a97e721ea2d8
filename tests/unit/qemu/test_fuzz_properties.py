"""Hostile answers and signals about VMs: --list, connecting, PropertiesChanged.

Nothing but the project's own errors comes out, at little cost.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from typing import Any

import pytest

from glview.dbus.transport import PROPERTIES, TIMEOUT
from glview.dbus.wire import Variant, unwrap
from glview.errors import CallError, GlviewError, ProtocolError, VmGoneError
from glview.qemu.discovery import choose_console, choose_vm, format_list, list_vms
from glview.qemu.display import Console, console_path
from glview.qemu.properties import CONSOLE, KEYBOARD, MOUSE, TABLE, VM, checked, checked_changes
from tests.support.fuzzing import COUNTS, fuzz
from tests.support.values import any_body, any_variant, nearly, signature, text, value
from tests.unit.qemu.fake import FakeTransport

GOOD: dict[str, dict[str, Variant]] = {
    VM: {
        "Name": Variant("s", "deb"),
        "UUID": Variant("s", "12345678-9abc-def0-1234-56789abcdef0"),
        "ConsoleIDs": Variant("au", [0, 1]),
        "Interfaces": Variant("as", []),
    },
    CONSOLE: {
        "Label": Variant("s", "VGA"),
        "Head": Variant("u", 0),
        "Type": Variant("s", "Graphic"),
        "Width": Variant("u", 640),
        "Height": Variant("u", 480),
        "DeviceAddress": Variant("s", "pci/0000/02.0"),
        "Interfaces": Variant("as", [KEYBOARD, MOUSE]),
    },
    MOUSE: {"IsAbsolute": Variant("b", True)},
    KEYBOARD: {"Modifiers": Variant("u", 4)},
}
ERRORS = (
    *(TIMEOUT, "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.NoReply"),
    *("org.qemu.Display1.Error.Failed", "x"),
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """No debug records: thousands of them would be the test's memory, not the code's."""
    caplog.set_level(logging.ERROR, "glview")


class Liar(FakeTransport):
    """A bus, or a VM peer to peer, whose answers are nearly right, wrong, or errors."""

    def __init__(self, pick: random.Random) -> None:
        super().__init__({}, is_bus=pick.random() < 0.7)
        self._pick = pick
        self._honesty = pick.choice((0.0, 0.7, 0.9, 0.95))  # of an answer

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
        fds: tuple[int, ...] = (),
        timeout: float | None = 10.0,
    ) -> tuple[Any, ...]:
        pick, roll = self._pick, self._pick.random()
        honest = pick.random() < self._honesty
        if roll < 0.03 and not honest:
            raise CallError(pick.choice(ERRORS), text(pick))
        if roll < 0.04 and not honest:
            raise VmGoneError(text(pick))
        if roll < 0.10 and not honest:
            return unwrapped(any_body(pick))
        if member == "ListQueuedOwners":
            return ([f":1.{number}" for number in range(pick.choice((0, 1, 1, 1, 2)))],)
        if member == "GetConnectionUnixProcessID":
            return (pick.getrandbits(32),)
        if member == "GetAll" and interface == PROPERTIES:
            good = GOOD[body[0]]
            return unwrapped((good if honest else nearly(pick, good),))
        return ()


def unwrapped(body: tuple[Any, ...]) -> tuple[Any, ...]:
    """A reply's body as a transport returns it."""
    return tuple(unwrap(item) for item in body)


def list_and_choose(pick: random.Random) -> None:
    """Do what --list does, then what connecting does."""
    vms = list_vms(Liar(pick))
    table = format_list(vms)
    assert len(table) < 200_000
    wanted = pick.choice((None, None, "deb", "12345678", ":1.1", text(pick)))
    vm = choose_vm(vms, wanted)
    console = choose_console(vm, pick.choice((None, None, 0, 1, 7)))
    assert isinstance(console.width, int)
    assert isinstance(console.label, str)


def read_console(pick: random.Random) -> None:
    """Read a console's properties as a session does while it connects."""
    console = Console(Liar(pick), ":1.1", 0)
    found = console.properties()
    assert 0 <= found["Width"] <= 0xFFFF
    assert isinstance(console.properties(MOUSE)["IsAbsolute"], bool)
    console.set_ui_info(640, 480)


def watch_changes(pick: random.Random) -> None:
    """Get signals of any sender, path, interface and body."""
    transport = FakeTransport({}, is_bus=pick.random() < 0.5)
    seen: list[dict[str, object]] = []
    owner = ":1.1" if transport.is_bus else ""
    Console(transport, owner, 0).watch(seen.append)
    for _ in range(4):
        interface = pick.choice((CONSOLE, CONSOLE, MOUSE, KEYBOARD, VM, text(pick)))
        new = nearly(pick, GOOD.get(interface, {}))
        kind, body = pick.choice(
            [("sa{sv}as", (interface, new, []))] * 4 + [(signature(pick), any_body(pick, 1))]
        )
        name = pick.choice([f"{PROPERTIES}.PropertiesChanged"] * 4 + [f"{CONSOLE}.Other"])
        transport.emit(owner, console_path(0), name, kind, *body)
    for changes in seen:
        assert isinstance(changes.get("IsAbsolute", False), bool)
        assert isinstance(changes.get("Modifiers", 0), int)
        assert changes.get("Width", 0) in range(0x10000)


def check_values(pick: random.Random) -> None:
    """Check values of any type as those of any interface."""
    interface = pick.choice((*TABLE, any_variant(pick).value))
    values = pick.choice((nearly(pick, GOOD.get(str(interface), {})), any_variant(pick)))
    with contextlib.suppress(ProtocolError):
        checked_changes(interface, unwrap(values))
    if interface in list(TABLE):
        checked(interface, unwrap(values))


CASES = [list_and_choose, read_console, watch_changes, check_values]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("count", COUNTS)
def test_nothing_but_errors_of_our_own(case: Any, count: int) -> None:  # noqa: ANN401
    fuzz(case, count)


def test_the_liar_is_believed_often_enough() -> None:
    """Most mutations leave something that can be shown; else the fuzzer would prove little."""
    shown = 0
    for number in range(500):
        try:
            list_and_choose(random.Random(number))
            shown += 1
        except GlviewError:
            pass
    assert 100 < shown < 450
    assert threading.active_count() < 50
    assert value(random.Random(1), "a{s(iv)}") is not None
