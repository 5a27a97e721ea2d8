"""Threads that cannot end in silence.

Every thread of glview is a `Thread` of this module (a test looks for others), so an
exception that nobody foresaw always reaches somebody: as one line that names the thread,
handed to the thread's owner, and as a traceback in the log with ``-v``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from glview.errors import ResourceError
from glview.text import printable

log = logging.getLogger(__name__)

_TEXT_LIMIT = 200  # characters of an exception's own text
_NO_MEMORY = "out of memory"  # not even enough to say where


class Thread(threading.Thread):
    """A daemon thread that runs `body`, and `failed(line)` if that raises anything.

    `failed` runs on the thread and must not raise. `line` names thread, exception and
    text; the traceback is logged at level INFO.
    """

    def __init__(
        self, name: str, body: Callable[[], object], failed: Callable[[str], object]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._body = body
        self._failed = failed

    def start(self) -> None:
        """Begin. Raises `ResourceError` where the system has no thread left."""
        started = self.ident is not None
        try:
            super().start()
        except (RuntimeError, MemoryError) as error:
            if started:
                raise
            raise ResourceError(
                f"no new thread could be started ({self.name})",
                "the limit on processes (ulimit -u) or on memory is reached",
            ) from error

    def run(self) -> None:
        """Run the body. Called by `start`."""
        try:
            self._body()
        except BaseException as error:  # SystemExit, too, would end the thread in silence
            try:
                line = describe(f"the {self.name} thread", error)
            except MemoryError:
                line = _NO_MEMORY
            self._failed(line)


def describe(where: str, error: BaseException) -> str:
    """Return one line about an exception that nobody foresaw; log its traceback at level INFO.

    `where` completes the sentence "glview failed in ...".
    """
    log.info("the exception in %s:", where, exc_info=error)
    if isinstance(error, MemoryError):
        return f"out of memory in {where}"
    text = printable(str(error), _TEXT_LIMIT)
    kind = type(error).__name__
    return f"glview failed in {where}: {kind}{f': {text}' if text else ''} (-v shows where)"
