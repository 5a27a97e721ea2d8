"""A guest that changes as fast as the socket takes it, and what is left when it stops.

The source is a process of its own; see `bench.endurance`, which prints the same.
"""

from __future__ import annotations

import pytest

from bench import endurance
from bench.endurance import KINDS, PRESENTERS

STARTING = 24.0  # MiB: in the first seconds OpenGL is loaded, and memory for pictures found


@pytest.mark.parametrize("present", PRESENTERS)
def test_a_moment(present: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of each kind."""
    monkeypatch.setattr(endurance, "GROWTH", STARTING)
    floods = list(endurance.measure(KINDS, [present], 0.5, ends=2))
    print(endurance.table(floods))
    assert [fault for flood in floods for fault in flood.faults()] == []


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
@pytest.mark.parametrize("present", PRESENTERS)
def test_a_minute(present: str, kind: tuple[str, str]) -> None:
    floods = list(endurance.measure([kind], [present], 60.0, endurance.ENDS))
    print(endurance.table(floods))
    assert [fault for flood in floods for fault in flood.faults()] == []
