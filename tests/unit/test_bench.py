"""The bench's arithmetic: what it says about given values, and what it fails on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import process, recorded, report, table, targets
from bench.__main__ import SIZES, TRANSPORTS
from bench.dmabuf import MEMCPY
from bench.figures import BARE, READER, SHM, SWAP, Figure
from bench.report import Life, Result, Update
from bench.viewers import FLOOR, GLVIEW, Viewer, renderer

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def update(viewer: str, latency: float, cpu: float, change: str = "full", **more: int) -> Update:
    """A row of 1080p by map with three updates around `latency`, all in milliseconds."""
    row = Update(viewer, 1920, 1080, "map", change, lost=more.get("lost", 0))
    row.latency = [latency / 1000 * factor for factor in (0.5, 1.0, 3.0)]
    row.reply = [0.001]
    row.viewer_cpu = [cpu / 1000] * 2
    row.server_cpu = [0.002]
    return row


def life(start: float = 0.3, idle: float = 0.0) -> Life:
    return Life(GLVIEW, 1920, 1080, "map", [start, start, 9.0], 100.0, idle, 0.0)


def result(*rows: Update, lives: tuple[Life, ...] = ()) -> Result:
    return Result({"cpu": "one"}, list(rows), list(lives))


class TestFigures:
    @pytest.mark.parametrize(
        ("share", "value"), [(0.5, 50), (0.95, 95), (0.951, 96), (1.0, 100), (0.001, 1)]
    )
    def test_percentile(self, share: float, value: int) -> None:
        assert report.percentile(range(100, 0, -1), share) == value

    def test_ratios_are_to_the_floor_of_the_same_case(self) -> None:
        rows = [
            update(FLOOR, 1.0, 1.0, "64x64"),
            update(FLOOR, 2.0, 1.0),
            update(GLVIEW, 6.0, 5.0),
        ]
        assert report.times_floor(rows[2], result(*rows)) == pytest.approx((3.0, 5.0))

    def test_tables(self) -> None:
        text = report.markdown(
            result(update(FLOOR, 2, 1), update(GLVIEW, 5, 3), lives=(life(idle=0.00025),))
        )
        assert (
            "| 1920x1080 | map | full | glview | 5.00 / 15.00 / 2.50 | 2.50 | 1.00 / 1.00 "
            "| 3.00 | 3.00 | 2.00 | 0 | 0.00 |" in text
        )
        assert "| 1920x1080 | map | glview | 300 (300, 300, 9000) | 100.0 | 0.025 | 0.0 |" in text
        widths = {line.count("|") for line in text.splitlines() if "floor" in line}
        assert widths == {13}

    def test_json_has_every_value(self) -> None:
        values = json.loads(json.dumps(result(update(FLOOR, 2, 1)).as_dict()))
        assert values["updates"][0]["latency"] == [0.001, 0.002, 0.006]
        assert values["machine"] == {"cpu": "one"}


class TestLimits:
    def test_within(self) -> None:
        rows = [update(FLOOR, 1, 1), update(GLVIEW, 9, 9)]
        assert report.failures(result(*rows, lives=(life(), life(0.6, 0.001)))) == []

    def test_lost_updates(self) -> None:
        (failure,) = report.failures(result(update(FLOOR, 1, 1), update(GLVIEW, 1, 1, lost=1)))
        assert "1 updates not shown" in failure

    @pytest.mark.parametrize(
        ("row", "words"),
        [(life(start=0.7), "start 0.70 s"), (life(idle=0.002), "0.20 % of a core")],
    )
    def test_life(self, row: Life, words: str) -> None:
        (failure,) = report.failures(result(lives=(row,)))
        assert words in failure


class TestRecorded:
    NAME = "1920x1080 map full"

    def test_what_is_kept(self, tmp_path: Path) -> None:
        reached = result(update(FLOOR, 2, 2), update(GLVIEW, 1, 1.5), update("other", 9, 9))
        recorded.write(reached, tmp_path / "kept.json")
        kept = recorded.read(tmp_path / "kept.json")
        assert kept == {self.NAME: {"latency": 0.5, "CPU": 0.75}}

    def test_worse(self) -> None:
        kept = {self.NAME: {"latency": 0.5, "CPU": 1.0}}
        same = result(update(FLOOR, 1, 1), update(GLVIEW, 0.79, 1.59))
        assert recorded.failures(same, kept) == {}
        (failure,) = recorded.failures(
            result(update(FLOOR, 1, 1), update(GLVIEW, 0.81, 1.59)), kept
        ).values()
        assert failure == f"{self.NAME}: latency 0.81 x floor, limit 0.80 x"
        assert len(recorded.failures(same, {})) == 2, "nothing recorded is no leave"

    def test_nothing_shown_is_beyond_any_limit(self) -> None:
        row = update(GLVIEW, 1, 1)
        row.latency = []
        kept = {self.NAME: {"latency": 9.0, "CPU": 9.0}}
        assert len(recorded.failures(result(update(FLOOR, 1, 1), row), kept)) == 2

    def test_what_the_short_run_asks_is_recorded(self) -> None:
        names = {f"{w}x{h} {via} " for w, h in SIZES.values() for via in TRANSPORTS}
        assert set(recorded.read()) == {name + c for name in names for c in ("full", "64x64")}


class TestTargets:
    @pytest.mark.parametrize(
        ("value", "base", "limit", "met"),
        [
            (0.8, 1.0, "<= 0.8 x", True),
            (0.81, 1.0, "<= 0.8 x", False),
            (240.0, 200.0, ">= 1.2 x", True),
            (239.0, 200.0, ">= 1.2 x", False),
            (30.0, None, "<= 30", True),
            (30.1, 100.0, "<= 30", False),
        ],
    )
    def test_limits(self, value: float, base: float | None, limit: str, met: bool) -> None:
        assert targets.is_met(value, base, limit) is met

    def test_a_ratio_to_nothing(self) -> None:
        with pytest.raises(ValueError, match="nothing to be <= 2 x of"):
            targets.is_met(1.0, None, "<= 2 x")

    def test_every_limit_can_be_judged(self) -> None:
        text = targets.table(
            Figure(target.question, viewer, [1.0, 2.0, 9.0])
            for target in targets.TARGETS
            for viewer in (FLOOR, READER, BARE, MEMCPY, SHM, SWAP)
        )
        assert len(text.splitlines()) == 2 + len(targets.TARGETS)
        assert {line.count("|") for line in text.splitlines()} == {13}
        assert (
            "| 720p map full: to screen | ms | floor | 2 | 2 | 1.00 | <= 0.8 x | **not met**"
            in text
        )

    def test_a_figure_that_is_missing(self) -> None:
        with pytest.raises(KeyError):
            targets.table([])
        assert len(targets.table([], complete=False).splitlines()) == 2

    def test_what_updates_and_lives_say(self) -> None:
        rows = [update(viewer, 2, 1) for viewer in (FLOOR, SHM, SWAP)]
        life = Life(SHM, 1920, 1080, "map", [0.3, 0.2, 0.9], 100.0, 0.25, 3.0)
        found = {
            (figure.question, figure.viewer): figure.value
            for figure in table.from_result(result(*rows, lives=(life,)))
        }
        assert found["1080p map full: to screen", FLOOR] == pytest.approx(2.0)
        assert found["1080p map full: viewer CPU", SWAP] == pytest.approx(1.0)
        assert found["RSS, 1080p map", SHM] == pytest.approx(100.0)
        assert found["idle: CPU", SHM] == pytest.approx(25.0)


class TestDocument:
    def test_only_what_is_between_the_marks_changes(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
        report.write_into(page, "new\n")
        assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"

    def test_page_without_marks(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("before")
        with pytest.raises(ValueError, match="lacks the marks"):
            report.write_into(page, "new\n")
        assert page.read_text() == "before"


class TestViewer:
    def test_command(self) -> None:
        viewer = Viewer.parse("mine=prog 'a b' --socket={fd}")
        assert viewer == Viewer("mine", ("prog", "a b", "--socket={fd}"))

    @pytest.mark.parametrize("text", ["prog {fd}", "mine=", "mine=prog", "=prog {fd}"])
    def test_wrong(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not of the form"):
            Viewer.parse(text)

    def test_started_with_fd_and_display(self, tmp_path: Path) -> None:
        code = "import os, sys; os.write(int(sys.argv[1]), os.environ['DISPLAY'].encode())"
        viewer = Viewer("mine", (sys.executable, "-c", code, "{fd}"))
        reader, writer = os.pipe()
        with open(reader) as answer:
            try:
                child = viewer.start(writer, ":77", tmp_path / "log")
            finally:
                os.close(writer)
            assert answer.read() == ":77"
        assert child.wait(10) == 0

    def test_renderer(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_text("libEGL warning: Mesa\nglview: connected\nglview: OpenGL ES 3.2 Mesa, x\n")
        assert renderer(log) == "OpenGL ES 3.2 Mesa, x"
        log.write_text("")
        assert renderer(log) == ""


class TestProcess:
    @pytest.mark.alone
    def test_cpu_time_of_another_process(self) -> None:
        """Its clock runs while it works, and counts what it counts itself."""
        code = (
            "import time\n"
            "while time.process_time() < 0.2: pass\n"
            "print(time.process_time(), flush=True)\n"
            "input()"
        )
        argv = [sys.executable, "-c", code]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            own = float(child.stdout.readline())
            seen = process.cpu_seconds(child.pid)
            assert own <= seen < own + 0.05
            assert process.rss_mib(child.pid) > 5
            child.communicate(b"\n")

    @pytest.mark.alone
    def test_foreign_load_leaves_ourselves_out(self) -> None:
        argv = [sys.executable, "-c", "while True: pass"]
        with subprocess.Popen(argv) as child:
            try:
                with_it, without_it = (process.ForeignLoad(pids) for pids in ([], [child.pid]))
                start = time.monotonic()
                with with_it, without_it:
                    end = process.cpu_seconds(child.pid) + 1.0
                    while process.cpu_seconds(child.pid) < end:
                        pass
            finally:
                child.kill()
        seconds = (with_it.cores() - without_it.cores()) * (time.monotonic() - start)
        assert 0.5 < seconds < 2.0  # of CPU: the child's one, however busy the machine is
