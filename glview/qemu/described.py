"""A VM as QMP describes it: name, UUID, process and graphic consoles.

Whoever asks by QMP alone takes no other viewer's place, as a display connection would.
"""

from __future__ import annotations

import re
import socket
import struct
from collections import Counter

from glview.errors import QmpError
from glview.qemu.discovery import ConsoleInfo, Vm, known_uuid
from glview.qemu.monitor import CommandError, Monitor

MOST_CONSOLES = 64
"""Consoles that are asked for; QEMU's largest device has 16."""

_BACKEND = "/backend"
_CONSOLE = re.compile(r"console\[(\d{1,4})\]")
_NAMED_DEVICES = "/machine/peripheral/"  # of those with an id


def read_vm(sock: socket.socket, timeout: float | None) -> Vm:
    """Return the VM behind a connected QMP socket, its consoles without their sizes.

    Closes `sock`. `timeout` is for the greeting. Raises `QmpError`.
    """
    with Monitor(sock, timeout) as monitor:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        name = _text(monitor.execute("query-name"), "name")
        if not name:  # what QEMU's D-Bus display says then (ui/dbus.c)
            name = _version(monitor)
        uuid = _text(monitor.execute("query-uuid"), "UUID")
        consoles = _read_consoles(monitor)
    return Vm("", struct.unpack("3i", credentials)[0], name, known_uuid(uuid), consoles)


def _version(monitor: Monitor) -> str:
    answer = monitor.execute("query-version")
    version = answer.get("qemu") if isinstance(answer, dict) else None
    return "QEMU " + ".".join(str(_number(version, part)) for part in ("major", "minor", "micro"))


def _read_consoles(monitor: Monitor) -> tuple[ConsoleInfo, ...]:
    """Return QEMU's graphic consoles as its object model has them, in order."""
    try:
        listed = monitor.execute("qom-list", path=_BACKEND)
    except CommandError:
        return ()  # a machine without a display device
    if not isinstance(listed, list):
        raise _unclear("qom-list")
    numbers = [
        int(found[1]) for entry in listed if (found := _CONSOLE.fullmatch(_text(entry, "name")))
    ]
    devices: list[tuple[str, int]] = []
    for number in sorted(numbers)[:MOST_CONSOLES]:
        path = f"{_BACKEND}/console[{number}]"
        device = monitor.execute("qom-get", path=path, property="device")
        if device:  # else it is one of text
            head = monitor.execute("qom-get", path=path, property="head")
            devices.append((_text({"device": device}, "device"), _number({"head": head}, "head")))
    heads = Counter(device for device, _ in devices)
    consoles = []
    for id, (device, head) in enumerate(devices):
        label = device.removeprefix(_NAMED_DEVICES)
        if label == device:
            kind = monitor.execute("qom-get", path=device, property="type")
            label = _text({"type": kind}, "type")
        several = heads[device] > 1
        consoles.append(ConsoleInfo(id, f"{label}.{head}" if several else label, "Graphic", head))
    return tuple(consoles)


def _text(answer: object, key: str) -> str:
    """Return the text at `key` of an answer, "" where it has none. Raises `QmpError`."""
    found = answer.get(key, "") if isinstance(answer, dict) else None
    if not isinstance(found, str):
        raise _unclear(key)
    return found


def _number(answer: object, key: str) -> int:
    """Return the number at `key` of an answer. Raises `QmpError`."""
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, int) or not 0 <= found < 1 << 31:
        raise _unclear(key)
    return found


def _unclear(what: str) -> QmpError:
    return QmpError(f"QEMU does not describe itself: its {what} is none")
