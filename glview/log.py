"""Log records: one line each on the standard error, of printable characters."""

from __future__ import annotations

import contextlib
import logging
import sys

from glview.text import printable, printable_lines

_LONGEST = 2000  # characters of a message

log = logging.getLogger(__name__)


class Formatter(logging.Formatter):
    """Makes each record printable, whatever the names and texts in it hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line; a traceback, where it has one, follows in lines."""
        line = f"glview: {printable(record.getMessage(), _LONGEST)}"
        if record.exc_info:
            line += "\n" + printable_lines(self.formatException(record.exc_info), 8 * _LONGEST)
        return line


def set_up(verbose: int) -> None:
    """Write records of the level that `-v`, given `verbose` times, asks for."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, handlers=[handler])
    for library in ("OpenGL", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)  # Python's own: of no use to a user
    logging.getLogger("py.warnings").setLevel(logging.WARNING if verbose else logging.CRITICAL)
    sys.unraisablehook = _ignored


def _ignored(found: sys.UnraisableHookArgs) -> None:
    """Write what Python would say of an exception in a finaliser, with `-v` alone."""
    with contextlib.suppress(MemoryError):
        log.info(
            "ignored: %s in %s", found.exc_type.__name__, found.object, exc_info=found.exc_value
        )


def traceback_of(error: BaseException) -> None:
    """Write where an unforeseen error came from, with `-v`."""
    log.info("%s", error, exc_info=error)
