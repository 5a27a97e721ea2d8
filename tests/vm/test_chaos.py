"""Chaos around two viewers: whatever is killed or stopped, they end, reply, and lift their keys.

`GLVIEW_CHAOS=SECONDS` makes the long run as long, `GLVIEW_SEED=N` repeats one.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.support.chaos.meter import percentile
from tests.support.chaos.play import Found, play

SECONDS = float(os.environ.get("GLVIEW_CHAOS", "900"))
SEED = int(os.environ.get("GLVIEW_SEED", "1"))
SHORT = 15.0
ROUND = 60.0
"""Seconds with viewers."""

COMPARED = 3
"""Every so many rounds the same one follows without viewers."""

QMP_RATIO = 1.2
"""With viewers to without, of what 99.9 % of QMP's answers take at most."""


def test_a_short_chaos(tmp_path: Path) -> None:
    """A short round, without the bounds in time, holds beside other tests."""
    found = play(tmp_path / "round", SEED, SHORT, viewers=True)
    assert not found.faults, "\n\n".join(found.faults)
    assert found.counts["start"] > 4
    assert found.replies


@pytest.mark.long
@pytest.mark.timeout(int(3 * SECONDS + 600))
def test_chaos(tmp_path: Path) -> None:
    rounds = max(1, round(SECONDS / ROUND))
    with_viewers, without = [], []
    for number in range(rounds):
        seed, seconds = SEED + number, SECONDS / rounds
        with_viewers.append(play(tmp_path / f"with{number}", seed, seconds, viewers=True))
        if number % COMPARED == 0:
            without.append(play(tmp_path / f"without{number}", seed, seconds, viewers=False))
    report(with_viewers, without)
    faults = [fault for found in (*with_viewers, *without) for fault in found.faults]
    assert not faults, "\n\n".join(faults)
    late = [late for found in with_viewers for late in found.late]
    assert not late
    assert qmp(with_viewers) <= QMP_RATIO * qmp(without)


def qmp(rounds: list[Found]) -> float:
    """Return the time that 99.9 % of QMP's answers took at most, less waits for a CPU."""
    return percentile([sample.own for found in rounds for sample in found.samples], 0.999)


def report(with_viewers: list[Found], without: list[Found]) -> None:
    """Print what happened and what was measured."""
    counts = sum((found.counts for found in with_viewers), Counter[str]())
    replies = sum(found.replies for found in with_viewers)
    print(f"{replies} replies; {dict(sorted(counts.items()))}")
    for found in with_viewers:
        for late in found.late:
            print(late)
    for name, rounds in (("with viewers", with_viewers), ("without", without)):
        samples = [sample for found in rounds for sample in found.samples]
        for what, times in (
            ("took", [sample.took for sample in samples]),
            ("without waits for a CPU", [sample.own for sample in samples]),
        ):
            shares = " / ".join(
                f"{percentile(times, share) * 1000:.2f}" for share in (0.5, 0.99, 0.999, 1.0)
            )
            print(f"QMP {name}, {len(times)} answers, {what}: {shares} ms (50, 99, 99.9, 100 %)")
