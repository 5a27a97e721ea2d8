"""A guest whose flush never ends, kept from taking up all of the machine.

QEMU puts off a flush of a blob resource while a viewer has not answered, and
then does it again. To a guest that asked for no fence it replies only after
that; so the guest waits for ever, and QEMU sends the same UpdateDMABUF as
fast as it is answered. (hw/display/virtio-gpu.c, virtio_gpu_process_cmdq)

No other guest has to suffer for that one. It is known by this: a buffer of
guest memory, whose layout QEMU does not tell (as of 10.2); of it, always the
whole; each update right behind the answer to the one before, when any guest
that draws takes longer to; and nothing else for a second. Then its updates are
passed on no faster than a screen shows them, until it rests for that long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from glview.scanout.copier import is_plain_memory
from glview.scanout.formats import MOD_INVALID
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource

log = logging.getLogger(__name__)

AFTER = 1.0  # seconds of nothing else
BEHIND = 0.002  # seconds from an answer to an update that QEMU sends by itself
FRAME = 1 / 60  # seconds, what a paced update is held back for at most


class Pacer:
    """Passes updates on to `pass_on(rect, serial)`. Belongs to the listener's thread.

    `answered` tells when an update was answered last, `due` is when `tick` has
    something to do (monotonic seconds), or None.
    """

    def __init__(self, pass_on: Callable[[Rect, int], None], answered: Callable[[], float]) -> None:
        self._pass_on = pass_on
        self._answered = answered
        self._whole: Rect | None = None  # the rectangle of such a guest's updates
        self._held: tuple[Rect, int] | None = None
        self.due: float | None = None
        self._start(0.0)

    def _start(self, now: float) -> None:
        self._since = self._came = self._passed = now
        self._paced = False

    def scanout(self, source: DmabufSource) -> None:
        """The guest has got so far as to show another buffer."""
        self._start(time.monotonic())
        own = _is_guests_own(source)
        self._whole = Rect(0, 0, source.width, source.height) if own else None

    def update(self, rect: Rect, serial: int) -> None:
        """Pass it on, now or when it is due."""
        now, answered = time.monotonic(), self._answered()
        rested = now - answered > (FRAME if self._paced else BEHIND)
        if rested or answered < self._came or rect != self._whole:
            self._start(now)
        self._came = now
        if not self._paced and now - self._since >= AFTER:
            self._paced = True
            log.info("the guest's flush never ends: its updates are held back to 60 a second")
        if self._paced and now < self._passed + FRAME:
            self._held, self.due = (rect, serial), self._passed + FRAME
        else:
            self._passed = now
            self._pass_on(rect, serial)

    def tick(self, now: float) -> None:
        """Pass on what is due."""
        if self.due is not None and now >= self.due:
            self.release()

    def release(self) -> None:
        """Pass on what is held."""
        if self._held is not None:
            held, self._held, self.due = self._held, None, None
            self._passed = time.monotonic()
            self._pass_on(*held)


def _is_guests_own(source: DmabufSource) -> bool:
    if source.modifier != MOD_INVALID or source.y0_top or len(source.planes) != 1:
        return False
    try:
        return is_plain_memory(source.planes[0].fd)
    except OSError:
        return False
