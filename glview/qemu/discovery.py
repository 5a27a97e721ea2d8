"""Which VMs are there, and which one is meant."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from glview.dbus.transport import TIMEOUT, Transport
from glview.dbus.wire import Message
from glview.errors import (
    AmbiguousVmError,
    CallError,
    NoConsoleError,
    NoVmError,
    ProtocolError,
)
from glview.qemu.display import VM_PATH, console_path, get_all
from glview.qemu.properties import CONSOLE, VM
from glview.text import columns, padded, printable

log = logging.getLogger(__name__)

QEMU_NAME = "org.qemu"
BUS_NAME = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"

VM_TIMEOUT = 1.0
"""Seconds that one VM has for describing itself, all its consoles included."""

MOST_VMS = 256
"""VMs of a bus that are asked; anybody may stand in that queue."""

_RESCAN = 5.0  # seconds between two looks when nothing happens
_SOON = 0.2  # and while a program that has just come may still become a VM ...
_SETTLED = 2.0  # ... which takes it no longer than this
_STOP_POLL = 0.25
_DEBOUNCE = 0.02
_NO_OWNER = "org.freedesktop.DBus.Error.NameHasNoOwner"
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_MIN_PREFIX = 4  # hexadecimal digits
_AT_ONCE = 16
_NAME = 64  # characters of a name in a line; QEMU's UUIDs have 36
_START_ONE = "start one with -display dbus, or wait for it with --wait"


class ConsoleInfo(NamedTuple):
    """A console as it was when the VM was asked; sizes in pixels, 0 if unknown."""

    id: int
    label: str
    type: str
    head: int
    width: int = 0
    height: int = 0
    interfaces: tuple[str, ...] = ()


class Vm(NamedTuple):
    """A VM. `owner` is its unique bus name ("" peer to peer), `pid` 0 if unknown.

    `uuid` is empty where QEMU was given none. A VM that did not answer in time
    has only `owner` and `pid`.
    """

    owner: str
    pid: int = 0
    name: str = ""
    uuid: str = ""
    consoles: tuple[ConsoleInfo, ...] = ()
    answering: bool = True


def list_vms(transport: Transport, timeout: float = VM_TIMEOUT) -> list[Vm]:
    """Ask every VM on the bus to describe itself, or the one peer to peer.

    They are asked side by side, each with `timeout` seconds. One that vanishes
    meanwhile is left out. Raises as `Transport.call` does when the bus itself fails.
    """
    owners = _queued_owners(transport) if transport.is_bus else [""]
    describe = partial(_describe, transport, timeout)
    if len(owners) > 1:
        from concurrent.futures import ThreadPoolExecutor  # slow to load

        with ThreadPoolExecutor(min(len(owners), _AT_ONCE)) as pool:
            try:
                return _known(pool.map(describe, owners))
            except RuntimeError:  # no new thread: one after the other, then
                log.debug("the VMs are asked one after the other", exc_info=True)
    return _known(map(describe, owners))


def known_uuid(uuid: str) -> str:
    """Return `uuid`, or nothing for the zeros of a VM that was given none."""
    return uuid if uuid != _NO_UUID else ""


def _known(vms: Iterable[Vm | None]) -> list[Vm]:
    return [vm for vm in vms if vm is not None]


def _queued_owners(transport: Transport) -> list[str]:
    """Unique names of all VMs: each asks for the same well-known name and waits in its queue."""
    try:
        answer = _ask_bus(transport, "ListQueuedOwners", QEMU_NAME)
    except CallError as error:
        if error.name == _NO_OWNER:
            return []
        raise
    match answer:
        case ([*owners],) if all(isinstance(owner, str) and owner for owner in owners):
            return owners[:MOST_VMS]
    raise ProtocolError("the bus answered ListQueuedOwners with something else")


def _describe(transport: Transport, timeout: float, owner: str) -> Vm | None:
    """Ask one VM. None if it is gone, or is no VM of ours."""
    deadline = time.monotonic() + timeout

    def ask(path: str, interface: str) -> dict[str, Any]:
        left = max(deadline - time.monotonic(), 0.0)
        return get_all(transport, owner, path, interface, left)

    pid = 0
    try:
        if owner:
            pid = _process(transport, owner)
        vm = ask(VM_PATH, VM)
        consoles = tuple(_console(id, ask(console_path(id), CONSOLE)) for id in vm["ConsoleIDs"])
        return Vm(owner, pid, vm["Name"], known_uuid(vm["UUID"]), consoles)
    except CallError as error:
        return Vm(owner, pid, answering=False) if error.name == TIMEOUT else None
    except ProtocolError as error:
        log.info("%s is left out: %s", owner or "the other end", error)
        return None


def _process(transport: Transport, owner: str) -> int:
    """Return the process id of a client of the bus."""
    match _ask_bus(transport, "GetConnectionUnixProcessID", owner):
        case (int(pid),):
            return pid
    raise ProtocolError("the bus answered GetConnectionUnixProcessID with something else")


def _console(id: int, found: dict[str, Any]) -> ConsoleInfo:
    return ConsoleInfo(
        id,
        found["Label"],
        found["Type"],
        found["Head"],
        found["Width"],
        found["Height"],
        tuple(found.get("Interfaces", ())),
    )


def _ask_bus(transport: Transport, member: str, argument: str) -> tuple[Any, ...]:
    return transport.call(BUS_NAME, BUS_PATH, BUS_NAME, member, "s", (argument,))


def choose_vm(vms: Sequence[Vm], wanted: str | None = None) -> Vm:
    """Return the VM meant by `wanted`: a name, a UUID or its beginning, or a bus name.

    Without `wanted`, the only VM. Raises `AmbiguousVmError`, and `NoVmError`
    also for a VM that does not answer.
    """
    fitting = _matches(vms, wanted) if wanted else [vm for vm in vms if vm.answering]
    if len(fitting) == 1 and fitting[0].answering:
        return fitting[0]
    if len(fitting) > 1:
        what = f"{wanted!r} fits several VMs" if wanted else "several VMs are running"
        raise AmbiguousVmError(f"{what}: {_inventory(fitting)}", "choose one by UUID or bus name")
    if not vms:
        raise NoVmError("no VM with a D-Bus display is running here", _START_ONE)
    what = f"no VM {wanted!r}" if wanted and not fitting else "no VM to show"
    raise NoVmError(f"{what}; there is {_inventory(vms)}")


def _matches(vms: Sequence[Vm], wanted: str) -> list[Vm]:
    """VMs of that name; else of that UUID, else of that bus name, else of such a UUID."""
    uuid = wanted.lower()
    ways: tuple[Callable[[Vm], bool], ...] = (
        lambda vm: vm.name == wanted,
        lambda vm: vm.uuid == uuid,
        lambda vm: vm.owner == wanted,
        lambda vm: len(uuid) >= _MIN_PREFIX and vm.uuid.startswith(uuid),
    )
    found = ([vm for vm in vms if fits(vm)] for fits in ways)
    return next(filter(None, found), [])


def _inventory(vms: Iterable[Vm]) -> str:
    return ", ".join(
        f"{printable(vm.name, _NAME)} ({printable(vm.uuid or vm.owner or 'no UUID', _NAME)})"
        if vm.answering
        else f"one that does not answer, process {vm.pid} ({vm.owner})"
        for vm in vms
    )


def choose_console(vm: Vm, number: int | None = None) -> ConsoleInfo:
    """Return the console with that id, or the first graphic one. Raises `NoConsoleError`."""
    for console in vm.consoles:
        if console.id == number or (number is None and console.type == "Graphic"):
            return console
    there = ", ".join(_console_text(console) for console in vm.consoles) or "none"
    what = "graphic console" if number is None else f"console {number}"
    raise NoConsoleError(f"{printable(vm.name, _NAME)} has no {what}; there is {there}")


def _console_text(console: ConsoleInfo) -> str:
    label = printable(console.label, _NAME)
    size = f" {console.width}x{console.height}" if console.width else ""
    return f"{console.id}: {label}{size}"


def format_list(vms: Sequence[Vm]) -> str:
    """Return a table of all VMs, one line for each console; a sentence if there is none."""
    if not vms:
        return f"no VM with a D-Bus display is running here ({_START_ONE})"
    rows = [("NAME", "UUID", "PID", "BUS NAME", "CONSOLES")]
    for vm in vms:
        first, *others = [_console_text(console) for console in vm.consoles] or ["-"]
        if not vm.answering:
            first = "(not answering)"
        name, uuid, owner = (printable(text, _NAME) or "-" for text in (vm.name, vm.uuid, vm.owner))
        rows.append((name, uuid, str(vm.pid or "-"), owner, first))
        rows += [("", "", "", "", other) for other in others]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def has_left(transport: Transport, owner: str, within: float) -> bool:
    """Return whether a unique name leaves the bus within so many seconds, or has left it."""
    deadline = time.monotonic() + within
    while next(iter(_ask_bus(transport, "NameHasOwner", owner)), None) is not False:
        if time.monotonic() > deadline:
            return False
        time.sleep(within / 10)
    return True


def wait_for_vm(
    transport: Transport,
    wanted: str | None,
    deadline: float | None,
    stop: threading.Event,
) -> Vm | None:
    """Wait until the VM that `wanted` means is there and answers.

    Looks again when a program joins or leaves the bus: a VM that queues behind
    another causes no other signal. `deadline` is by `time.monotonic`. Returns None
    when `stop` is set. Raises `AmbiguousVmError`, `NoVmError` at the deadline,
    `VmGoneError` when the bus goes, `CallError` when it does not answer: a new
    connection leaves what floods this one behind.
    """
    changed = threading.Event()

    def on_signal(message: Message) -> None:
        if message.member == "NameOwnerChanged" and message.sender == BUS_NAME:
            changed.set()

    remove = transport.add_signal_handler(on_signal)
    transport.on_closed(changed.set)
    try:
        transport.add_match(f"type='signal',sender='{BUS_NAME}',member='NameOwnerChanged'")
        return _watch(transport, wanted, deadline, stop, changed)
    finally:
        remove()


def _watch(
    transport: Transport,
    wanted: str | None,
    deadline: float | None,
    stop: threading.Event,
    changed: threading.Event,
) -> Vm | None:
    settled = 0.0
    while not stop.is_set():
        if changed.is_set():
            settled = time.monotonic() + _SETTLED
            changed.clear()
        try:
            return choose_vm(list_vms(transport), wanted)
        except NoVmError:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise
        if now < settled:
            stop.wait(_SOON)  # whatever happens: programs may come and go all the time
        else:
            again = now + _RESCAN
            _sleep(again if deadline is None else min(again, deadline), stop, changed)
    return None


def _sleep(until: float, stop: threading.Event, changed: threading.Event) -> None:
    """Wait until that time, or until something happens."""
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        if changed.wait(min(left, _STOP_POLL)):
            stop.wait(_DEBOUNCE)
            return
