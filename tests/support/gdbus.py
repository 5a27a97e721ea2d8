"""A connection of GLib's, the library inside QEMU, at the other end of a socket; by ctypes."""

from __future__ import annotations

import ctypes
import socket
from ctypes import byref, c_char_p, c_int, c_void_p

_gio = ctypes.CDLL("libgio-2.0.so.0")


class _Error(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


_Errors = ctypes.POINTER(ctypes.POINTER(_Error))


def _function(name: str, result: type | None, *arguments: object) -> ctypes._NamedFuncPointer:
    function = _gio[name]
    function.restype, function.argtypes = result, arguments  # type: ignore[assignment]
    return function


_from_fd = _function("g_socket_new_from_fd", c_void_p, c_int, _Errors)
_stream = _function("g_socket_connection_factory_create_connection", c_void_p, c_void_p)
_guid = _function("g_dbus_generate_guid", c_void_p)
_connect = _function(
    "g_dbus_connection_new_sync",
    *(c_void_p, c_void_p, c_void_p, c_int, c_void_p, c_void_p, _Errors),
)
_call = _function(
    "g_dbus_connection_call_sync",
    *(c_void_p, c_void_p, c_char_p, c_char_p, c_char_p, c_char_p, c_void_p, c_void_p),
    *(c_int, c_int, c_void_p, _Errors),
)
_close = _function("g_dbus_connection_close_sync", c_int, c_void_p, c_void_p, c_void_p)
_parse = _function("g_variant_parse", c_void_p, *[c_void_p, c_char_p] + [c_void_p] * 3)
_print = _function("g_variant_print", c_void_p, c_void_p, c_int)
_unref = _function("g_object_unref", None, c_void_p)

_SERVER = 1 << 1


class GdbusServer:
    """QEMU's end of a listener socket: authenticate the client, and call its methods."""

    def __init__(self, sock: socket.socket) -> None:
        """Wait for the client to authenticate on `sock`, which is ours from here on."""
        error = ctypes.POINTER(_Error)()
        carrier = _from_fd(sock.detach(), byref(error))
        assert carrier, error.contents.message
        stream = _stream(carrier)
        self._connection = _connect(stream, _guid(), _SERVER, None, None, byref(error))
        assert self._connection, error.contents.message
        _unref(stream)
        _unref(carrier)

    def call(self, path: str, interface: str, member: str, body: str, timeout: float) -> str:
        """Call a method with `body` in GVariant's text form, as ``(1, uint32 2)``.

        Returns the reply's body in that form, or in words why there is none.
        """
        arguments = _parse(None, body.encode(), None, None, None)
        assert arguments, f"GVariant cannot read {body}"
        error = ctypes.POINTER(_Error)()
        names = path.encode(), interface.encode(), member.encode()
        reply = _call(
            *(self._connection, None, *names, arguments, None),
            *(0, int(timeout * 1000), None, byref(error)),
        )
        if not reply:
            return str(error.contents.message, "utf-8")
        return ctypes.string_at(_print(reply, 0)).decode()

    def close(self) -> None:
        """Hang up."""
        _close(self._connection, None, None)
        _unref(self._connection)
