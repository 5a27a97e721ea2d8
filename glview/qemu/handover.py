"""The asynchronous half of `qmp`, with QEMU's own QMP library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from glview.errors import QmpError
from glview.qemu.discovery import ConsoleInfo, Vm, known_uuid
from glview.qemu.qmp import NegotiationBrokenError

Json: TypeAlias = Any
"""What QEMU answers; its types are checked by use."""

COMMAND_TIMEOUT = 5.0
"""Seconds that QEMU has for all commands of a session."""

OWN_SOCKET = "give it a QMP socket of its own: -qmp unix:PATH,server=on,wait=off"

_FD_NAME = "glview"
_BACKEND = "/backend"
_CONSOLE = re.compile(r"console\[(\d+)\]")
_NAMED_DEVICES = "/machine/peripheral/"  # of those with an id
_NO_P2P = "D-Bus display is not in use"  # ui/dbus.c; also for a display that is on a bus

# The library reports each failure by logging too; ours travel as QmpError.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


def send_display(monitor: socket.socket, fd: int, timeout: float | None) -> None:
    """Give QEMU `fd` as its display client over a connected QMP socket, then close that.

    `timeout` is for the greeting, None for ever. Raises `QmpError`.
    """
    asyncio.run(_send_display(monitor, fd, timeout))


def read_vm(monitor: socket.socket, timeout: float | None) -> Vm:
    """Return the VM behind a connected QMP socket, its consoles without their sizes.

    `timeout` is for the greeting. Raises `QmpError`.
    """
    credentials = monitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return asyncio.run(_read_vm(monitor, struct.unpack("3i", credentials)[0], timeout))


async def _send_display(monitor: socket.socket, fd: int, timeout: float | None) -> None:
    async with _session(monitor, timeout) as client:
        try:
            async with _commands():
                client.send_fd_scm(fd)
                await client.execute("getfd", {"fdname": _FD_NAME})
                await client.execute(
                    "add_client", {"protocol": "@dbus-display", "fdname": _FD_NAME}
                )
        except ExecuteError as error:
            hint = "start QEMU with -display dbus,p2p=yes" if _NO_P2P in str(error) else ""
            raise QmpError(f"QEMU refuses: {error}", hint) from error


async def _read_vm(monitor: socket.socket, process: int, timeout: float | None) -> Vm:
    async with _session(monitor, timeout) as client:
        try:
            async with _commands():
                name = (await _ask(client, "query-name")).get("name", "")
                if not name:  # what QEMU's D-Bus display says then (ui/dbus.c)
                    version = (await _ask(client, "query-version"))["qemu"]
                    name = "QEMU {major}.{minor}.{micro}".format_map(version)
                uuid = (await _ask(client, "query-uuid"))["UUID"]
                consoles = await _read_consoles(client)
        except (ExecuteError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise QmpError(f"QEMU does not describe itself: {error!r}") from error
    return Vm("", process, str(name), known_uuid(str(uuid)), consoles)


async def _read_consoles(client: QMPClient) -> tuple[ConsoleInfo, ...]:
    """Return QEMU's graphic consoles as its object model has them, in order."""
    try:
        listed = await _ask(client, "qom-list", path=_BACKEND)
    except ExecuteError:
        return ()  # a machine without a display device
    numbers = [found[1] for entry in listed if (found := _CONSOLE.fullmatch(entry["name"]))]
    devices: list[tuple[str, int]] = []
    for number in sorted(numbers, key=int):
        path = f"{_BACKEND}/console[{number}]"
        device = await _ask(client, "qom-get", path=path, property="device")
        if device:  # else it is one of text
            head = await _ask(client, "qom-get", path=path, property="head")
            devices.append((str(device), int(head)))
    heads = Counter(device for device, _ in devices)
    consoles = []
    for id, (device, head) in enumerate(devices):
        label = device.removeprefix(_NAMED_DEVICES)
        if label == device:
            label = str(await _ask(client, "qom-get", path=device, property="type"))
        several = heads[device] > 1
        consoles.append(ConsoleInfo(id, f"{label}.{head}" if several else label, "Graphic", head))
    return tuple(consoles)


async def _ask(client: QMPClient, command: str, **arguments: object) -> Json:
    return await client.execute(command, arguments or None)


@contextlib.asynccontextmanager
async def _commands() -> AsyncIterator[None]:
    """Give the commands inside `COMMAND_TIMEOUT`, and raise `QmpError` where they get no answer."""
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            yield
    except TimeoutError as error:
        raise QmpError("QEMU stopped answering on QMP", "is it stopped?") from error
    except ExecuteError:
        raise
    except (QMPError, OSError, EOFError) as error:
        raise QmpError("QEMU closed the QMP connection") from error


@contextlib.asynccontextmanager
async def _session(monitor: socket.socket, timeout: float | None) -> AsyncIterator[QMPClient]:
    """Run a QMP session on `monitor`, and end it whatever happens inside."""
    client = QMPClient()
    try:
        async with asyncio.timeout(timeout):
            await client.connect(monitor)
    except TimeoutError as error:
        raise QmpError(
            f"no QMP greeting within {timeout:g} s",
            f"another QMP client may be connected, or QEMU is stopped; {OWN_SOCKET}",
        ) from error
    except ConnectError as error:
        raise _greeting_error(error) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the socket is closed all the same
            await client.disconnect()


def _is_event(cause: BaseException | None) -> bool:
    """Tell whether an event came where the greeting belongs.

    A monitor whose last client had negotiated still counts as ready until its
    thread has seen to the next one (monitor/qmp.c).
    """
    return isinstance(cause, GreetingError) and isinstance(cause.__cause__, KeyError)


def _greeting_error(error: ConnectError) -> QmpError:
    if isinstance(error.__cause__, NegotiationError) or _is_event(error.__cause__):
        return NegotiationBrokenError("QEMU did not agree to a QMP session", "try again")
    if isinstance(error.__cause__, (EOFError, OSError)):
        return QmpError("the connection was closed before any QMP greeting")
    return QmpError(
        "that socket does not speak QMP",
        "it may be a human monitor (-monitor); glview needs QEMU's -qmp",
    )
