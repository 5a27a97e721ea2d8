"""What the contest with real QEMU says about given values, and what it leaves out."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import pytest

from bench import contest, rivals, scores, viewers
from bench.contest import Rival
from bench.scores import Rest, Scores, Shown
from bench.viewers import Viewer


def shown(rival: str, viewer_cpu: list[float]) -> Shown:
    row = Shown(rival, "full", [0.01, 0.02, 0.06], [0.001], viewer_cpu, [0.004, 0.004], [0.002])
    row.lost, row.foreign = 1, 0.25
    return row


def found() -> Scores:
    return Scores(
        {"cpu": "one"},
        [shown("a viewer", [0.003]), shown("a window", [])],
        [
            Rest("a viewer", {"viewer": 10.0, "QEMU": 50.0}, {"viewer": 0.0, "QEMU": 0.006}),
            Rest("a window", {"QEMU": 90.0}, {"QEMU": 0.007, "X server": 0.001}),
        ],
        {"another": "there is none"},
    )


def test_tables() -> None:
    """A window of QEMU's own has no viewer, and is compared by what both use."""
    lines = scores.markdown(found()).splitlines()
    times = "20.00 / 60.00 / 10.00 | 1.00"
    assert lines[2] == f"| full | a viewer | {times} | 3.00 | 4.00 | 7.00 | 2.00 | 1 | 0.25 |"
    assert lines[3] == f"| full | a window | {times} | - | 4.00 | 4.00 | 2.00 | 1 | 0.25 |"
    assert "| a window | - | 90.0 | - | 0.70 | 0.10 |" in lines
    assert lines[-2:] == ["another left out: there is none", "cpu: one"]


def test_json_has_every_value() -> None:
    values = json.loads(json.dumps(found().as_dict()))
    assert values["shown"][0]["latency"] == [0.01, 0.02, 0.06]
    assert values["left_out"] == {"another": "there is none"}


def test_updates_come_in_all_phases_of_a_refresh() -> None:
    """Of any twenty in a row, some in every tenth of it."""
    phases = [
        (rest - contest.REST) / contest.REFRESH for rest in itertools.islice(contest.rests(), 200)
    ]
    for first in range(0, 200, 20):
        assert {int(10 * phase) for phase in phases[first : first + 20]} == set(range(10))


@pytest.mark.parametrize(
    ("rival", "why"),
    [
        (Rival("mine", "none", (sys.executable,)), ""),
        (Rival("mine", "none", ("no-such-viewer", "{fd}")), "there is no no-such-viewer"),
        (Rival("mine", "no-such-window,gl=off"), "this QEMU has no -display no-such-window"),
        (Rival("mine", "dbus,p2p=yes"), ""),
    ],
)
def test_what_is_not_installed(rival: Rival, why: str) -> None:
    assert rival.lacking() == why


def test_one_that_is_not_installed_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a failure only where all are wanted."""
    asked: list[str] = []

    def run(rivals: list[Rival], *_: object) -> Scores:
        asked.extend(rival.name for rival in rivals)
        return Scores({})

    monkeypatch.setattr(contest, "run", run)
    monkeypatch.setattr(viewers, "floor", lambda _: Viewer(viewers.FLOOR, (sys.executable,)))
    words = ["--viewer", "mine=no-such-viewer {fd}"]
    assert rivals.main(words) == 0
    assert asked[:2] == ["floor", "glview"]
    assert "mine" not in asked
    assert "mine left out: there is no no-such-viewer" in capsys.readouterr().out
    assert rivals.main([*words, "--all"]) == 1


def test_a_lost_update_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- rivals: begin -->\nold\n<!-- rivals: end -->\n")
    monkeypatch.setattr(contest, "run", lambda *_: found())
    monkeypatch.setattr(viewers, "floor", lambda _: Viewer(viewers.FLOOR, (sys.executable,)))
    assert rivals.main(["--document", str(page), "--json", str(tmp_path / "all.json")]) == 1
    assert "| full | a viewer |" in page.read_text()
    assert json.loads((tmp_path / "all.json").read_text())["shown"][1]["rival"] == "a window"
