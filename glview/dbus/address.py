"""D-Bus addresses: ``unix:path=/run/bus,guid=...;unix:abstract=/tmp/x`` and how to get there."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from typing import NamedTuple

from glview.errors import AddressError, ConnectError

MAX_SOCKET_NAME = 107  # bytes: sun_path has 108, one of them is a NUL
CONNECT_TIMEOUT = 10.0  # seconds

FORMS = "forms that work: unix:path=/SOCKET, unix:abstract=NAME, unix:runtime=yes"
_LOCATIONS = ("path", "abstract", "runtime")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")


class Address(NamedTuple):
    """One address: its transport and its parameters, escapes undone. `text` is as it was given."""

    transport: str
    params: dict[str, str]
    text: str

    def socket_name(self) -> bytes:
        """What connect(2) takes: a path, or NUL and an abstract name.

        Raises AddressError where this address is of a kind that we cannot connect to.
        """
        if self.transport != "unix":
            raise AddressError(f"{self.text}: transport {self.transport!r} is not supported", FORMS)
        given = [key for key in _LOCATIONS if key in self.params]
        if len(given) != 1:
            raise AddressError(f"{self.text}: exactly one of path, abstract, runtime", FORMS)
        name = self._location(given[0])
        if len(name) > MAX_SOCKET_NAME or name in (b"", b"\0") or b"\0" in name[1:]:
            raise AddressError(
                f"{self.text}: a socket name of {len(name)} bytes",
                f"a Unix socket's name has 1 to {MAX_SOCKET_NAME}",
            )
        return name

    def _location(self, key: str) -> bytes:
        value = os.fsencode(self.params[key])
        if key == "abstract":
            return b"\0" + value
        if key == "path":
            return value
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        if value != b"yes" or not runtime:
            raise AddressError(f"{self.text}: needs runtime=yes and XDG_RUNTIME_DIR", FORMS)
        return os.fsencode(f"{runtime}/bus")


def parse(text: str) -> list[Address]:
    """The addresses in a ``;`` list, in their order. ``guid`` and other extras are kept unused.

    Raises AddressError where the text is malformed, or where none of the addresses is of a
    kind that we can connect to.
    """
    addresses = [_parse_one(part) for part in text.split(";") if part]
    if not addresses:
        raise AddressError("an empty D-Bus address", FORMS)
    problems = [_problem(address) for address in addresses]
    if all(problems):
        raise next(problem for problem in problems if problem)
    return addresses


def _problem(address: Address) -> AddressError | None:
    try:
        address.socket_name()
    except AddressError as error:
        return error
    return None


def _parse_one(text: str) -> Address:
    transport, colon, rest = text.partition(":")
    if not colon or not transport or "/" in transport:
        hint = f"did you mean unix:path={text}?" if text.startswith("/") else FORMS
        raise AddressError(f"{text!r} is not a D-Bus address", hint)
    params: dict[str, str] = {}
    for pair in rest.split(",") if rest else ():
        key, equals, value = pair.partition("=")
        if not equals or not key or key in params:
            raise AddressError(f"{text!r}: {pair!r} is not one key=value", FORMS)
        params[key] = _unescape(value, text)
    return Address(transport, params, text)


def _unescape(value: str, text: str) -> str:
    """`value` with its ``%XX`` undone. Characters that should have been escaped are let pass."""

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise AddressError(f"{text!r}: % is not followed by two hexadecimal digits")
        return bytes.fromhex(match[1].decode())

    return os.fsdecode(_ESCAPE.sub(byte, os.fsencode(value)))


def session_address() -> str:
    """The address of the session bus.

    Raises ConnectError where the environment names none.
    """
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.exists(f"{runtime}/bus"):
        return f"unix:path={escape(f'{runtime}/bus')}"
    raise ConnectError(
        "there is no D-Bus session bus",
        "set DBUS_SESSION_BUS_ADDRESS, name a bus with --address, or use --qmp",
    )


def escape(value: str) -> str:
    """`value` as it must stand in an address."""
    keep = b"-_/.\\*" + bytes(byte for byte in range(128) if chr(byte).isalnum())
    return "".join(chr(byte) if byte in keep else f"%{byte:02x}" for byte in os.fsencode(value))


def connect(text: str) -> socket.socket:
    """A blocking stream socket, connected to the first address of `text` that answers.

    The socket is the caller's to close. Raises AddressError as `parse` does, and one
    ConnectError that names every address tried, with the reason.
    """
    failures: list[str] = []
    last: OSError | AddressError | None = None
    for address in parse(text):
        try:
            return _connect_one(address.socket_name())
        except (OSError, AddressError) as error:
            failures.append(f"{address.text}: {_reason(error, address)}")
            last = error
    raise ConnectError("cannot connect to " + "; ".join(failures)) from last


def _connect_one(name: bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect(name)
        sock.setblocking(True)
    except BaseException:
        sock.close()
        raise
    return sock


_REASONS = {
    errno.ENOENT: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EAGAIN: "its queue of waiting connections is full",
    errno.EPROTOTYPE: "not a stream socket",
}


def _reason(error: OSError | AddressError, address: Address) -> str:
    """Why it did not work, in words."""
    if isinstance(error, AddressError):
        return str(error.args[0]).removeprefix(f"{address.text}: ")
    if error.errno != errno.ECONNREFUSED:
        return _REASONS.get(error.errno or 0, error.strerror or str(error))
    name = address.socket_name()
    if name[:1] != b"\0" and not _is_socket(name):
        return "not a socket"
    return "nobody listens there"


def _is_socket(path: bytes) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True  # gone meanwhile
