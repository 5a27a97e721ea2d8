"""Objects that we show to the peer, and the standard interfaces that every object has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from glview.dbus.transport import PROPERTIES
from glview.dbus.wire import ERROR, RETURN, Message, Variant
from glview.errors import CallError

PEER = "org.freedesktop.DBus.Peer"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
_ERRORS = "org.freedesktop.DBus.Error."
LIMITS_EXCEEDED = f"{_ERRORS}LimitsExceeded"
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")

Answer = tuple[str, tuple[Any, ...]]
Method = Callable[[Message], Answer]


class Interface(NamedTuple):
    """One interface of an object, alive: later changes of `properties` are seen."""

    properties: Mapping[str, Variant]
    methods: Mapping[str, Method]


class Exports:
    """Answers method calls."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Interface]] = {}
        self._standard: dict[tuple[str, str], Method] = {
            (PEER, "Ping"): lambda message: ("", ()),
            (PEER, "GetMachineId"): lambda message: ("s", (_machine_id(),)),
            (INTROSPECTABLE, "Introspect"): self._introspect,
            (PROPERTIES, "Get"): self._get,
            (PROPERTIES, "GetAll"): self._get_all,
            (PROPERTIES, "Set"): self._set,
        }

    def add(self, path: str, name: str, interface: Interface) -> None:
        """Show `interface` at `path`; replaces one of the same name."""
        self._objects[path] = {**self._objects.get(path, {}), name: interface}

    def answer(self, call: Message, serial: int) -> Message:
        """The reply to `call`: what its method returns, or an error."""
        try:
            signature, body = self._method(call)(call)
        except CallError as error:
            return Message(
                ERROR, serial, error_name=error.name, reply_serial=call.serial,
                destination=call.sender, signature="s", body=(error.text,),
            )  # fmt: skip
        return Message(
            RETURN, serial, reply_serial=call.serial, destination=call.sender,
            signature=signature, body=body,
        )  # fmt: skip

    def _method(self, call: Message) -> Method:
        for (interface, member), method in self._standard.items():
            if member == call.member and call.interface in ("", interface):
                return method
        interfaces = self._object(call.path)
        if call.interface and call.interface not in interfaces:
            raise CallError(_ERRORS + "UnknownInterface", f"no interface {call.interface}")
        for name, shown in interfaces.items():
            if call.interface in ("", name) and call.member in shown.methods:
                return shown.methods[call.member]
        raise CallError(_ERRORS + "UnknownMethod", f"no method {call.interface}.{call.member}")

    def _object(self, path: str) -> dict[str, Interface]:
        if path not in self._objects:
            raise CallError(_ERRORS + "UnknownObject", f"no object {path}")
        return self._objects[path]

    def _properties(self, call: Message, signature: str) -> Mapping[str, Variant]:
        """Return the properties of the interface that the call's first argument names."""
        if call.signature != signature:
            raise CallError(_ERRORS + "InvalidArgs", f"{call.member} takes ({signature})")
        shown = self._object(call.path).get(call.body[0])
        if shown is None:
            raise CallError(_ERRORS + "UnknownInterface", f"no interface {call.body[0]}")
        return shown.properties

    def _get(self, call: Message) -> Answer:
        value = self._properties(call, "ss").get(call.body[1])
        if value is None:
            raise CallError(_ERRORS + "UnknownProperty", f"no property {call.body[1]}")
        return "v", (value,)

    def _get_all(self, call: Message) -> Answer:
        return "a{sv}", (dict(self._properties(call, "s")),)

    def _set(self, call: Message) -> Answer:
        raise CallError(_ERRORS + "PropertyReadOnly", "properties cannot be set here")

    def _introspect(self, call: Message) -> Answer:
        root = call.path if call.path == "/" else f"{call.path}/"
        below = {path[len(root) :].split("/")[0] for path in self._objects if path.startswith(root)}
        children = sorted(below - {""})
        interfaces = self._objects.get(call.path, {})
        if not interfaces and not children and call.path != "/":
            raise CallError(_ERRORS + "UnknownObject", f"no object {call.path}")
        return "s", (_node(interfaces, children),)


def _node(interfaces: Mapping[str, Interface], children: list[str]) -> str:
    """Introspection XML: names and property types. Our methods' arguments are not told.

    Names and signatures consist of characters that XML needs no escapes for.
    """
    lines = ["<node>"]
    for name, shown in interfaces.items():
        lines.append(f'<interface name="{name}">')
        lines += [f'<method name="{method}"/>' for method in shown.methods]
        lines += [
            f'<property name="{key}" type="{value.signature}" access="read"/>'
            for key, value in shown.properties.items()
        ]
        lines.append("</interface>")
    lines += [f'<node name="{child}"/>' for child in children]
    return "\n".join([*lines, "</node>"])


def _machine_id() -> str:
    for name in _MACHINE_IDS:
        try:
            with open(name, encoding="ascii", errors="replace") as file:
                return file.read(64).strip()
        except OSError:
            continue
    raise CallError(_ERRORS + "FileNotFound", "this machine has no id")
