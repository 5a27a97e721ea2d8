"""What every question of `python -m bench.table` has for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

SHM, SWAP = "glview, shm", "glview, swap"
READER, BARE = "C reader", "bare window"


@dataclass
class Figure:
    """The values that a viewer reached, in the unit of its question; the median counts."""

    question: str
    viewer: str
    values: list[float]

    @property
    def value(self) -> float:
        """The median."""
        return median(self.values)
