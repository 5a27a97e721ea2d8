"""A guest that changes as fast as the socket takes it, and what is left when it stops.

The source is a process of its own; see `bench.endurance`, which prints the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import endurance
from bench.endurance import KINDS, PRESENTERS, Flood
from bench.process import rss_mib
from tests.support import guests
from tests.support.flood import end_flood, settled
from tests.support.profile import requires
from tests.support.qemu import Qemu
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

MINUTE = 60.0
STARTING = 12.0  # MiB: in the first seconds OpenGL is loaded, and memory for pictures found
QEMU_HEAP = 12.0  # MiB: it takes a few steps, with whatever viewer (10 with the floor), and stays
SOME_TIME = 0.15  # seconds, half of what a picture may be late by on a busy machine
LOUD = [("map", "full"), ("bytes", "64x64"), ("dmabuf", "full")]


@pytest.mark.alone  # memory grows by more where the start is late
@pytest.mark.parametrize("present", PRESENTERS)
def test_a_moment(present: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of each. That the newest picture comes soon is for the bench to judge."""
    monkeypatch.setattr(endurance, "GROWTH", STARTING)
    monkeypatch.setattr(endurance, "SHORT", 0.2)
    monkeypatch.setattr(endurance, "REFRESH", SOME_TIME)
    floods = list(endurance.measure(LOUD, [present], 0.6, ends=4))
    print(endurance.table(floods))
    assert [fault for flood in floods for fault in flood.faults(min)] == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
@pytest.mark.parametrize("present", PRESENTERS)
def test_a_minute(present: str, kind: tuple[str, str]) -> None:
    floods = list(endurance.measure([kind], [present], MINUTE, endurance.ENDS))
    print(endurance.table(floods))
    assert [fault for flood in floods for fault in flood.faults()] == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "options", [pytest.param((), marks=requires("listener-map"), id="map"), ("--no-map",)]
)
def test_a_minute_of_qemu(
    options: tuple[str, ...],
    start_qemu: Callable[..., Qemu],
    start_viewer: Callable[..., Viewer],
    own_xvfb: Xvfb,
    tmp_path: Path,
) -> None:
    """The guest prints without end, on a graphics screen that it scrolls all the time."""
    qemu = start_qemu(options=guests.typewriter(tmp_path))
    qemu.wait_firmware("Booting from 0000:7c00")
    viewer = start_viewer(own_xvfb, "--qmp", qemu.qmp_path, *options)
    settled(qemu, viewer)
    qemu.cont()
    qemu.send_keys("f4", "esc")
    flood = Flood("glview", "QEMU", " ".join(options), MINUTE, late=[0.0])
    began = time.monotonic()
    while (now := time.monotonic()) < began + MINUTE:
        flood.times.append(now - began)
        flood.viewer.append(rss_mib(viewer.pid))
        flood.source.append(rss_mib(qemu.pid))
        time.sleep(endurance.SAMPLES)
    settled(qemu, viewer)
    qemu.cont()
    end_flood(qemu)
    print(endurance.table([flood]))
    assert flood.growth(flood.viewer) <= endurance.GROWTH
    assert flood.growth(flood.source) <= QEMU_HEAP
