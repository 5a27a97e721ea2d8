"""The proxy of a console."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from glview.dbus.transport import PROPERTIES
from glview.dbus.wire import Variant
from glview.errors import CallError, ProtocolError
from glview.qemu.display import UNSUPPORTED, Console, console_path
from glview.qemu.properties import CONSOLE, KEYBOARD, MOUSE
from tests.unit.qemu.fake import Answer, FakeTransport

PATH = console_path(0)
CHANGED = f"{PROPERTIES}.PropertiesChanged"


WRONG_NUMBERS = [("s", "640"), ("b", True), ("d", 640.0), ("i", -1), ("au", [640]), ("ay", b"x")]


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


def change(
    transport: FakeTransport, sender: str, path: str, interface: str = CONSOLE, **values: Variant
) -> None:
    """Emit PropertiesChanged."""
    transport.emit(sender, path, CHANGED, "sa{sv}as", interface, values, [])


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
    change(transport, "", PATH, MOUSE, IsAbsolute=Variant("b", True))
    change(transport, "", PATH, KEYBOARD, Modifiers=Variant("u", 4))
    change(transport, "", PATH, CONSOLE, IsAbsolute=Variant("b", True), Modifiers=Variant("u", 1))
    assert seen == [{"IsAbsolute": True}, {"Modifiers": 4}]


WRONG = [
    *((CONSOLE, "Width", Variant(*wrong)) for wrong in WRONG_NUMBERS),
    *((MOUSE, "IsAbsolute", Variant(*wrong)) for wrong in (("u", 1), ("s", "yes"), ("ab", [True]))),
    (CONSOLE, "Height", Variant("u", 1 << 20)),
]


@pytest.mark.parametrize(("interface", "name", "value"), WRONG)
def test_watch_leaves_out_values_that_cannot_be_and_says_so_once(
    interface: str, name: str, value: Variant, caplog: pytest.LogCaptureFixture
) -> None:
    transport = FakeTransport({}, is_bus=False)
    seen: list[dict[str, object]] = []
    Console(transport, "", 0).watch(seen.append)
    for _ in range(3):
        change(transport, "", PATH, interface, **{name: value})
    change(transport, "", PATH, Width=Variant("u", 800))
    assert seen == [{"Width": 800}]
    (record,) = caplog.records
    assert name in record.getMessage()


@pytest.mark.parametrize("body", [(5, {}, []), ("x", {}, [])], ids=repr)
def test_watch_passes_over_interfaces_it_does_not_know(body: tuple[object, ...]) -> None:
    transport = FakeTransport({}, is_bus=False)
    seen: list[dict[str, object]] = []
    Console(transport, "", 0).watch(seen.append)
    transport.emit("", PATH, CHANGED, "sa{sv}as", *body)
    assert seen == []


def answering(properties: dict[str, object], _: tuple[Any, ...]) -> tuple[Any, ...]:
    """Answer GetAll with these."""
    return (properties,)


def test_properties_of_a_console_are_checked() -> None:
    good: dict[str, object] = {"Label": "VGA", "Type": "Graphic", "Head": 0}
    good |= {"Width": 640, "Height": 480}
    for wrong in ({"Width": "640"}, {"Height": -1}, {"Head": True}, {"Label": None}):
        transport = FakeTransport({(":1.1", PATH, "GetAll"): partial(answering, good | wrong)})
        with pytest.raises(ProtocolError, match=next(iter(wrong))):
            Console(transport, ":1.1", 0).properties()
    for name in good:
        less = {key: value for key, value in good.items() if key != name}
        transport = FakeTransport({(":1.1", PATH, "GetAll"): partial(answering, less)})
        with pytest.raises(ProtocolError, match=f"without its property {name}"):
            Console(transport, ":1.1", 0).properties()
    extra = good | {"Other": object(), "Label": "x" * 10_000}
    transport = FakeTransport({(":1.1", PATH, "GetAll"): lambda _: (extra,)})
    found = Console(transport, ":1.1", 0).properties()
    assert set(found) == set(good)
    assert len(found["Label"]) == 4096
