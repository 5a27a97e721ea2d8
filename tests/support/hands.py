"""Keys pressed by the X server's own test extension, and grabs as other programs make them.

A connection of our own: a thousand keys take less time than a start of xdotool.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tests.support.x11 import Xvfb

_int, _uint, _long, _ulong, _pointer = (
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_void_p,
)
_ASYNC = 1
_PACE = 2  # milliseconds to each event: GLFW drops a second press in the same one
_ANY_MODIFIER = 1 << 15
_CORE_KEYBOARD = 3  # the first master keyboard's number, XI2


class _Mask(ctypes.Structure):
    """An XIEventMask."""

    _fields_ = (("device", _int), ("length", _int), ("mask", ctypes.c_char_p))


class Hands:
    """Hands on the keyboard of `xvfb`, and a program that grabs it. A context manager.

    Every call returns after the X server has done it. Keys are X keycodes. The server does
    not repeat keys: on a busy machine it would repeat those held for a moment only.
    """

    def __init__(self, xvfb: Xvfb) -> None:
        self._lib = ctypes.CDLL("libX11.so.6")
        self._test = ctypes.CDLL("libXtst.so.6")
        self._input = ctypes.CDLL("libXi.so.6")
        self._lib.XOpenDisplay.restype = _pointer
        self._lib.XDefaultRootWindow.restype = _ulong
        display = self._lib.XOpenDisplay(xvfb.display.encode())
        if not display:
            raise RuntimeError(f"no X server at {xvfb.display}")
        self._display = _pointer(display)
        self.root: int = self._lib.XDefaultRootWindow(self._display)
        self.down: set[int] = set()
        self._lib.XAutoRepeatOff(self._display)
        self._lib.XSync(self._display, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lib.XCloseDisplay(self._display)

    def press(self, *codes: int) -> None:
        """Press keys, and hold them."""
        self._fake(codes, pressed=True)
        self.down.update(codes)

    def release(self, *codes: int) -> None:
        """Let go of keys."""
        self._fake(codes, pressed=False)
        self.down.difference_update(codes)

    def strike(self, *codes: int) -> None:
        """Press and let go of one key after the other."""
        for code in codes:
            self._fake((code,), pressed=True)
            self._fake((code,), pressed=False)

    def _fake(self, codes: tuple[int, ...], *, pressed: bool) -> None:
        for code in codes:
            self._test.XTestFakeKeyEvent(self._display, _uint(code), _int(pressed), _ulong(_PACE))
        self._lib.XSync(self._display, 0)

    @contextmanager
    def grab(self, window: int | None = None) -> Iterator[None]:
        """Have the keyboard, as a launcher has it; by a grab on `window` or on the root."""
        taken = self._lib.XGrabKeyboard(
            *(self._display, _ulong(window or self.root), 0, _ASYNC, _ASYNC, _ulong(0))
        )
        assert taken == 0, f"XGrabKeyboard: {taken}"
        self._lib.XSync(self._display, 0)
        try:
            yield
        finally:
            self._lib.XUngrabKeyboard(self._display, _ulong(0))
            self._lib.XSync(self._display, 1)

    @contextmanager
    def grab_by_xi2(self) -> Iterator[None]:
        """Have the keyboard by the X Input Extension, as GTK's menus have it."""
        mask = _Mask(_CORE_KEYBOARD, 1, b"\x0c")  # key presses and releases
        major, minor = _int(2), _int(0)
        self._input.XIQueryVersion(self._display, ctypes.byref(major), ctypes.byref(minor))
        taken = self._input.XIGrabDevice(
            *(self._display, _CORE_KEYBOARD, _ulong(self.root), _ulong(0), _ulong(0)),
            *(_ASYNC, _ASYNC, 0, ctypes.byref(mask)),
        )
        assert taken == 0, f"XIGrabDevice: {taken}"
        self._lib.XSync(self._display, 0)
        try:
            yield
        finally:
            self._input.XIUngrabDevice(self._display, _CORE_KEYBOARD, _ulong(0))
            self._lib.XSync(self._display, 1)

    @contextmanager
    def binding(self, code: int) -> Iterator[None]:
        """Have that key with any modifiers, as window managers have their bindings."""
        self._lib.XGrabKey(
            *(self._display, code, _uint(_ANY_MODIFIER), _ulong(self.root), 0, _ASYNC, _ASYNC)
        )
        self._lib.XSync(self._display, 0)
        try:
            yield
        finally:
            self._lib.XUngrabKey(self._display, code, _uint(_ANY_MODIFIER), _ulong(self.root))
            self._lib.XSync(self._display, 1)
