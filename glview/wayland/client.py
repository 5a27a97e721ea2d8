"""Calls of libwayland's, on GLFW's connection and on a queue of events of our own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

_P, _U, _I = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int32


class Array(ctypes.Structure):
    """A wl_array: `size` bytes at `data`."""

    _fields_ = (("size", ctypes.c_size_t), ("alloc", ctypes.c_size_t), ("data", _P))


class Argument(ctypes.Union):
    """A wl_argument."""

    _fields_ = (("u", _U), ("s", ctypes.c_char_p), ("o", _P))


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "wl_display_connect": (_P, ctypes.c_char_p),
    "wl_display_create_queue": (_P, _P),
    "wl_display_disconnect": (None, _P),
    "wl_display_dispatch_queue_pending": (ctypes.c_int, _P, _P),
    "wl_display_roundtrip_queue": (ctypes.c_int, _P, _P),
    "wl_display_prepare_read": (ctypes.c_int, _P),
    "wl_display_cancel_read": (None, _P),
    "wl_event_queue_destroy": (None, _P),
    "wl_proxy_add_listener": (ctypes.c_int, _P, _P, _P),
    "wl_proxy_create_wrapper": (_P, _P),
    "wl_proxy_destroy": (None, _P),
    "wl_proxy_get_version": (_U, _P),
    "wl_proxy_marshal_array": (None, _P, _U, ctypes.POINTER(Argument)),
    "wl_proxy_marshal_array_constructor_versioned": (
        *(_P, _P, _U, ctypes.POINTER(Argument), _P, _U),
    ),
    "wl_proxy_set_queue": (None, _P, _P),
    "wl_proxy_wrapper_destroy": (None, _P),
}


@cache
def load() -> ctypes.CDLL:
    """Return the library, which GLFW has loaded already."""
    library = ctypes.CDLL("libwayland-client.so.0")
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def interface(name: str) -> int:
    """Return the address of a core interface: "wl_seat"."""
    return ctypes.addressof(_P.in_dll(load(), f"{name}_interface"))


def request(
    proxy: int, opcode: int, kind: str, version: int = 0, arguments: Sequence[Argument] = ()
) -> int:
    """Make a request that has a new object of interface `kind`; return that, 0 if it failed.

    The arguments lack a value for the new object only where they come after it.
    """
    values = (Argument * max(1, len(arguments)))(*arguments)
    version = version or load().wl_proxy_get_version(proxy)
    make = load().wl_proxy_marshal_array_constructor_versioned
    return int(make(proxy, opcode, values, interface(kind), version) or 0)


def release(proxy: int, opcode: int, since: int) -> None:
    """Destroy an object, by a request where its version has one."""
    if load().wl_proxy_get_version(proxy) >= since:
        load().wl_proxy_marshal_array(proxy, opcode, (Argument * 1)())
    load().wl_proxy_destroy(proxy)


class Listener:
    """Functions for the events of an object, in the protocol's order; must outlive the object.

    Each is a function and its arguments: u, i, p (an address), s (text).
    """

    def __init__(self, *events: tuple[Callable[..., None], str]) -> None:
        types = {"u": _U, "i": _I, "p": _P, "s": ctypes.c_char_p}
        self._functions = [
            ctypes.CFUNCTYPE(None, _P, _P, *(types[letter] for letter in letters))(
                lambda _data, _proxy, *values, call=call: call(*values)
            )
            for call, letters in events
        ]
        self._table = (_P * len(events))(*(ctypes.cast(f, _P) for f in self._functions))

    def listen(self, proxy: int) -> None:
        """Have the events of that object."""
        load().wl_proxy_add_listener(proxy, self._table, None)


class Queue:
    """A queue of events on a connection that belongs to somebody else."""

    def __init__(self, display: int) -> None:
        self.display = display
        self._lib = load()
        self._queue: int = self._lib.wl_display_create_queue(display)
        wrapper = self._lib.wl_proxy_create_wrapper(display)
        self._lib.wl_proxy_set_queue(wrapper, self._queue)
        self.registry = request(wrapper, 1, "wl_registry", 1, [Argument()])
        self._lib.wl_proxy_wrapper_destroy(wrapper)

    def dispatch(self) -> None:
        """Deliver what has been read."""
        self._lib.wl_display_dispatch_queue_pending(self.display, self._queue)

    def roundtrip(self) -> bool:
        """Wait for the compositor and deliver what it said; False if the connection is lost."""
        return int(self._lib.wl_display_roundtrip_queue(self.display, self._queue)) >= 0

    def close(self) -> None:
        """Destroy the registry and the queue; all other objects on it have gone."""
        self._lib.wl_proxy_destroy(self.registry)
        self._lib.wl_event_queue_destroy(self._queue)


def has_events(display: int) -> bool:
    """Return whether events for GLFW have been read and not delivered yet."""
    if load().wl_display_prepare_read(display):
        return True
    load().wl_display_cancel_read(display)
    return False


def has_seat() -> bool:
    """Return whether the compositor has a seat, asked on a connection of our own.

    True where there is no connection either: GLFW says why. A compositor without input
    (weston's headless backend) has none, and GLFW before 3.5 crashes on it.
    """
    display = load().wl_display_connect(None)
    if not display:
        return True
    seats = []

    def note(_name: int, kind: bytes, _version: int) -> None:
        if kind == b"wl_seat":
            seats.append(kind)

    listener = Listener((note, "usu"), (lambda *_: None, "u"))
    queue = Queue(display)
    listener.listen(queue.registry)
    answered = queue.roundtrip()
    queue.close()
    load().wl_display_disconnect(display)
    return bool(seats) or not answered
