"""How late a viewer replies, by the system calls of the QEMU that waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from tests.support.cpuwait import CpuWait
from tests.support.strace import Answer


class Span(NamedTuple):
    """An interval in Unix time."""

    start: float
    end: float

    def meets(self, start: float, end: float) -> bool:
        """Return True if the interval shares a moment with another one."""
        return self.start <= end and start <= self.end


def calm(spans: Iterable[Span], start: float, end: float) -> bool:
    """Return True if nothing in `spans` happened between two Unix times."""
    return not any(span.meets(start, end) for span in spans)


class Late(NamedTuple):
    """A reply that came too late: seconds it took, and those of them without a CPU."""

    member: str
    asked: float
    took: float
    waited: float


WITHIN = 0.020
"""Seconds in which a viewer has to reply, less those that its threads wait for a CPU."""


def late_replies(
    answers: list[Answer],
    unanswered: list[tuple[str, float]],
    spans: list[Span],
    ends: list[float],
    waits: CpuWait,
) -> list[Late]:
    """Return those that came later than `WITHIN`, or never, without an excuse.

    A process that stands still (`spans`) or has ended (`ends`, Unix times) replies nothing.
    """
    now = time.time()
    waiting = [
        Answer(member, asked, min((end for end in ends if end > asked), default=now) - asked)
        for member, asked in unanswered
    ]
    late = []
    for answer in (*answers, *waiting):
        end = answer.asked + answer.took
        if answer.took >= WITHIN and calm(spans, answer.asked, end):
            waited = waits.during(answer.asked, end)
            if answer.took - waited >= WITHIN:
                late.append(Late(*answer, waited))
    return late
