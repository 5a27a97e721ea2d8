"""When a swap is due: by the rate of the monitor that the window is on.

The monitors are made up: an X server without a graphics card has one, without a rate.
"""

from __future__ import annotations

import time
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from glview.ui import refresh
from glview.ui.refresh import DEFAULT_RATE, LEAD, Refresh

SIZE = 200, 100


def desktop(*rates: int) -> ModuleType:
    """GLFW with monitors of 1000x800 side by side, and a window on the first of them."""
    modes = [
        SimpleNamespace(refresh_rate=rate, size=SimpleNamespace(width=1000, height=800))
        for rate in rates
    ]
    glfw = SimpleNamespace(
        get_monitors=lambda: range(len(rates)),
        get_video_mode=lambda monitor: modes[monitor],
        get_monitor_pos=lambda monitor: (1000 * monitor, 0),
        get_window_pos=lambda window: (0, 0),
        get_window_size=lambda window: SIZE,
    )
    return cast(ModuleType, glfw)


def period(timer: Refresh) -> float:
    """Seconds between swaps, when there are too many of them."""
    timer.swapped()
    for _ in range(200):
        timer.swapped()
    before = timer.next
    timer.swapped()
    return timer.next - before


@pytest.mark.parametrize(
    ("rates", "place", "rate"),
    [
        ((144, 30), (0, 0), 144),
        ((144, 30), (950, 300), 30),  # its middle counts
        ((144, 30), (890, 300), 144),
        ((144, 30), (-500, 0), 144),  # off every monitor
        ((0,), (0, 0), DEFAULT_RATE),
        ((), (0, 0), DEFAULT_RATE),
    ],
)
def test_rate(rates: tuple[int, ...], place: tuple[int, int], rate: float) -> None:
    timer = Refresh(desktop(*rates), None)
    timer.moved(*place, SIZE)
    assert period(timer) == pytest.approx(1 / rate)


def test_a_few_swaps_are_never_too_many() -> None:
    timer = Refresh(desktop(60), None)
    assert timer.next == 0.0
    for _ in range(int(60 * LEAD)):
        assert timer.next <= time.monotonic()
        timer.swapped()
    timer.swapped()
    assert timer.next > time.monotonic()


def test_monitors_are_not_asked_with_each_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the X server; soon is early enough."""
    timer = Refresh(desktop(144, 30), None)
    assert period(timer) < 1 / 100
    timer.moved(1500, 0, SIZE)
    assert period(timer) < 1 / 100
    monkeypatch.setattr(refresh, "_LOOK_AFTER", 0.0)
    assert period(timer) > 1 / 60
