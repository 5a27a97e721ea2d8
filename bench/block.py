"""`python -m bench.block`: how long a guest's GPU stands still for glview.

From UpdateDMABUF sent to its answer received, as QEMU has it, while the window is seen,
hidden in every way, and while nobody listens to it. The buffer is a memory file, which
software Mesa imports as it does a dma-buf. Stands on the laboratory of `tests/support`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench import report
from glview.testing import ConsoleOptions, FakeListener, FakeVm
from tests.support import hiding
from tests.support.canvas import Canvas
from tests.support.carriers import Dmabuf
from tests.support.layouts import LAYOUTS
from tests.support.stage import Stage
from tests.support.viewer import Viewer
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

WIDTH, HEIGHT = 1280, 720
SQUARE = (WIDTH // 2 - 32, HEIGHT // 2 - 32, 64, 64)
REST = 0.004  # seconds between two updates
LIMIT = 0.1  # seconds that no answer may take


class Row(NamedTuple):
    """Answers under one condition, in seconds."""

    window: str
    change: str
    times: list[float]

    def at(self, share: float) -> float:
        """The time that this share of the answers took at most, in milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


@contextlib.contextmanager
def hidden(stage: Stage, hide: hiding.Hide) -> Iterator[None]:
    """The window is away inside."""
    show_again = hide(stage)
    time.sleep(0.3)
    yield
    show_again()
    time.sleep(0.3)


def measure(listener: FakeListener, canvas: Canvas, window: str, updates: int) -> Iterator[Row]:
    """Updates of everything and of a square."""
    for change, rect in (("full", canvas.all), ("64x64", SQUARE)):
        times = []
        for _ in range(updates):
            canvas.memory[:16] ^= 0xFF
            times.append(listener.update_dmabuf(*rect).seconds)
            time.sleep(REST)
        yield Row(window, change, times)


def on_x11(folder: Path, updates: int) -> Iterator[Row]:
    """Under Xvfb."""
    conditions: dict[str, Callable[[Stage], contextlib.AbstractContextManager[None]]] = {
        "X11, seen": lambda _: contextlib.nullcontext(),
        "X11, minimised": lambda stage: hidden(stage, hiding.minimised),
        "X11, covered": lambda stage: hidden(stage, hiding.covered),
        "X server stopped": lambda stage: stage.xvfb.paused(),
    }
    with Xvfb(folder) as xvfb, Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas:
        xvfb.park_pointer()
        with Stage(folder, xvfb) as stage:
            Dmabuf().show(stage.listener, canvas)
            stage.wait_shows(canvas.picture())
            for name, condition in conditions.items():
                few = updates if name != "X server stopped" else max(10, updates // 20)
                with condition(stage):
                    yield from measure(stage.listener, canvas, name, few)


def on_wayland(folder: Path, updates: int) -> Iterator[Row]:
    """Under weston."""
    for name in ("x", "weston"):
        (folder / name).mkdir()
    vm, sock = FakeVm.pair(consoles=(ConsoleOptions(),))
    with (
        Xvfb(folder / "x") as xvfb,
        Weston(xvfb, folder / "weston") as weston,
        Canvas(LAYOUTS["x8r8g8b8"], WIDTH, HEIGHT) as canvas,
        vm,
        sock,
    ):
        fd = str(sock.fileno())
        with Viewer(folder, weston, "--fd", fd, pass_fds=(sock.fileno(),)):
            listener = vm.console().wait_listener()
            Dmabuf().show(listener, canvas)
            time.sleep(1.0)
            yield from measure(listener, canvas, "Wayland, seen", updates)
            with weston.paused():
                yield from measure(listener, canvas, "compositor stopped", updates)


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| window | change | answers | median, ms | p99, ms | longest, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        times = (f"{row.at(share):.2f}" for share in (0.5, 0.99, 1.0))
        lines.append(f"| {row.window} | {row.change} | {len(row.times)} | {' | '.join(times)} |")
    return "\n".join(lines)


def main() -> int:
    """Run it; 1 where an answer took longer than QEMU may wait."""
    parser = argparse.ArgumentParser(prog="python -m bench.block", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the updates")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into FILE")
    args = parser.parse_args()
    updates = 50 if args.quick else 500
    rows: list[Row] = []
    for part in (on_x11, on_wayland):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            rows += part(Path(folder), updates)
    text = table(rows)
    print(text)
    if args.document:
        report.write_into(args.document, text + "\n", "block")
    slow = [row for row in rows if max(row.times) > LIMIT]
    for row in slow:
        print(f"bench: {row.window}: an answer took {row.at(1.0):.0f} ms", file=sys.stderr)
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
