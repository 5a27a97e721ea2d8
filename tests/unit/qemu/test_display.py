"""The proxy of a console."""

from __future__ import annotations

from typing import Any

import pytest

from glview.dbus.transport import PROPERTIES
from glview.dbus.wire import Variant
from glview.errors import CallError
from glview.qemu.display import CONSOLE, MOUSE, UNSUPPORTED, Console, console_path
from tests.unit.qemu.fake import Answer, FakeTransport

PATH = console_path(0)
CHANGED = f"{PROPERTIES}.PropertiesChanged"


def refuse(name: str) -> Answer:
    """An answer that is an error of that name."""

    def answer(_: tuple[Any, ...]) -> tuple[Any, ...]:
        raise CallError(name, "no")

    return answer


def test_a_size_is_asked_for_in_pixels_and_millimetres() -> None:
    transport = FakeTransport({(":1.1", PATH, "SetUIInfo"): lambda _: ()})
    assert Console(transport, ":1.1", 0).set_ui_info(800, 600, 210, 160)
    assert transport.calls == [(":1.1", PATH, "SetUIInfo", (210, 160, 0, 0, 800, 600))]


def test_a_device_without_sizes_is_asked_once() -> None:
    transport = FakeTransport({(":1.1", PATH, "SetUIInfo"): refuse(UNSUPPORTED)})
    console = Console(transport, ":1.1", 0)
    assert not console.set_ui_info(800, 600)
    assert not console.set_ui_info(900, 600)
    assert len(transport.calls) == 1


def test_another_error_is_not_hidden() -> None:
    failed = "org.qemu.Display1.Error.Failed"
    transport = FakeTransport({(":1.1", PATH, "SetUIInfo"): refuse(failed)})
    with pytest.raises(CallError, match=failed):
        Console(transport, ":1.1", 0).set_ui_info(800, 600)


def change(transport: FakeTransport, sender: str, path: str, **values: Variant) -> None:
    """Emit PropertiesChanged."""
    transport.emit(sender, path, CHANGED, "sa{sv}as", CONSOLE, values, [])


def test_watch_reports_changes_of_this_console_only() -> None:
    transport = FakeTransport({})
    seen: list[dict[str, object]] = []
    remove = Console(transport, ":1.1", 0).watch(seen.append)
    change(transport, ":1.1", PATH, Width=Variant("u", 800), Height=Variant("u", 600))
    change(transport, ":1.2", PATH, Width=Variant("u", 1))  # another VM
    change(transport, ":1.1", console_path(1), Width=Variant("u", 2))  # another console
    transport.emit(":1.1", PATH, f"{MOUSE}.Moved", "u", 3)  # another signal
    assert seen == [{"Width": 800, "Height": 600}]
    remove()
    change(transport, ":1.1", PATH, Width=Variant("u", 4))
    assert len(seen) == 1


def test_watch_asks_the_bus_for_that_vm_and_path() -> None:
    transport = FakeTransport({})
    Console(transport, ":1.1", 0).watch(lambda _changes: None)
    (rule,) = transport.matches
    assert "sender=':1.1'" in rule
    assert f"path='{PATH}'" in rule


def test_watch_peer_to_peer_has_no_sender() -> None:
    transport = FakeTransport({}, is_bus=False)
    seen: list[dict[str, object]] = []
    Console(transport, "", 0).watch(seen.append)
    change(transport, "", PATH, IsAbsolute=Variant("b", True))
    assert seen == [{"IsAbsolute": True}]
