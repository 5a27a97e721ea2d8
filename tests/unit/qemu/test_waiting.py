"""Which errors waiting mends, and how the delays between attempts grow."""

from __future__ import annotations

import errno

import pytest

from glview.dbus.transport import TIMEOUT
from glview.errors import (
    CallError,
    ConnectError,
    GlviewError,
    InstallError,
    LaunchError,
    NoDisplayError,
    NoGraphicsError,
    OutputError,
    QmpError,
    UsageError,
)
from glview.qemu.waiting import MENDED, Backoff, is_absence, mends

NEVER_ON_THE_WAY = {
    *(UsageError, NoDisplayError, NoGraphicsError, LaunchError, OutputError, InstallError),
}
"""Errors that no attempt to reach a VM raises."""


def test_every_kind_of_error_is_decided_about() -> None:
    kinds = set(GlviewError.__subclasses__()) - NEVER_ON_THE_WAY
    kinds = {kind for kind in kinds if kind.__module__ == "glview.errors"}
    assert kinds <= set(MENDED)


@pytest.mark.parametrize(
    ("name", "mended"),
    [
        (TIMEOUT, True),
        ("org.freedesktop.DBus.Error.NoReply", True),
        ("org.freedesktop.DBus.Error.LimitsExceeded", True),
        ("org.freedesktop.DBus.Error.ServiceUnknown", True),
        ("org.freedesktop.DBus.Error.AccessDenied", False),
    ],
)
def test_errors_of_calls_by_name(name: str, mended: bool) -> None:
    assert mends(CallError(name, "")) == mended


def test_other_exceptions() -> None:
    assert mends(OSError(errno.EMFILE, "too many"))
    assert not mends(OSError(errno.EINVAL, "wrong"))
    assert not mends(ValueError())


def test_what_is_only_not_there_yet() -> None:
    for number, absent in ((errno.ENOENT, True), (errno.ECONNREFUSED, True), (errno.EACCES, False)):
        error, outer = QmpError("no"), ConnectError("no")
        error.__cause__ = OSError(number, "no")
        outer.__cause__ = error
        assert is_absence(outer) == absent


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_delays_double_up_to_a_limit() -> None:
    backoff = Backoff(first=0.25, most=30.0, clock=Clock())
    delays = []
    for _ in range(200):
        backoff.begin()
        delays.append(backoff.delay())
    assert 0.18 < delays[0] < 0.32
    for number, delay in zip(range(7), delays, strict=False):
        assert 0.75 <= delay / (0.25 * 2**number) <= 1.25
    assert max(delays) <= 30 * 1.25
    assert all(delay >= 30 * 0.75 for delay in delays[7:])
    assert len({round(delay, 6) for delay in delays[7:]}) > 100, "no jitter"


def test_a_stable_while_begins_a_new_series() -> None:
    clock = Clock()
    backoff = Backoff(first=0.25, most=30.0, stable=10.0, clock=clock)
    for _ in range(5):
        backoff.begin()
        clock.now += 9.9
        backoff.delay()
    assert backoff.in_a_row == 5
    backoff.begin()
    clock.now += 10.0
    assert backoff.delay() == 0.0
    assert backoff.in_a_row == 0
    assert backoff.delay() < 0.32, "an attempt that never succeeded is not stable"


def test_an_hour_of_ends_at_once_is_few_attempts() -> None:
    clock = Clock()
    backoff = Backoff(first=0.25, most=30.0, clock=clock)
    attempts = 0
    while clock.now < 3600:
        backoff.begin()
        clock.now += 0.02 + backoff.delay()
        attempts += 1
    assert attempts < 200
