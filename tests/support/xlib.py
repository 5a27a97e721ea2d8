"""What a window manager does to windows, and where they are, over a connection of our own.

xdotool and xwininfo start a process for each question; a test that compares
thousands of pictures asks too often for that.
"""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.x11 import Xvfb

_ICONIC, _NORMAL = 3, 1  # ICCCM 4.1.3.1
_PROP_MODE_REPLACE = 0

_int, _long, _ulong, _pointer = ctypes.c_int, ctypes.c_long, ctypes.c_ulong, ctypes.c_void_p
# Xlib's own handler of errors ends the process; a window may go while we look.
_IGNORE = ctypes.CFUNCTYPE(_int, _pointer, _pointer)(lambda display, event: 0)


class Place(NamedTuple):
    """The inside of a window on the screen, in pixels."""

    x: int
    y: int
    width: int
    height: int


class XConnection:
    """A client of `xvfb` that manages other clients' windows, known by their ids.

    Every call returns after the X server has done it. A context manager.
    """

    def __init__(self, xvfb: Xvfb) -> None:
        self._lib = ctypes.CDLL("libX11.so.6")
        self._lib.XOpenDisplay.restype = _pointer
        self._lib.XInternAtom.restype = _ulong
        self._lib.XDefaultRootWindow.restype = _ulong
        self._lib.XSetErrorHandler(_IGNORE)
        display = self._lib.XOpenDisplay(xvfb.display.encode())
        if not display:
            raise RuntimeError(f"no X server at {xvfb.display}")
        self._display = _pointer(display)
        self._root = _ulong(self._lib.XDefaultRootWindow(self._display))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lib.XCloseDisplay(self._display)

    def place(self, window: int) -> Place | None:
        """Where a window's inside is on the screen; None where there is no such window."""
        root, child = _ulong(), _ulong()
        numbers = [_int() for _ in range(4)]
        rest = [ctypes.c_uint(), ctypes.c_uint()]
        known = self._lib.XGetGeometry(
            *(self._display, _ulong(window), ctypes.byref(root)),
            *(ctypes.byref(number) for number in (*numbers, *rest)),
        )
        x, y = _int(), _int()
        if not known or not self._lib.XTranslateCoordinates(
            *(self._display, _ulong(window), root, 0, 0),
            *(ctypes.byref(x), ctypes.byref(y), ctypes.byref(child)),
        ):
            return None
        return Place(x.value, y.value, numbers[2].value, numbers[3].value)

    def resize(self, window: int, width: int, height: int) -> None:
        """Give a window another size, as a user does by its frame."""
        self._lib.XResizeWindow(self._display, _ulong(window), width, height)
        self._sync()

    def move(self, window: int, x: int, y: int) -> None:
        """Put a window's top left corner there."""
        self._lib.XMoveWindow(self._display, _ulong(window), x, y)
        self._sync()

    def unmap(self, window: int) -> None:
        """Take a window off the screen without a word, as for another workspace."""
        self._lib.XUnmapWindow(self._display, _ulong(window))
        self._sync()

    def map(self, window: int) -> None:
        """Put it back."""
        self._lib.XMapWindow(self._display, _ulong(window))
        self._sync()

    def minimise(self, window: int) -> None:
        """What a window manager does when the user minimises a window. (ICCCM 4.1.4)"""
        self._set_state(window, _ICONIC)
        self.unmap(window)

    def restore(self, window: int) -> None:
        """What it does when the user wants the window back."""
        self._set_state(window, _NORMAL)
        self.map(window)

    def extension(self, name: str) -> tuple[int, int]:
        """Major opcode and first event of an extension; fails where there is none."""
        numbers = [_int() for _ in range(3)]
        pointers = (ctypes.byref(number) for number in numbers)
        assert self._lib.XQueryExtension(self._display, name.encode(), *pointers), name
        return numbers[0].value, numbers[1].value

    def cover(self, place: Place) -> int:
        """Put a window of our own over a part of the screen; its id."""
        create = self._lib.XCreateSimpleWindow
        create.restype = _ulong
        white = _ulong(0xFFFFFF)
        window = int(create(self._display, self._root, *place, 0, white, white))
        self._lib.XMapRaised(self._display, _ulong(window))
        self._sync()
        return window

    def uncover(self, window: int) -> None:
        """Take that window away again."""
        self._lib.XDestroyWindow(self._display, _ulong(window))
        self._sync()

    def _set_state(self, window: int, state: int) -> None:
        atom = _ulong(self._lib.XInternAtom(self._display, b"WM_STATE", 0))
        value = (_long * 2)(state, 0)
        self._lib.XChangeProperty(
            *(self._display, _ulong(window), atom, atom, 32, _PROP_MODE_REPLACE),
            *(ctypes.byref(value), 2),
        )
        self._sync()

    def _sync(self) -> None:
        self._lib.XSync(self._display, 0)
