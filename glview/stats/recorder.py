"""What happened to each update, and when: all by one clock, CLOCK_MONOTONIC in seconds.

The listener thread numbers updates as they come. Every later stage takes *all*
that have come so far, so it is a number that says how far it has got, and
nothing grows: the newest `KEPT` updates are remembered, the rest is counted.
docs/stats.md says what each stage means.

Stages are to be told of only while `on`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KEPT = 2048
"""Updates that are remembered."""

BYTES, MAP, DMABUF, COPIED = "bytes", "map", "dma-buf", "dma-buf by CPU"
"""How updates come."""


class Frame:
    """What the main thread did with the updates `first` to `last`, none where `last` < `first`.

    `shown` stays 0.0 where the window system does not tell.
    """

    def __init__(
        self,
        number: int,
        span: tuple[int, int],
        read: tuple[float, float],
        drawing: float,
        drawn: float,
    ) -> None:
        self.number = number
        self.first, self.last = span
        self.begun, self.accepted = read  # the upload, or having the GPU copy
        self.drawing = drawing
        self.drawn = drawn
        self.swapped = self.shown = 0.0


class Update:
    """One message that says that pixels have changed. Times are 0.0 until they come.

    `replied` is when QEMU had its answer; where it wants none, when the
    listener thread was through with the message.
    """

    def __init__(
        self, number: int, transport: str, serial: int, arrived: float, received: float
    ) -> None:
        self.number = number
        self.transport = transport
        self.serial = serial  # of the call, 0 where it wants no answer
        self.arrived = arrived  # its header
        self.received = received  # all of it
        self.noted = 0.0  # it is in the mailbox
        self.replied = 0.0
        self.looked = 0.0  # the main thread has taken it out
        self.frame: Frame | None = None


class Recorder:
    """The stages call in as they pass; nothing is recorded unless `on`.

    `sink` gets every frame that is through, with the updates it shows that are remembered.
    Counts so far: `offered` updates, `frames` shown with at least one of them,
    `uploaded` bytes; `buffers` are what became of the guest's, dma-bufs or shared
    memory: (imports, hits, evictions).
    """

    def __init__(self) -> None:
        self.on = False
        self.offered = self.frames = self.uploaded = 0
        self.buffers = (0, 0, 0)
        self.sink: Callable[[Frame, list[Update]], None] | None = None
        self._users = 0
        self._ring: list[Update | None] = [None] * KEPT
        self._waiting: dict[int, Update] = {}  # for an answer, by serial
        self._arrived = 0.0
        self._noted = self._looked = self._accepted = self._drawn = 0  # so far, each
        self._reading: tuple[float, float] | None = None  # begun, accepted
        self._frame: Frame | None = None
        self._drawings = self._lost = 0

    def start(self) -> None:
        """Record until as many calls of `stop`."""
        self._users += 1
        if not self.on:
            self._arrived = time.monotonic()  # of the message that is being received, if any
        self.on = True

    def stop(self) -> None:
        """See `start`."""
        self._users -= 1
        self.on = self._users > 0
        if not self.on:
            self.forget()

    def forget(self) -> None:
        """Nothing that is under way will be shown any more."""
        self._lost += self.offered - self._drawn
        self._noted = self._looked = self._accepted = self._drawn = self.offered
        self._waiting.clear()

    @property
    def drops(self) -> int:
        """Updates that no frame was drawn for: a later one took their place, or nothing did."""
        return self._lost + max(0, self.offered - self._drawn - 1)

    def newest(self) -> list[Update]:
        """The updates that are remembered, in no order."""
        return [update for update in self._ring if update is not None]

    def _between(self, after: int, last: int) -> list[Update]:
        """Those of the updates `after` + 1 to `last` that are remembered."""
        numbers = range(max(after, last - KEPT) + 1, last + 1)
        found = [self._ring[number % KEPT] for number in numbers]
        return [update for update in found if update is not None and after < update.number <= last]

    # -- listener thread ---------------------------------------------------

    def arrive(self) -> None:
        """The header of a message is here."""
        self._arrived = time.monotonic()

    def offer(self, transport: str, serial: int = 0) -> None:
        """The message is an update, and all of it has been received."""
        number = self.offered + 1
        update = Update(number, transport, serial, self._arrived, time.monotonic())
        self._ring[number % KEPT] = update
        if serial:
            self._waiting[serial] = update
        self.offered = number

    def note(self) -> None:
        """What was offered is in the mailbox, whose lock is held."""
        now, last = time.monotonic(), self.offered
        for update in self._between(self._noted, last):
            update.noted = now
            if not update.serial:
                update.replied = now
        self._noted = last

    def reply(self, serial: int) -> None:
        """An answer was sent, perhaps to an update. Any thread."""
        update = self._waiting.pop(serial, None)
        if update is not None:
            update.replied = time.monotonic()

    # -- main thread -------------------------------------------------------

    def look(self) -> None:
        """What was noted is the main thread's now; the mailbox's lock is held."""
        now = time.monotonic()
        for update in self._between(self._looked, self._noted):
            update.looked = now
        self._looked = self._noted

    def accept(self, begun: float, uploaded: int) -> None:
        """What was looked at is in the picture; for that, `uploaded` bytes were copied."""
        self._reading = begun, time.monotonic()
        self._accepted = self._looked
        self.uploaded += uploaded

    def draw(self, drawing: float) -> None:
        """A frame of the picture was drawn."""
        self._drawings += 1
        read = self._reading or (drawing, drawing)
        span = self._drawn + 1, self._accepted
        self._frame = Frame(self._drawings, span, read, drawing, time.monotonic())
        self._lost += max(0, self._accepted - self._drawn - 1)
        self._drawn, self._reading = self._accepted, None

    def swap(self) -> Frame | None:
        """That frame is on its way to the screen; None where it was drawn unrecorded."""
        frame, self._frame = self._frame, None
        if frame is not None:
            frame.swapped = time.monotonic()
            self.frames += frame.last >= frame.first
            for update in self._between(frame.first - 1, frame.last):
                update.frame = frame
        return frame

    def finish(self, frame: Frame, *, shown: bool) -> None:
        """That frame is through; `shown` where the window system has just said so."""
        if shown:
            frame.shown = time.monotonic()
        if self.sink is not None:
            self.sink(frame, self._between(frame.first - 1, frame.last))


OFF = Recorder()
"""For whoever is given no other; never on."""
