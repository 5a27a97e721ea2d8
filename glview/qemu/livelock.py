"""A guest whose flush never ends, kept from taking up all of the machine.

QEMU puts off a flush of a blob resource while a viewer has not answered, and
then does it again. To a guest that asked for no fence it replies only after
that; so the guest waits for ever, and QEMU sends the same UpdateDMABUF as
fast as it is answered. (hw/display/virtio-gpu.c, virtio_gpu_process_cmdq)

No other guest has to suffer for that one. It is known by this: a buffer of
guest memory, whose layout QEMU does not tell (as of 10.2); of it, always the
whole; and for a second nearly each update comes right behind the answer to the
one before, when a guest that draws takes its time. Then updates are passed on no
faster than a screen shows them, for as long as that is so of most of them.
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

AFTER = 1.0  # seconds that updates are looked at together
BEHIND = 0.001  # seconds from an answer to an update that QEMU sends by itself
LATE, STILL = 0.1, 0.5  # how many may come later on a busy machine: at first, and then
REST = 0.1  # seconds that no such guest is ever silent
FRAME = 1 / 60  # seconds, what an update is held back for at most


class Livelock:
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
        self._came = self._passed = now
        self._holding = False
        self._look_anew(now)

    def _look_anew(self, now: float) -> None:
        self._since = now
        self._count = self._late = 0

    def scanout(self, source: DmabufSource) -> None:
        """The guest has got so far as to show another buffer."""
        self._start(time.monotonic())
        own = _is_guests_own(source)
        self._whole = Rect(0, 0, source.width, source.height) if own else None

    def update(self, rect: Rect, serial: int) -> None:
        """Pass it on, now or when it is due."""
        if self._whole is None:
            self._pass_on(rect, serial)
            return
        now, answered = time.monotonic(), self._answered()
        if answered < self._came or rect != self._whole or now - answered > REST:
            self._start(now)
        self._came = now
        self._count += 1
        self._late += now - answered > BEHIND
        if now - self._since >= AFTER:
            self._judge()
            self._look_anew(now)
        if self._holding and now < self._passed + FRAME:
            self._held, self.due = (rect, serial), self._passed + FRAME
        else:
            self._passed = now
            self._pass_on(rect, serial)

    def _judge(self) -> None:
        endless = self._late <= self._count * (STILL if self._holding else LATE)
        if endless and not self._holding:
            log.info("the guest's flush never ends: its updates are held back to 60 a second")
        self._holding = endless

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
