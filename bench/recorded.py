"""The ratios to the floor that glview has reached, so that losing them does not go unnoticed.

`recorded.json` is what `python -m bench --record` found on a machine at rest. A ratio fails
where it is more than `MARGIN` times that; runs on busy machines differ by half as much.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bench.report import Result, Update, times_floor
from bench.viewers import GLVIEW

FILE = Path(__file__).with_name("recorded.json")
MARGIN = 1.6
WHAT = "latency", "CPU"

Ratios = dict[str, dict[str, float]]


def ratios(result: Result) -> Ratios:
    """Of each kind of update, glview's medians as multiples of the floor's."""
    return {
        _name(update): dict(zip(WHAT, times_floor(update, result), strict=True))
        for update in result.updates
        if update.viewer == GLVIEW
    }


def write(result: Result, file: Path = FILE) -> None:
    """Keep what was reached."""
    rounded = {
        name: {what: round(times, 2) for what, times in found.items()}
        for name, found in ratios(result).items()
    }
    file.write_text(json.dumps(rounded, indent=1) + "\n")


def read(file: Path = FILE) -> Ratios:
    """What was kept. Raises OSError, ValueError."""
    kept: Ratios = json.loads(file.read_text())
    return kept


def failures(result: Result, kept: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """What got worse, or was never recorded: words about it by its name."""
    found = {}
    for name, reached in ratios(result).items():
        for what, times in reached.items():
            limit = MARGIN * kept.get(name, {}).get(what, 0.0)
            if times > limit:
                found[f"{name} {what}"] = f"{name}: {what} {times:.2f} x floor, limit {limit:.2f} x"
    return found


def _name(update: Update) -> str:
    return f"{update.width}x{update.height} {update.via} {update.change}"
