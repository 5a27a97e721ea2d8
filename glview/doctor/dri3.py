"""Which GPU the X server draws with. (DRI3 1.0: DRI3Open)"""

from __future__ import annotations

import ctypes
import os

_P, _U, _I = ctypes.c_void_p, ctypes.c_uint, ctypes.c_int
_NFD = 1  # byte of the reply that holds the number of descriptors


class _Cookie(ctypes.Structure):
    """What a request returns."""

    _fields_ = (("sequence", _U),)


def node(window: int) -> str:
    """The device file that the X server opens for clients of `window`; empty if none."""
    try:
        xcb, dri3 = _load()
    except OSError:
        return ""
    connection = xcb.xcb_connect(None, None)
    try:
        # A request that the server does not know would end the connection.
        name = ctypes.addressof(ctypes.c_char.in_dll(dri3, "xcb_dri3_id"))
        data = xcb.xcb_get_extension_data(connection, name)
        if not data or not ctypes.string_at(data, 12)[8]:
            return ""
        asked = dri3.xcb_dri3_open(connection, window, 0)
        reply = dri3.xcb_dri3_open_reply(connection, asked, None)
        return _path(dri3, connection, reply) if reply else ""
    finally:
        xcb.xcb_disconnect(connection)


def _path(dri3: ctypes.CDLL, connection: int, reply: int) -> str:
    if not ctypes.string_at(reply, 2)[_NFD]:
        return ""
    fd = int(dri3.xcb_dri3_open_reply_fds(connection, reply)[0])
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _load() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """libxcb and its DRI3 part with typed calls. Raises OSError."""
    xcb, dri3 = ctypes.CDLL("libxcb.so.1"), ctypes.CDLL("libxcb-dri3.so.0")
    xcb.xcb_connect.restype = _P
    xcb.xcb_connect.argtypes = (ctypes.c_char_p, _P)
    xcb.xcb_get_extension_data.restype = _P
    xcb.xcb_get_extension_data.argtypes = (_P, _P)
    xcb.xcb_disconnect.argtypes = (_P,)
    dri3.xcb_dri3_open.restype = _Cookie
    dri3.xcb_dri3_open.argtypes = (_P, _U, _U)
    dri3.xcb_dri3_open_reply.restype = _P
    dri3.xcb_dri3_open_reply.argtypes = (_P, _Cookie, _P)
    dri3.xcb_dri3_open_reply_fds.restype = ctypes.POINTER(_I)
    dri3.xcb_dri3_open_reply_fds.argtypes = (_P, _P)
    return xcb, dri3
