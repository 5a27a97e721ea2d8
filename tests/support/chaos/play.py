"""One round of chaos, and what it has shown."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.support.chaos.actions import ACTIONS, ENDING
from tests.support.chaos.lateness import Late
from tests.support.chaos.meter import Sample
from tests.support.chaos.seat import Seat
from tests.support.chaos.world import World
from tests.support.viewer import Viewer

EVERY = 0.8
"""Seconds between two things that happen, on average."""

CALM = 6.0
"""Seconds between two moments at which nobody holds a key and nothing stands still."""

START = 0.8
"""Seconds of a viewer's start, at each moment of which a signal has to end it in order."""


class Found(NamedTuple):
    """Outcome of a chaos run: faults, QMP times, late replies, replies in all, and counts."""

    faults: list[str]
    samples: list[Sample]
    late: list[Late]
    replies: int
    counts: Counter[str]


def play(folder: Path, seed: int, seconds: float, *, viewers: bool) -> Found:
    """Play one round, then start viewers that are signalled at once for a fifth of that time.

    QMP is measured in the round alone: each start has QEMU stand still for a registration.
    """
    folder.mkdir()
    with World(folder, viewers=viewers) as world:
        begin = time.time()
        _happen(world, random.Random(seed), seconds)
        end = time.time()
        if viewers:
            _try_starts(world, random.Random(seed), seconds / 5)
        world.come_to_rest()
    seats = world.seats
    faults = [f"seed {seed}: {fault}" for fault in world.faults]
    samples = [sample for seat in seats for sample in seat.samples() if begin < sample.asked < end]
    late = [late for seat in seats for late in seat.late]
    return Found(faults, samples, late, sum(seat.replies for seat in seats), world.counts)


def _happen(world: World, rng: random.Random, seconds: float) -> None:
    """Have one thing after the other happen."""
    begin, at, calm = time.monotonic(), 0.0, CALM
    while time.monotonic() < begin + seconds:
        if time.monotonic() >= begin + calm:
            world.calm()
            calm += CALM
        if time.monotonic() >= begin + at:
            (action,) = rng.choices(list(ACTIONS), list(ACTIONS.values()))
            action(world, rng.choice(world.seats), random.Random(rng.random()))
            at += rng.expovariate(1 / EVERY)
        world.turn()


def _try_starts(world: World, rng: random.Random, seconds: float) -> None:
    """Start one viewer after the other, and signal each at some moment of its start."""

    def signal_at(moment: float, seat: Seat, viewer: Viewer, number: signal.Signals) -> None:
        def send() -> None:
            if seat.viewer is viewer:
                world.leave(seat, number)

        world.later(moment, send)

    def started(seat: Seat, viewer: Viewer) -> None:
        signal_at(rng.uniform(0.0, START), seat, viewer, rng.choice(ENDING))

    world.started = started
    for seat in world.seats:
        world.leave(seat, rng.choice(ENDING))
    _happen(world, rng, seconds)
