"""Choosing VMs and consoles, and how a list of them reads."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

from glview.dbus.transport import TIMEOUT
from glview.errors import AmbiguousVmError, CallError, NoConsoleError, NoVmError
from glview.qemu.discovery import (
    BUS_NAME,
    BUS_PATH,
    ConsoleInfo,
    Vm,
    choose_console,
    choose_vm,
    format_list,
    list_vms,
    wait_for_vm,
)
from glview.qemu.display import VM_PATH, console_path
from tests.unit.qemu.fake import FakeTransport

NO_OWNER = "org.freedesktop.DBus.Error.NameHasNoOwner"
UNKNOWN_NAME = "org.freedesktop.DBus.Error.ServiceUnknown"

VGA = ConsoleInfo(0, "VGA", "Graphic", 0, 640, 480, ())
VIRTIO = ConsoleInfo(1, "virtio-vga.0", "Graphic", 0, 1280, 800, ("org.qemu.Display1.Keyboard",))
TEXT = ConsoleInfo(2, "serial0", "Text", 0, 80, 25, ())

DEB = Vm(":1.1", 11, "deb", "12345678-0000-0000-0000-00000000000a", (VGA,))
SUSE = Vm(":1.2", 12, "suse", "12349999-0000-0000-0000-00000000000b", (VGA, VIRTIO))
NAMELESS = Vm(":1.3", 13, "QEMU 7.2.22", "", (VGA,))
HUNG = Vm(":1.4", 14, answering=False)


class Bus(FakeTransport):
    """A bus with the given VMs on it; `HUNG` ones time out, others in `gone` have left."""

    def __init__(self, *vms: Vm) -> None:
        super().__init__({(BUS_NAME, BUS_PATH, "ListQueuedOwners"): self._owners})
        self.vms = list(vms)
        self.answers[BUS_NAME, BUS_PATH, "GetConnectionUnixProcessID"] = self._pid
        for vm in (DEB, SUSE, NAMELESS, HUNG):
            self.answers[vm.owner, VM_PATH, "GetAll"] = partial(self._vm, vm)
            for console in vm.consoles:
                key = (vm.owner, console_path(console.id), "GetAll")
                self.answers[key] = partial(self._console, console)

    def _owners(self, body: tuple[Any, ...]) -> tuple[Any, ...]:
        assert body == ("org.qemu",)
        if not self.vms:
            raise CallError(NO_OWNER, "nobody")
        return ([vm.owner for vm in self.vms],)

    def _pid(self, body: tuple[Any, ...]) -> tuple[Any, ...]:
        return (next(vm.pid for vm in self.vms if (vm.owner,) == body),)

    def _console(self, console: ConsoleInfo, _: tuple[Any, ...]) -> tuple[Any, ...]:
        properties: dict[str, object] = {
            "Label": console.label,
            "Type": console.type,
            "Head": console.head,
            "Width": console.width,
            "Height": console.height,
        }
        if console.interfaces:  # QEMU 7.2 has no such property
            properties["Interfaces"] = list(console.interfaces)
        return (properties,)

    def _vm(self, vm: Vm, _: tuple[Any, ...]) -> tuple[Any, ...]:
        if not vm.answering:
            raise CallError(TIMEOUT, "too late")
        uuid = vm.uuid or "00000000-0000-0000-0000-000000000000"
        ids = [console.id for console in vm.consoles]
        return ({"Name": vm.name, "UUID": uuid, "ConsoleIDs": ids},)

    def joined(self, name: str) -> None:
        """Tell everybody that a program has come."""
        self.emit(BUS_NAME, BUS_PATH, f"{BUS_NAME}.NameOwnerChanged", "sss", name, "", name)


def test_list_of_an_empty_bus() -> None:
    assert list_vms(Bus()) == []


def test_list_describes_every_queued_owner() -> None:
    assert list_vms(Bus(DEB, SUSE, NAMELESS)) == [DEB, SUSE, NAMELESS]


def test_a_vm_that_does_not_answer_is_listed_as_such() -> None:
    assert list_vms(Bus(HUNG, DEB)) == [HUNG, DEB]


def test_a_vm_that_left_meanwhile_is_not_listed() -> None:
    bus = Bus(DEB, SUSE)

    def gone(_: tuple[Any, ...]) -> tuple[Any, ...]:
        raise CallError(UNKNOWN_NAME, "not there any more")

    bus.answers[SUSE.owner, console_path(1), "GetAll"] = gone
    assert list_vms(bus) == [DEB]


@pytest.mark.parametrize("broken", [{}, {"Name": "x", "UUID": "y", "ConsoleIDs": 5}])
def test_something_else_under_that_name_is_not_listed(broken: dict[str, object]) -> None:
    bus = Bus(DEB, SUSE)
    bus.answers[DEB.owner, VM_PATH, "GetAll"] = lambda _: (broken,)
    assert list_vms(bus) == [SUSE]


def test_the_only_vm_needs_no_name() -> None:
    assert choose_vm([DEB]) is DEB
    assert choose_vm([HUNG, DEB]) is DEB


@pytest.mark.parametrize(
    "wanted",
    ["suse", SUSE.uuid, SUSE.uuid.upper(), "12349", "12349999-0000", ":1.2"],
)
def test_ways_to_name_a_vm(wanted: str) -> None:
    assert choose_vm([DEB, SUSE, NAMELESS], wanted) is SUSE


def test_a_name_wins_over_a_uuid() -> None:
    named = Vm(":1.7", 17, "12349999", "ffffffff-0000-0000-0000-00000000000c", (VGA,))
    assert choose_vm([SUSE, named], "12349999") is named


@pytest.mark.parametrize(
    ("vms", "wanted", "says"),
    [
        ([], None, ["no VM", "--wait"]),
        ([], "deb", ["no VM", "--wait"]),
        ([DEB, NAMELESS], "fedora", ["'fedora'", "deb", DEB.uuid, "QEMU 7.2.22", ":1.3"]),
        ([DEB, SUSE], "Deb", ["'Deb'", "deb", "suse"]),
        ([SUSE], "123", ["'123'", "suse"]),
        ([HUNG], None, ["does not answer", "process 14"]),
        ([DEB, HUNG], ":1.4", ["does not answer", "process 14"]),
    ],
)
def test_no_such_vm_says_what_there_is(vms: list[Vm], wanted: str | None, says: list[str]) -> None:
    with pytest.raises(NoVmError) as caught:
        choose_vm(vms, wanted)
    assert [word for word in says if word not in str(caught.value)] == []


TWIN = Vm(":1.9", 19, "deb", "99999999-0000-0000-0000-00000000000d", (VGA,))


@pytest.mark.parametrize(("vms", "wanted"), [([DEB, SUSE], None), ([DEB, SUSE], "1234"),
                                             ([DEB, TWIN, NAMELESS], "deb")])  # fmt: skip
def test_ambiguous_names_tell_the_uuids(vms: list[Vm], wanted: str | None) -> None:
    with pytest.raises(AmbiguousVmError) as caught:
        choose_vm(vms, wanted)
    text = str(caught.value)
    assert vms[0].uuid in text
    assert vms[1].uuid in text
    assert NAMELESS.name not in text


def test_the_first_graphic_console_is_the_default() -> None:
    assert choose_console(Vm(":1.1", 1, "x", "", (TEXT, VGA, VIRTIO))) is VGA


def test_a_console_by_its_number() -> None:
    assert choose_console(SUSE, 1) is VIRTIO


@pytest.mark.parametrize(("vm", "number"), [(SUSE, 7), (Vm(":1.1", 1, "x", "", (TEXT,)), None)])
def test_no_such_console_says_what_there_is(vm: Vm, number: int | None) -> None:
    with pytest.raises(NoConsoleError) as caught:
        choose_console(vm, number)
    last = vm.consoles[-1]
    assert f"{last.id}: {last.label} {last.width}x{last.height}" in str(caught.value)


def test_the_list_is_a_table() -> None:
    lines = format_list([SUSE, NAMELESS, HUNG]).splitlines()
    assert lines[0].startswith("NAME ")
    column = lines[0].index("CONSOLES")
    assert [line[column:] for line in lines] == [
        "CONSOLES",
        "0: VGA 640x480",
        "1: virtio-vga.0 1280x800",
        "0: VGA 640x480",
        "(not answering)",
    ]
    assert lines[1].split()[:4] == ["suse", SUSE.uuid, "12", ":1.2"]
    assert lines[3].startswith("QEMU 7.2.22  -  ")
    assert lines[4].split()[:4] == ["-", "-", "14", ":1.4"]


def test_an_empty_list_is_a_sentence() -> None:
    assert format_list([]).startswith("no VM ")


def test_wait_returns_at_once_what_is_there() -> None:
    bus = Bus(DEB)
    assert wait_for_vm(bus, "deb", None, threading.Event()) == DEB
    assert not bus.watched


def test_wait_sees_a_vm_that_queues_behind_another() -> None:
    bus = Bus(DEB)

    def come() -> None:
        bus.joined(":1.2")  # its name on the bus comes first, its place in the queue later
        bus.vms.append(SUSE)

    timer = threading.Timer(0.1, come)
    timer.start()
    began = time.monotonic()
    assert wait_for_vm(bus, "suse", None, threading.Event()) == SUSE
    assert time.monotonic() - began < 2.0  # not the slow look that comes without any signal
    timer.join()


def test_wait_looks_again_where_the_place_in_the_queue_comes_late() -> None:
    bus = Bus(DEB)
    timers = [
        threading.Timer(0.1, bus.joined, [":1.2"]),
        threading.Timer(0.5, bus.vms.append, [SUSE]),
    ]
    for timer in timers:
        timer.start()
    began = time.monotonic()
    assert wait_for_vm(bus, "suse", None, threading.Event()) == SUSE
    assert time.monotonic() - began < 2.0
    for timer in timers:
        timer.join()


def test_wait_does_not_look_at_each_of_many_that_come_and_go() -> None:
    bus = Bus(DEB)
    stop = threading.Event()
    waiter = threading.Thread(target=wait_for_vm, args=(bus, "suse", None, stop))
    waiter.start()
    for _ in range(100):
        bus.joined(":1.7")
        stop.wait(0.01)
    stop.set()
    waiter.join(5)
    looks = [call for call in bus.calls if call[2] == "ListQueuedOwners"]
    assert 3 <= len(looks) <= 10


def test_wait_ends_at_the_deadline() -> None:
    with pytest.raises(NoVmError, match="'suse'"):
        wait_for_vm(Bus(DEB), "suse", time.monotonic() + 0.1, threading.Event())


def test_wait_does_not_wait_for_less_ambiguity() -> None:
    with pytest.raises(AmbiguousVmError):
        wait_for_vm(Bus(DEB, SUSE), None, None, threading.Event())


def test_wait_can_be_stopped() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    began = time.monotonic()
    assert wait_for_vm(Bus(), None, None, stop) is None
    assert time.monotonic() - began < 2.0
    timer.join()
