"""An X connection of our own, made and looked over by libxcb.

It finds the X server and knows how to be let in, and this may wait. What is
done all the time goes without it: see `xshm`.
(X11 protocol, chapter 8; MIT-SHM 1.2; xcb.h, shm.h)
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import Any

from glview.errors import NoGraphicsError

_LSB_FIRST = 0
_GC_GRAPHICS_EXPOSURES = 1 << 16
DEPTH, _BITS = 24, 32
_MASKS = 0xFF0000, 0xFF00, 0xFF  # red, green and blue of what lies in memory as B, G, R, X

_P, _U, _I, _B = ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_ubyte


class _Cookie(ctypes.Structure):
    """What a request returns; the ABI passes it as a structure."""

    _fields_ = (("sequence", _U),)


_ERROR_SLOT = ctypes.POINTER(_P)
_CALLS: dict[str, tuple[Any, ...]] = {
    "xcb_connect": (_P, ctypes.c_char_p, ctypes.POINTER(_I)),
    "xcb_connection_has_error": (_I, _P),
    "xcb_create_gc": (_Cookie, _P, _U, _U, _U, ctypes.POINTER(_U)),
    "xcb_disconnect": (None, _P),
    "xcb_flush": (_I, _P),
    "xcb_generate_id": (_U, _P),
    "xcb_get_extension_data": (_P, _P, _P),
    "xcb_get_file_descriptor": (_I, _P),
    "xcb_get_geometry": (_Cookie, _P, _U),
    "xcb_get_geometry_reply": (_P, _P, _Cookie, _ERROR_SLOT),
    "xcb_get_setup": (_P, _P),
    "xcb_get_window_attributes": (_Cookie, _P, _U),
    "xcb_get_window_attributes_reply": (_P, _P, _Cookie, _ERROR_SLOT),
    "xcb_request_check": (_P, _P, _Cookie),
}
_SHM_CALLS: dict[str, tuple[Any, ...]] = {
    "xcb_shm_attach_fd_checked": (_Cookie, _P, _U, _I, _B),
    "xcb_shm_detach": (_Cookie, _P, _U),
    "xcb_shm_query_version": (_Cookie, _P),
    "xcb_shm_query_version_reply": (_P, _P, _Cookie, _ERROR_SLOT),
}

_free = ctypes.CDLL(None).free
_free.argtypes = (_P,)
_free.restype = None


class Display:
    """A connection that can put pictures into one window; nothing is under way on it.

    Owns `fd`, which does not block. `gc` is a graphics context for the window,
    `opcode` and `completion` are the numbers of MIT-SHM's requests and event.
    """

    def __init__(self, window: int) -> None:
        """Connect to the display in the environment; `window` is an id there.

        Raises NoGraphicsError where pictures of B, G, R, X bytes cannot be
        put into it out of files that the X server attaches.
        """
        self._lib = _load("libxcb.so.1", _CALLS)
        self._shm = _load("libxcb-shm.so.0", _SHM_CALLS)
        self._window = window
        self._xcb: int | None = self._lib.xcb_connect(None, None)
        try:
            self._check_alive()
            self.fd: int = self._lib.xcb_get_file_descriptor(self._xcb)
            self.opcode, self.completion = self._check_extension()
            self._check_visual()
            self._check_attaching()
            self.gc = self._make_gc()
            self._lib.xcb_flush(self._xcb)
        except BaseException:
            self.close()
            raise

    def _check_alive(self) -> None:
        if self._lib.xcb_connection_has_error(self._xcb):
            raise NoGraphicsError("no second connection to the X server")

    def _check_extension(self) -> tuple[int, int]:
        """MIT-SHM's opcode and completion event. Raises NoGraphicsError without 1.2."""
        with socket.socket(fileno=os.dup(self.fd)) as transport:
            if transport.family != socket.AF_UNIX:
                raise NoGraphicsError("the X server is on another machine")
        name = ctypes.addressof(ctypes.c_char.in_dll(self._shm, "xcb_shm_id"))
        data = self._lib.xcb_get_extension_data(self._xcb, name)
        if not data or not ctypes.string_at(data, 12)[8]:
            raise NoGraphicsError("the X server has no MIT-SHM")
        asked = self._shm.xcb_shm_query_version(self._xcb)
        reply = self._take(self._shm.xcb_shm_query_version_reply(self._xcb, asked, None), 12)
        major, minor = struct.unpack_from("=2H", reply, 8)
        if (major, minor) < (1, 2):
            raise NoGraphicsError(f"MIT-SHM {major}.{minor} attaches no files, 1.2 would")
        opcode, completion = ctypes.string_at(data, 12)[9:11]
        return opcode, completion

    def _check_visual(self) -> None:
        """Raises NoGraphicsError unless the window's pixels are B, G, R, X bytes."""
        asked = self._lib.xcb_get_geometry(self._xcb, self._window)
        depth = self._take(self._lib.xcb_get_geometry_reply(self._xcb, asked, None), 2)[1]
        asked = self._lib.xcb_get_window_attributes(self._xcb, self._window)
        reply = self._take(self._lib.xcb_get_window_attributes_reply(self._xcb, asked, None), 12)
        (visual,) = struct.unpack_from("=I", reply, 8)
        start = self._lib.xcb_get_setup(self._xcb)
        (words,) = struct.unpack_from("=H", ctypes.string_at(start, 8), 6)
        setup = ctypes.string_at(start, 8 + 4 * words)
        if depth != DEPTH or not _plain_bytes(setup, visual):
            raise NoGraphicsError(f"pixels of {depth} bits are laid out in another way")

    def _check_attaching(self) -> None:
        """Have a small file attached, as proxies for X lose descriptors on the way."""
        fd = os.memfd_create("glview-probe", os.MFD_CLOEXEC)
        os.ftruncate(fd, 4)
        segment = self.new_id()
        asked = self._shm.xcb_shm_attach_fd_checked(self._xcb, segment, fd, 1)
        error = self._lib.xcb_request_check(self._xcb, asked)
        if error:
            code = self._take(error, 32)[1]
            raise NoGraphicsError(f"the X server attaches no files: error {code}")
        self._check_alive()
        self._shm.xcb_shm_detach(self._xcb, segment)

    def _make_gc(self) -> int:
        gc = self.new_id()
        values = (_U * 1)(0)
        self._lib.xcb_create_gc(self._xcb, gc, self._window, _GC_GRAPHICS_EXPOSURES, values)
        return gc

    @staticmethod
    def _take(address: int | None, size: int) -> bytes:
        """The first bytes of a reply, which is freed. Raises NoGraphicsError if there is none."""
        if not address:
            raise NoGraphicsError("the X server refused a request")
        data = ctypes.string_at(address, size)
        _free(address)
        return data

    def new_id(self) -> int:
        """One that nothing there has. There are two million; the next would be asked for."""
        number: int = self._lib.xcb_generate_id(self._xcb)
        return number

    def close(self) -> None:
        """Disconnect; the X server lets go of everything. A second call does nothing."""
        if self._xcb is not None:
            self._lib.xcb_disconnect(self._xcb)
            self._xcb = None


def _load(name: str, calls: dict[str, tuple[Any, ...]]) -> ctypes.CDLL:
    """A library with typed calls. Raises NoGraphicsError."""
    try:
        library = ctypes.CDLL(name)
        for call, (result, *arguments) in calls.items():
            function = getattr(library, call)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NoGraphicsError(f"{name} cannot be used: {error}") from None
    return library


def _plain_bytes(setup: bytes, visual: int) -> bool:
    """Whether a pixel of `visual` is the bytes B, G, R, X, by the server's set-up block."""
    (vendor,) = struct.unpack_from("=H", setup, 24)
    screens, formats, byte_order = setup[28:31]
    at = 40 + vendor + -vendor % 4
    layouts = {setup[i]: setup[i + 1 : i + 3] for i in range(at, at + 8 * formats, 8)}
    if byte_order != _LSB_FIRST or layouts.get(DEPTH) != bytes((_BITS, _BITS)):
        return False
    return _masks(setup, at + 8 * formats, screens).get(visual) == _MASKS


def _masks(setup: bytes, at: int, screens: int) -> dict[int, tuple[int, ...]]:
    """Visual -> masks of red, green and blue, from the screens that begin at `at`."""
    found: dict[int, tuple[int, ...]] = {}
    for _ in range(screens):
        depths = setup[at + 39]
        at += 40
        for _ in range(depths):
            (visuals,) = struct.unpack_from("=H", setup, at + 2)
            at += 8
            for _ in range(visuals):
                number, *masks = struct.unpack_from("=I4x3I", setup, at)
                found[number] = tuple(masks)
                at += 24
    return found
