"""The load: plays QEMU towards one viewer, through the fake VM of `glview.testing`.

The guest's picture is of one colour at the start; an update gives a rectangle another.
Calls carry the flags that QEMU gives them: a viewer owes no reply to an update.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Self

import numpy as np

from bench.viewers import Viewer
from glview.testing import calls
from glview.testing.console import ConsoleOptions
from glview.testing.output import Transport
from glview.testing.pictures import memfd_picture
from glview.testing.vm import FakeVm

Rect = tuple[int, int, int, int]


class Guest:
    """A VM with one console of `width` x `height` pixels, format x8r8g8b8. Use with `with`.

    `via` is "map" or "bytes".
    """

    def __init__(self, width: int, height: int, via: str, colour: int) -> None:
        with contextlib.ExitStack() as stack:
            picture = np.zeros((height, width, 3), np.uint8)
            surface = stack.enter_context(memfd_picture(picture))
            self._pixels = surface.pixels.view("<u4")
            self.paint((0, 0, width, height), colour)
            options = ConsoleOptions(width=width, height=height, transport=Transport(via))
            self._vm, self._client = FakeVm.pair(consoles=[options])
            stack.callback(self._vm.close)
            stack.callback(self._client.close)
            self._console = self._vm.console()
            self._console.output.switch(surface)
            self._exit = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def join_bus(self, address: str) -> None:
        """Be found on a message bus, not by the inherited socket."""
        if not self._vm.join_bus(address):
            raise RuntimeError("there is another VM on the bus")

    def start(self, viewer: Viewer, display: str, log: Path) -> subprocess.Popen[bytes]:
        """Run a viewer that is connected to this VM; once only."""
        with self._client:
            return viewer.start(self._client.fileno(), display, log)

    def wait_viewer(self, timeout: float) -> None:
        """Wait until the viewer has been sent the first picture. Raises TimeoutError."""
        self._listener = self._console.wait_listener(timeout=timeout)

    def paint(self, rect: Rect, colour: int) -> None:
        """Draw, as the guest does before QEMU hears of it."""
        x, y, width, height = rect
        self._pixels[y : y + height, x : x + width] = colour

    def send(self, rect: Rect) -> None:
        """Tell the viewer of an update: UpdateMap; Scanout for all pixels, Update for some."""
        self._console.output.update(*rect)

    def ask(self) -> None:
        """Send a call that the viewer has to answer, and wait for the answer."""
        reply = self._listener.call(calls.GET_ALL, (calls.LISTENER,)).wait()
        if not reply.ok:
            raise RuntimeError(f"GetAll: {reply.error}")
