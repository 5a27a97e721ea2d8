"""What GDBus, the library inside QEMU, makes of a method call: the bytes, through ctypes."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p

from glview.testing.calls import PATH, Call

_gio = ctypes.CDLL("libgio-2.0.so.0")


def _function(name: str, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
    function = _gio[name]
    function.restype, function.argtypes = result, arguments
    return function


_new_call = _function("g_dbus_message_new_method_call", c_void_p, *[c_char_p] * 4)
_set_body = _function("g_dbus_message_set_body", None, c_void_p, c_void_p)
_set_flags = _function("g_dbus_message_set_flags", None, c_void_p, c_int)
_set_serial = _function("g_dbus_message_set_serial", None, c_void_p, c_uint)
_set_order = _function("g_dbus_message_set_byte_order", None, c_void_p, c_int)
_set_fds = _function("g_dbus_message_set_unix_fd_list", None, c_void_p, c_void_p)
_to_blob = _function("g_dbus_message_to_blob", c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_parse = _function("g_variant_parse", c_void_p, *[c_void_p, c_char_p] + [c_void_p] * 3)
_fd_list = _function("g_unix_fd_list_new", c_void_p)
_append = _function("g_unix_fd_list_append", c_int, c_void_p, c_int, c_void_p)
_unref = _function("g_object_unref", None, c_void_p)
_free = _function("g_free", None, c_void_p)

_CAN_PASS_FDS = 1


def encode(
    call: Call, body: str, *, serial: int, flags: int, fds: int, big_endian: bool = False
) -> bytes:
    """The bytes of `call` with `body` in GVariant's text form, e.g. ``(1, uint32 2)``."""
    message = _new_call(None, PATH.encode(), call.interface.encode(), call.member.encode())
    if call.signature:
        variant = _parse(None, body.encode(), None, None, None)
        assert variant, f"GVariant cannot read {body}"
        _set_body(message, variant)
    if fds:
        _set_fds(message, _descriptors(fds))
    _set_flags(message, flags)
    _set_serial(message, serial)
    _set_order(message, ord("B" if big_endian else "l"))
    size = c_size_t()
    blob = _to_blob(message, byref(size), _CAN_PASS_FDS, None)
    assert blob, f"GDBus cannot encode {body}"
    data = ctypes.string_at(blob, size.value)
    _free(blob)
    _unref(message)
    return data


def _descriptors(count: int) -> int:
    """A list of that many descriptors."""
    made = _fd_list()
    for _ in range(count):
        _append(made, 0, None)
    return int(made)
