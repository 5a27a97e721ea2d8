"""Boot the guest with a GPU, let glview show it, say what came: see scripts/guest."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.lab.sight import dmabufs, gl_display
from tests.support.glcount import GlCount
from tests.support.kms import boot
from tests.support.kms.gpu import EXTERNAL_GPUS, GPUS, ExternalGpu, Gpu
from tests.support.kms.picture import frame, number, write_png
from tests.support.process import Child
from tests.support.qemu import P2P, Qemu
from tests.support.screen import difference
from tests.support.viewer import Viewer
from tests.support.wait import PATIENCE
from tests.support.x11 import Xvfb

# Seconds, on machines that are not slow.
SECONDS = 300.0  # that the guest may take
REST = 10.0  # before it flips, where the viewer comes late


class Run:
    """The guest, glview and the X server that it is on; `stack` ends them."""

    def __init__(self, args: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        gpu: Gpu = (GPUS | EXTERNAL_GPUS)[args.gpu]
        self.flips, self.late = args.flips, isinstance(gpu, ExternalGpu)
        self.folder, self.stack = folder, stack
        self.children: list[Child] = []
        self.serial = folder / "serial"
        self.counter = GlCount(folder)
        if isinstance(gpu, ExternalGpu):
            self.children.append(stack.enter_context(gpu.start_helper(folder)))
        rest = int(REST * PATIENCE) if self.late else 0
        self.qemu = Qemu(
            folder,
            devices=[f"{gpu.device},xres={args.size[0]},yres={args.size[1]}"],
            display=gl_display() if args.gl else P2P,
            memory=boot.MEMORY,
            options=[
                *boot.linux(folder, self.serial, args.flips, rest),
                *gpu.options(boot.MEMORY, folder),
                *("-cpu", "Nehalem"),
            ],
        )
        stack.enter_context(self.qemu)
        self.children.append(self.qemu)
        if not self.late:
            self.show()

    def show(self) -> None:
        """Start the viewer."""
        xvfb = self.stack.enter_context(Xvfb(self.folder))
        xvfb.park_pointer()
        way = "--qmp", self.qemu.qmp_path, "-vv"
        env = self.counter.environment
        self.viewer = Viewer(self.folder, xvfb, *way, env=env, mutant="counted")
        self.children.append(self.stack.enter_context(self.viewer))

    def wait(self, pattern: str, meanwhile: Callable[[], object]) -> re.Match[str]:
        """Wait until the guest says that; fail where it says that it cannot, or anything ends."""
        deadline = time.monotonic() + SECONDS * PATIENCE
        while not (found := re.search(f"guest: {pattern}", self.said())):
            assert time.monotonic() < deadline, (
                f"the guest has not said '{pattern}':\n{self.said()}"
            )
            meanwhile()
            time.sleep(0.2 * PATIENCE)
        return found

    def said(self) -> str:
        """What the guest has said."""
        ended = [child for child in self.children if not child.alive]
        assert not ended, "\n".join(f"{c.argv[0]}: {c.process.poll()} {c.output}" for c in ended)
        text = self.serial.read_text(errors="replace") if self.serial.exists() else ""
        assert "guest failed" not in text, text
        assert "Kernel panic" not in text, text
        return text

    def watch(self) -> None:
        """Say how fast it flips, and what was to be seen meanwhile."""
        begin = time.monotonic()
        mode = self.wait(r"mode (\d+) (\d+)", lambda: None)
        self.size = int(mode[1]), int(mode[2])
        took = f"{time.monotonic() - begin:.0f} s, {self.qemu.cpu:.0f} s of them QEMU's on the CPU"
        say("boot", f"{took}; mode {mode[1]}x{mode[2]}")
        if self.late:
            self.show()
        seen: list[str] = []
        end = self.wait(r"flips (\d+) seconds (\S+)", lambda: seen.append(self.look()))
        say("flips", f"{end[1]} in {end[2]} s: {int(end[1]) / float(end[2]):.1f} a second")
        whole = sum(1 for one in seen if one)
        say("meanwhile", f"{len(seen)} looks at the screen, {whole} at a whole frame")

    def look(self) -> str:
        """The number of the frame on the screen, if every pixel is right; else nothing."""
        picture = self.viewer.picture()
        n = number(picture)
        right = n is not None and not difference(picture, frame(n, *self.size))
        return str(n) if right else ""

    def judge(self, picture: Path) -> bool:
        """Wait for the last frame, say whether it came, and keep what is on the screen."""
        wrong = ""
        try:
            self.viewer.wait_shows(frame(self.flips, *self.size))
        except AssertionError as error:
            wrong = str(error).splitlines()[0]
        say("at the end", wrong or f"frame {self.flips}, every pixel as the guest drew it")
        write_png(picture, self.viewer.picture())
        return not wrong

    def account(self) -> None:
        """End glview, and say what came to it and what became of that."""
        kinds = Counter(f"{b.exporter} of {b.size} bytes" for b in dmabufs(self.viewer))
        held = [f"{count} descriptors of a {kind}" for kind, count in kinds.items()]
        self.viewer.close()
        calls = re.findall(r"^calls: (.*)", self.viewer.output, re.MULTILINE)
        imports = re.findall(r"dma-bufs: (.*)", self.viewer.output)
        say("calls", *calls)
        say("dma-bufs", *(imports[-1:] or ["none"]), *held)
        say("uploads", self.counter.calls() or "none")
        for child in self.children[:-1]:
            say(Path(child.argv[0]).name, child.output or "no word")


def say(what: str, *words: object) -> None:
    """A line of the report."""
    print(f"{what:20}", *words, sep=" | ", flush=True)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.kms", description=__doc__)
    parser.add_argument("gpu", choices=[*GPUS, *EXTERNAL_GPUS])
    parser.add_argument("--gl", action="store_true", help="QEMU with gl=on")
    parser.add_argument("--flips", type=int, default=600)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar="N")
    parser.add_argument("--picture", type=Path, default=Path("out/guest.png"), metavar="FILE")
    return parser


def main() -> int:
    """Run it once; 1 where the last frame is not what the X server shows."""
    args = options().parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        try:
            run = Run(args, Path(name), stack)
            run.watch()
            right = run.judge(args.picture)
            run.account()
        except AssertionError as failure:
            say("failed", failure)
            return 1
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
