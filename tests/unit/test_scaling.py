"""What `bench.scaling` says of given values, and what it fails on."""

from __future__ import annotations

import pytest

from bench import plots, scaling
from bench.figures import SHM
from bench.report import Result, Update
from bench.scaling import CHANGES, SIZES, Costs
from bench.viewers import FLOOR

Rates = dict[str, float]
"""Seconds that an update takes at each size."""

EVEN: Rates = {"720p": 1.0, "1080p": 2.0, "4K": 8.0, "8K": 32.0}


def result(*, square: Rates | None = None, full: Rates | None = None) -> Result:
    """Every change by map; the floor needs the time of `EVEN`, glview too but for what is given."""
    given = {"64x64": square, "full": full}
    updates = []
    for viewer in (FLOOR, SHM):
        for change in CHANGES:
            rates = given.get(change) if viewer == SHM else None
            for size, pixels in SIZES.items():
                update = Update(viewer, *pixels, "map", change)
                seconds = (rates or ({size: 1.0} if change == "64x64" else EVEN))[size]
                update.latency = [seconds / 2, seconds, seconds * 9]
                update.viewer_cpu, update.server_cpu = [seconds / 10], [0.001]
                updates.append(update)
    return Result({"cpu": "one"}, updates)


def unmet(result: Result) -> list[str]:
    return [limit.question for limit in scaling.limits(Costs(result)) if not limit.met]


def test_the_same_as_the_floor_is_met() -> None:
    assert unmet(result()) == []
    assert len(list(scaling.limits(Costs(result())))) == 4


@pytest.mark.parametrize(("seconds", "met"), [(2.0, True), (2.1, False)])
def test_a_square_costs_the_same_on_a_large_screen(seconds: float, met: bool) -> None:
    found = unmet(result(square={"720p": 1.0, "1080p": 1.0, "4K": 1.0, "8K": seconds}))
    questions = [f"map 64x64, {what}: 8K beside 720p" for what in ("to screen", "viewer CPU")]
    assert found == ([] if met else questions)


@pytest.mark.parametrize(("more", "met"), [(1.19, True), (1.21, False)])
def test_full_frames_grow_as_the_floors_do(more: float, met: bool) -> None:
    """It is the growth that counts: what they cost at any size has nothing to do with it."""
    own = {size: 50.0 + more * seconds for size, seconds in EVEN.items()}
    found = unmet(result(full=own))
    name = "map full, {}: growth from 1080p to 8K beside the floor's"
    assert found == ([] if met else [name.format("to screen"), name.format("viewer CPU")])


def test_what_was_never_shown_meets_nothing() -> None:
    lost = result()
    for update in lost.updates:
        if (update.viewer, update.height, update.change) == (SHM, 4320, "64x64"):
            update.latency = []
    assert unmet(lost) == ["map 64x64, to screen: 8K beside 720p"]


def test_table() -> None:
    text = scaling.markdown(result(square={"720p": 1.0, "1080p": 1.0, "4K": 1.0, "8K": 2.5}))
    shown = "1000 / 100 / 1.00 | 2000 / 200 / 1.00 | 8000 / 800 / 1.00 | 32000 / 3200 / 1.00"
    assert f"| map | full | {SHM} | {shown} |" in text
    assert f"| map 64x64, to screen: 8K beside 720p | {SHM} | 2.50 | <= 2 x | **not met** |" in text
    assert text.endswith("\n\ncpu: one\n")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", SIZES.values())
def test_changes_lie_on_the_screen(change: str, size: tuple[int, int]) -> None:
    x, y, width, height = CHANGES[change](*size)
    assert x >= 0
    assert y >= 0
    assert x + width <= size[0]
    assert y + height <= size[1]
    share = {"1 px": 1, "64x64": 4096, "25 %": size[0] * size[1] // 4, "full": size[0] * size[1]}
    assert width * height == share[change]


def test_lines_of_a_plot() -> None:
    lines = plots.lines(result().as_dict()["updates"])
    assert len(lines) == 2 * len(CHANGES) * 2  # viewers, and questions
    line = next(line for line in lines if line.panel == ("full", "viewer_cpu"))
    assert (line.viewer, line.via) == (FLOOR, "map")
    sizes, times = zip(*line.points, strict=True)
    assert sizes == pytest.approx((0.9216, 2.0736, 8.2944, 33.1776))  # million pixels
    assert times == pytest.approx((100.0, 200.0, 800.0, 3200.0))


def test_what_was_never_shown_has_no_line() -> None:
    rows = result().as_dict()["updates"]
    for row in rows:
        row["latency"] = []
    assert {line.panel[1] for line in plots.lines(rows)} == {"viewer_cpu"}
