"""Random calls: nothing crashes, nothing leaks, every update is answered, good ones are shown.

A failure names the seed, which GLVIEW_SEED repeats, and the latest calls.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.canvas import Canvas
from tests.support.carriers import Carrier, Dmabuf, Mapped, Sent
from tests.support.fuzz import Attempt, Fuzzer
from tests.support.layouts import LAYOUTS
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.wait import until
from tests.support.x11 import Xvfb

SEED = int(os.environ.get("GLVIEW_SEED", "1"))
KINDS = ["es-swap", "core-swap", "es-shm"]
WARM = 200
"""Calls before anything is measured: buffers and caches grow at first."""
MARGIN = 16 << 20
"""Bytes that a viewer may take more after a run: 2 to 7 million are seen after 10,000 calls.

One 64 x 64 picture kept for each call would be 160 million.
"""

MOST_BUFFERS = 6
"""Of pictures sent as bytes, and of those copied."""
LATE_THREADS = 2
"""Those that the first of something rare starts: a copy by the CPU, a shader kept on disk."""


@pytest.fixture(params=KINDS)
def stage(request: pytest.FixtureRequest, xvfb: Xvfb, tmp_path: Path) -> Iterator[Stage]:
    """A viewer with that kind of OpenGL and of presenting, which ends well."""
    gl, present = request.param.split("-")
    env = {"PYTHONFAULTHANDLER": "1"}  # a crash says where
    with Stage(tmp_path, xvfb, "--gl", gl, "--present", present, env=env) as stage:
        yield stage
        assert stage.viewer.close() == 0


WAYS: list[tuple[Carrier, str]] = [
    *((Dmabuf(2), "r8g8b8"), (Sent(), "x8r8g8b8"), (Mapped(), "x8r8g8b8")),
    *((Dmabuf(1), "x8r8g8b8"), (Dmabuf(2), "a8b8g8r8")),
]
"""How good pictures come; no driver imports the first one."""


def wait_top(stage: Stage, top: Picture, what: str) -> None:
    """Wait until the upper rows are shown; text may be over the others."""
    until(lambda: np.array_equal(stage.shown()[: len(top)], top), f"{what}, after seed {SEED}")


def settle(stage: Stage) -> tuple[list[str], int, int]:
    """Good pictures are shown in every way; the viewer's files, threads and memory then.

    Its own memory files are not among them, as their number depends on who was faster.
    """
    stage.listener.mouse_set(0, 0, 0)
    for carrier, layout in WAYS:
        with Canvas(LAYOUTS[layout], 640, 400) as good:
            carrier.show(stage.listener, good)
            wait_top(stage, good.picture()[:100], f"{carrier}")
    time.sleep(0.2)  # what came before is let go of
    viewer, files = stage.viewer, sorted(stage.viewer.fds().values())
    ours = [file for file in files if file.startswith("/memfd:glview")]
    assert len(ours) <= MOST_BUFFERS, f"seed {SEED}"
    return [file for file in files if file not in ours], viewer.threads, viewer.rss


def show_whole(stage: Stage) -> None:
    """A good picture is shown, once no text is over it any more."""
    with Canvas(LAYOUTS["x8r8g8b8"], 640, 400) as good:
        Sent().show(stage.listener, good)
        stage.wait_shows(good.picture(), f"the picture, after seed {SEED}", timeout=15)


def run(stage: Stage, fuzzer: Fuzzer, count: int, make: Callable[[], Attempt]) -> None:
    """Send so many attempts, each followed by an update."""
    latest: deque[Attempt] = deque(maxlen=4)
    for number in range(count):
        for attempt in (make(), fuzzer.update()):
            latest.append(attempt)
            try:
                error = attempt.send(stage.listener)
                stage.viewer.check_alive()
            except (AssertionError, OSError) as ended:
                pytest.fail(f"seed {SEED}, call {number}: {ended}\n" + describe(latest))
            lost = error in ("timed out", "gone")
            wrong = error and attempt.call.member == "UpdateDMABUF" and attempt.call.signature
            if lost or wrong == "iiii":
                text = f"seed {SEED}, call {number}: {attempt.call.member}: {error}\n"
                pytest.fail(text + describe(latest) + stage.viewer.output[-3000:])


def describe(attempts: deque[Attempt]) -> str:
    return "\n".join(str(attempt) for attempt in attempts)


def check(stage: Stage, count: int, member: str) -> None:
    """Run `count` of the fuzzer's attempts of that kind."""
    fuzzer = Fuzzer(SEED)
    make: Callable[[], Attempt] = getattr(fuzzer, member)
    run(stage, fuzzer, WARM, make)
    files, threads, memory = settle(stage)
    run(stage, fuzzer, count, make)
    files_now, threads_now, memory_now = settle(stage)
    print(f"seed {SEED}: {(memory_now - memory) >> 10} KiB more")
    assert files_now == files, f"seed {SEED}"
    assert threads_now <= threads + LATE_THREADS, f"seed {SEED}"
    assert memory_now < memory + MARGIN, f"seed {SEED}"


@pytest.mark.parametrize("member", ["dmabuf", "any"])
def test_some(stage: Stage, member: str) -> None:
    """A sample of the long test."""
    check(stage, 300, member)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("member", ["dmabuf", "any"])
def test_ten_thousand(stage: Stage, member: str) -> None:
    """On the driver that this machine has."""
    check(stage, 10_000, member)
    show_whole(stage)
