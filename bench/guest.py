"""Real QEMU with the payload: a VM that changes its picture when it is told to.

Stands on the laboratory of `tests/support`.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bench import payload
from tests.support.qemu import P2P, Qemu

TIMEOUT = 20.0  # seconds for the guest to boot, and to draw


class Guest:
    """A VM under TCG in a folder of its own, std VGA, which has drawn its first picture.

    `display` is the value of `-display`, `more` are other options; `under` is as of `Qemu`.
    Use with `with`. Raises AssertionError with QEMU's words when it does not start,
    TimeoutError when the payload does not.
    """

    def __init__(
        self,
        folder: Path,
        display: str = P2P,
        under: Sequence[str] = (),
        more: Sequence[str] = (),
    ) -> None:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.settimeout(TIMEOUT)
            listener.bind(str(folder / "serial"))
            listener.listen()
            words = [*payload.options(folder, folder / "serial"), *more]
            self.qemu = stack.enter_context(
                Qemu(folder, display=display, options=words, under=under)
            )
            self._serial = stack.enter_context(listener.accept()[0])
            self._serial.settimeout(TIMEOUT)
            self.wait_drawn()
            self._exit = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def order(self, colour: int, *, in_square: bool = False) -> None:
        """Have it fill everything, or the square, with the colour of that number."""
        self._serial.sendall(payload.order(colour, in_square=in_square))

    def wait_drawn(self) -> None:
        """Wait until it has done what it was told; once for each order."""
        if self._serial.recv(1) != payload.DONE:
            raise ConnectionError("QEMU has ended")
