"""Which errors waiting can mend, and how long to wait before another attempt."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable

from glview.errors import (
    AddressError,
    AmbiguousVmError,
    AuthError,
    CallError,
    ConnectError,
    GlviewError,
    InternalError,
    NoAnswerError,
    NoConsoleError,
    NoDescriptorsError,
    NotDBusError,
    NoVmError,
    ProtocolError,
    QmpError,
    QmpRefusedError,
    ResourceError,
    VmGoneError,
)

MENDED: dict[type[GlviewError], bool] = {
    AddressError: False,  # the same text means the same the next time
    ConnectError: True,  # no socket yet, nobody listens yet, permissions are set a moment later
    NotDBusError: False,
    NoAnswerError: True,  # stopped, busy, or at its limit of connections
    AuthError: False,
    NoVmError: True,
    AmbiguousVmError: False,  # the user has to choose
    NoConsoleError: False,  # a VM has all its consoles from the start
    QmpError: True,  # no socket yet, another client is connected, QEMU is stopped
    QmpRefusedError: False,
    VmGoneError: True,
    CallError: True,  # but see below
    ProtocolError: False,
    ResourceError: True,  # others may give some back
    InternalError: False,
    NoDescriptorsError: False,
}
"""For each class of error, True if a failed attempt to connect may succeed later.

A class that is not here counts as the nearest of its bases that is.
"""

REFUSALS = frozenset(
    f"org.freedesktop.DBus.Error.{name}"
    for name in ("AccessDenied", "AuthFailed", "InteractiveAuthorizationRequired", "NotSupported")
)
"""D-Bus errors of calls that are repeated in vain: a policy forbids them."""

_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}


def mends(error: Exception) -> bool:
    """Return whether waiting may mend what this error tells of."""
    if isinstance(error, OSError):
        return error.errno in _SHORTAGES
    if isinstance(error, CallError) and error.name in REFUSALS:
        return False
    known = (MENDED[base] for base in type(error).__mro__ if base in MENDED)
    return next(known, False)


def is_absence(error: BaseException) -> bool:
    """Return whether this error tells only that nobody listens there, or not yet."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    absent = errno.ENOENT, errno.ECONNREFUSED
    return isinstance(error, NoVmError) or (cause is not None and cause.errno in absent)


class Backoff:
    """Delays between attempts: `first` seconds, then each twice the one before, up to `most`.

    After a success that lasted `stable` seconds the next attempt comes at once, and a new
    series begins. Each delay is up to a quarter shorter or longer, so that several viewers
    do not come at the same moment.
    """

    JITTER = 0.25

    def __init__(
        self,
        first: float,
        most: float,
        stable: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first, self._most, self._stable, self._clock = first, most, stable, clock
        self._in_a_row = 0
        self._began: float | None = None

    @property
    def in_a_row(self) -> int:
        """Count the attempts in a row that failed or did not last."""
        return self._in_a_row

    def begin(self) -> None:
        """Note that an attempt has succeeded, for now."""
        self._began = self._clock()

    def reset(self) -> None:
        """Begin a new series: what failed before says nothing about the next attempt."""
        self._in_a_row, self._began = 0, None

    def delay(self) -> float:
        """Return how long to wait after an attempt that failed, or whose success has ended."""
        began, self._began = self._began, None
        if began is not None and self._clock() - began >= self._stable:
            self._in_a_row = 0
            return 0.0
        self._in_a_row += 1
        doubled: float = self._first * 2.0 ** min(self._in_a_row - 1, 30)
        return min(doubled, self._most) * random.uniform(1 - self.JITTER, 1 + self.JITTER)
