"""When the guest's picture is read, and what becomes of one that cannot be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from glview.errors import NoGraphicsError
from glview.present.presenter import Presenter
from glview.scanout.geometry import Rect
from glview.scanout.screen import REST, Screen
from glview.scanout.source import DmabufSource, Source
from glview.ui.notice import Notice

log = logging.getLogger(__name__)

PROBLEM_SHOWN = 10.0  # seconds


class Intake:
    """Hands what `screen` wants to show to `presenter`, once there is one.

    `on_refused(source)` is told of a dma-buf that cannot be imported, which is the
    callee's if that says that it will be copied. What the user should know of that
    goes to `notice`. `hidden`: nothing will be shown.
    """

    def __init__(
        self, screen: Screen, notice: Notice, on_refused: Callable[[DmabufSource], bool]
    ) -> None:
        self._screen = screen
        self._notice = notice
        self._on_refused = on_refused
        self.presenter: Presenter | None = None
        self.hidden = False
        self._refused: Source | None = None
        self._presented: Source | None = None  # read at least once
        self._reading: Rect | None = None  # damage that was read last
        self._torn = False
        self._told_copied = False

    # -- a dma-buf, which is read while QEMU waits -------------------------

    @property
    def unread(self) -> bool:
        """Whether a dma-buf has changed that will be shown."""
        source = self._screen.source
        there = isinstance(source, DmabufSource) and self.presenter is not None
        return there and self._screen.damage is not None and not self.hidden

    @property
    def rested(self) -> bool:
        """Whether the guest has left its buffer alone for so long that it may be read unasked."""
        return time.monotonic() >= self._screen.rest_at

    @property
    def deadline(self) -> float | None:
        """When that is so of something unread (monotonic seconds)."""
        return self._screen.rest_at if self.unread else None

    def read(self) -> None:
        """Copy what has changed of the dma-buf; it is read until `released`."""
        self._reading = self._screen.damage
        self._torn = False
        self._accept()

    def released(self) -> bool:
        """Whether the guest's buffer is no longer read."""
        return self.presenter is None or self.presenter.released()

    def tear(self) -> None:
        """The guest was let go on before the last `read` was over: it does not count."""
        if self._reading is not None and isinstance(self._screen.source, DmabufSource):
            self._torn = True
            self._screen.unread(self._reading, time.monotonic() + REST)

    @property
    def incomplete(self) -> bool:
        """Whether the picture at hand is not one that the guest has ever made."""
        if not isinstance(self._screen.source, DmabufSource):
            return False
        return self._torn or (self.unread and self._presented is not self._screen.source)

    # -- any picture -------------------------------------------------------

    def catch_up(self) -> None:
        """A frame is about to be drawn: have all of the picture that may be read at any time."""
        if not isinstance(self._screen.source, DmabufSource):
            self._accept()

    def end(self) -> None:
        """No more will come, and nobody changes what has: have all of it, and keep it."""
        self._torn = False
        self._accept()
        if self.presenter is not None:
            self.presenter.keep()

    def _accept(self) -> None:
        source, damage = self._screen.source, self._screen.read()
        if source is None or damage is None or self.presenter is None:
            return
        self._presented = source
        if source is self._refused:
            return  # said already; trying again would not help
        try:
            self.presenter.accept(source, damage)
            if self._refused is not None and self._notice.deadline is None:
                self._notice.clear()
            self._refused = None
        except NoGraphicsError as error:
            self._refused = source
            self._say_refused(source, error)

    def _say_refused(self, source: Source, error: NoGraphicsError) -> None:
        text = str(error)
        if not isinstance(source, DmabufSource) or not self._on_refused(source):
            log.error("%s", text)
            self._notice.show(text)
            source.close()
            return
        log.warning("the picture is copied by the CPU: %s", text)
        if not self._told_copied:  # once: the picture itself is fine
            self._told_copied = True
            text = f"The picture is copied by the CPU, which is slower: {text}"
            self._notice.show(text, until=time.monotonic() + PROBLEM_SHOWN)
