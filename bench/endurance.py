"""`python -m bench.endurance`: a flood for a minute, and what it leaves behind.

For each way that pixels take, and each presenter: updates as fast as the socket takes them.
Afterwards neither the viewer nor the source has grown, the newest picture, and nothing
else, is on the screen within two refreshes, and every call has its answer.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

import numpy as np

from bench import report, viewers
from bench.figures import SHM, SWAP
from bench.hose import SIZE
from bench.measure import FIRST, LOST, TIMEOUT, end, square
from bench.process import machine, rss_mib
from bench.screen import Screen
from bench.viewers import Viewer

KINDS = [("map", "full"), ("map", "64x64"), ("bytes", "full"), ("bytes", "64x64")]
KINDS += [("dmabuf", "full"), ("dmabuf", "64x64")]
PRESENTERS = {"shm": SHM, "swap": SWAP}
REFRESH = 1 / 60  # seconds; Xvfb has no rate of its own, and glview takes it for this
WARM = 1 / 6  # of a flood: what grows later than that counts
GROWTH = 4.0  # MiB: malloc's arenas breathe by one or two
SAMPLES = 0.05  # seconds
TEXT = 100  # rows at the bottom, where glview says so if it cannot import dma-bufs
ENDS = 8  # short floods after the long one, to see how soon others end
SHORT = 0.5  # seconds


@dataclass
class Flood:
    """What came of one. Sizes in MiB, times in seconds.

    `viewer` and `source` have their resident memory at `times`; `late` how long after the
    last update was taken it was on the screen, of the long flood first.
    """

    name: str
    via: str
    change: str
    seconds: float = 0.0
    updates: int = 0
    asked: int = 0
    answered: int = 0
    same: bool = True
    times: list[float] = field(default_factory=list)
    viewer: list[float] = field(default_factory=list)
    source: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def warm(self) -> int:
        """How many of the samples are of the warm-up; the first one is in any case."""
        return max(1, sum(moment < self.seconds * WARM for moment in self.times))

    def growth(self, sizes: list[float]) -> float:
        """By how much the largest later size exceeds the largest one of the warm-up."""
        return max(sizes[self.warm :]) - max(sizes[: self.warm])

    def faults(self, typical: Callable[[list[float]], float] = median) -> list[str]:
        """What is not as it ought to be, in words; `typical` makes one of all times in `late`."""
        found = []
        for who, sizes in (("viewer", self.viewer), ("source", self.source)):
            if (growth := self.growth(sizes)) > GROWTH:
                found.append(f"the {who} grew by {growth:.1f} MiB")
        if (late := typical(self.late)) > 2 * REFRESH:
            found.append(f"the newest picture came after {1000 * late:.0f} ms")
        if self.wrong:
            found.append(f"{self.wrong} pixels are not those of the newest picture")
        if self.answered != self.asked or not self.same:
            found.append(f"{self.answered} answers to {self.asked} calls")
        return [f"{self.name}, {self.via} {self.change}: {fault}" for fault in found]


class Bout:
    """A viewer and a hose. Use with `with`. Raises RuntimeError where nothing is shown."""

    def __init__(self, viewer: Viewer, via: str, change: str, screen: Screen, log: Path) -> None:
        self.found = Flood(viewer.name, via, change)
        self._screen = screen
        self._colours = itertools.cycle((0xC03020, 0x30B040))
        with contextlib.ExitStack() as stack:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                self._hose = stack.enter_context(_hose(ours.fileno(), via, change, log))
                self._viewer = viewer.start(theirs.fileno(), screen.display, log)
                stack.callback(end, self._viewer)
            self._expect("ready")
            if screen.wait_pixel(SIZE[0] // 2, SIZE[1] // 2, FIRST, TIMEOUT) is None:
                raise RuntimeError(f"{viewer.name} shows nothing")
            self._exit = stack.pop_all()

    def __enter__(self) -> Bout:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def run(self, seconds: float, ends: int) -> Flood:
        """A flood of so many seconds, and then `ends` short ones."""
        found = self.found
        with self._sampled():
            answer = self._flood(seconds)
        found.seconds, found.updates = answer["seconds"], answer["updates"]
        for _ in range(ends):
            answer = self._flood(SHORT)
        found.asked, found.answered = answer["asked"], answer["answered"]
        found.same = answer["same"] and not answer["failure"]
        return found

    def _flood(self, seconds: float) -> dict[str, Any]:
        """What the hose says of it; the end of it is looked at."""
        colour = next(self._colours)
        self._tell(f"{seconds} {colour}\n")
        self._expect("ending")
        x, y, width, height = self._rect()
        seen = self._screen.wait_pixel(x + width - 1, y + height - 1, colour, LOST)
        answer: dict[str, Any] = json.loads(self._read())
        self.found.late.append(max(0.0, (seen or float("inf")) - answer["taken_at"]))
        time.sleep(2 * REFRESH)
        self.found.wrong += self._wrong(colour)
        return answer

    def _rect(self) -> tuple[int, int, int, int]:
        return square(*SIZE) if self.found.change == "64x64" else (0, 0, *SIZE)

    def _wrong(self, colour: int) -> int:
        """How many pixels do not have the colour that they should have, above `TEXT`."""
        x, y, width, height = self._rect()
        want = np.full((SIZE[1], SIZE[0]), FIRST, np.uint32)
        want[y : y + height, x : x + width] = colour
        shown = self._screen.picture()[: SIZE[1], : SIZE[0]]
        return int((shown != want)[:-TEXT].sum())

    @contextlib.contextmanager
    def _sampled(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._sample, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _sample(self, over: threading.Event) -> None:
        began, found = time.monotonic(), self.found
        while not over.wait(SAMPLES):
            found.times.append(time.monotonic() - began)
            found.viewer.append(rss_mib(self._viewer.pid))
            found.source.append(rss_mib(self._hose.pid))

    # -- the hose ----------------------------------------------------------

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def _tell(self, line: str) -> None:
        pipe = self._pipe(self._hose.stdin)
        pipe.write(line)
        pipe.flush()

    def _read(self) -> str:
        line = self._pipe(self._hose.stdout).readline()
        if not line:
            raise RuntimeError(f"the source ended with {self._hose.wait()}")
        return line

    def _expect(self, word: str) -> None:
        if (line := self._read()) != f"{word}\n":
            raise RuntimeError(f"the source says {line!r}, not {word!r}")


@contextlib.contextmanager
def _hose(fd: int, via: str, change: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "bench.hose", "--fd", str(fd), via, change]
    with (
        log.open("ab") as output,
        subprocess.Popen(
            argv,
            pass_fds=[fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        ) as hose,
    ):
        try:
            yield hose
        finally:
            hose.terminate()


def measure(
    kinds: Sequence[tuple[str, str]], presenters: Sequence[str], seconds: float, ends: int
) -> Iterator[Flood]:
    """One after the other. Raises RuntimeError with what the processes said."""
    for present, (via, change) in itertools.product(presenters, kinds):
        viewer = viewers.glview(PRESENTERS[present], "--present", present)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Screen(*SIZE) as screen:
            log = Path(folder, "log")
            try:
                with Bout(viewer, via, change, screen, log) as bout:
                    yield bout.run(seconds, ends)
            except RuntimeError as error:
                raise RuntimeError(f"{log.read_text()}{error}") from None


_HEAD = (
    "viewer", "via", "change", "seconds", "updates/s", "answers / calls",
    "viewer's RSS, MiB: warm, end", "growth", "source's RSS: warm, end", "growth",
    "newest on screen after, ms: median / longest", "wrong pixels",
)  # fmt: skip


def table(floods: Sequence[Flood]) -> str:
    """Markdown."""
    rows = [_HEAD, ["---"] * len(_HEAD), *map(_row, floods)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(flood: Flood) -> list[str]:
    cells = [flood.name, flood.via, flood.change, f"{flood.seconds:.0f}"]
    cells += [f"{flood.updates / flood.seconds:.0f}", f"{flood.answered} / {flood.asked}"]
    for sizes in (flood.viewer, flood.source):
        warm = sizes[flood.warm - 1]
        cells += [f"{warm:.1f}, {sizes[-1]:.1f}", f"{flood.growth(sizes):+.2f}"]
    late = f"{1000 * median(flood.late):.1f} / {1000 * max(flood.late):.1f}"
    return [*cells, late, str(flood.wrong)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where something is not as it ought to be."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument("--present", action="append", choices=PRESENTERS)
    parser.add_argument("--via", action="append", choices=("map", "bytes", "dmabuf"))
    parser.add_argument("--change", action="append", choices=("full", "64x64"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into FILE")
    args = parser.parse_args(argv)
    kinds = [
        (via, change)
        for via, change in KINDS
        if via in (args.via or via) and change in (args.change or change)
    ]
    floods = list(measure(kinds, args.present or list(PRESENTERS), args.seconds, ENDS))
    text = f"{table(floods)}\n{report.in_words(machine())}\n"
    print(text)
    if args.json:
        found = {"machine": machine(), "floods": [asdict(flood) for flood in floods]}
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text, "endurance")
    faults = [fault for flood in floods for fault in flood.faults()]
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
