"""glview with one mistake in it, to show that a test would see that mistake.

`python -m tests.support.mutants NAME ARGS...` is `python -m glview ARGS...` with NAME:

- early: the guest is let go on before its buffer is read, by a GPU like the next one
- slow: no mistake, but a GPU that reads the buffer 5 ms after it was told to
- unfenced: that GPU, and the guest is let go on when it was told, not when it is through
- sly: no mistake, but fences that pass just after they were asked for the second time
- counted: no mistake, but at its end it says which of QEMU's calls came, and how often
- in-NAME: an exception that nobody foresaw, on the thread of that name or in what it calls
"""

from __future__ import annotations

import atexit
import sys
import time
from collections import Counter
from collections.abc import Callable

from glview.app import App
from glview.cli import main
from glview.dbus.bus import BusConnection
from glview.ending import _Watch
from glview.gl import fence
from glview.gl.api import GL
from glview.gl.scene import Scene
from glview.output import Outlet
from glview.present.drawing import Drawing
from glview.present.glcomposer import GLComposer
from glview.present.swap import SwapPresenter
from glview.qemu.framing import Call
from glview.qemu.inputs import Inputs
from glview.qemu.launch import QemuProcess
from glview.qemu.picture import PictureCalls
from glview.qemu.session import Session
from glview.scanout.geometry import Rect
from glview.scanout.source import DmabufSource, Source
from glview.stats.trace import Trace
from glview.view import View

GPU_SECONDS = 0.005


def early() -> None:
    """Answers, then reads."""
    apps: list[App] = []
    begin, read = App.__init__, View.read

    def remember(app: App, *args: object) -> None:
        apps.append(app)
        begin(app, *args)  # type: ignore[arg-type]

    def answer_and_read(view: View) -> None:
        for app in apps:
            app._answer()
        read(view)

    setattr(App, "__init__", remember)  # noqa: B010 - mypy knows better than to allow it
    setattr(View, "read", answer_and_read)  # noqa: B010
    slow()


class LateFence:
    """Passes when the GPU gets round to what it was told, which is then."""

    fd: int | None = None

    def __init__(self, told: Callable[[], None]) -> None:
        self._told: Callable[[], None] | None = told
        self._due = time.monotonic() + GPU_SECONDS

    def passed(self, _wait: float = 0.0) -> bool:
        if self._told is not None and time.monotonic() >= self._due:
            told, self._told = self._told, None
            told()
        return self._told is None

    def finish(self) -> None:
        """Wait for it."""
        while not self.passed():
            time.sleep(0.0005)

    def close(self) -> None:
        pass


def slow(*, fenced: bool = True) -> None:
    """The copies of dma-bufs are made later, in the order of the GPU's commands."""
    accept, released = Drawing.accept, Drawing.released
    draw, compose = SwapPresenter.draw, GLComposer.compose

    def finish(drawing: Drawing) -> None:
        if isinstance(drawing._fence, LateFence):
            drawing._fence.finish()

    def accept_later(drawing: Drawing, source: Source, damage: Rect) -> None:
        finish(drawing)
        if isinstance(source, DmabufSource):
            drawing._fence = LateFence(lambda: drawing.renderer.accept(source, damage))
        else:
            accept(drawing, source, damage)

    def draw_after_it(presenter: SwapPresenter, scene: Scene) -> None:
        finish(presenter)
        draw(presenter, scene)

    def compose_after_it(composer: GLComposer, scene: Scene, rect: Rect, address: int) -> None:
        finish(composer)
        compose(composer, scene, rect, address)

    setattr(Drawing, "accept", accept_later)  # noqa: B010
    setattr(Drawing, "released", released if fenced else lambda _: True)  # noqa: B010
    setattr(SwapPresenter, "draw", draw_after_it)  # noqa: B010
    setattr(GLComposer, "compose", compose_after_it)  # noqa: B010


def unfenced() -> None:
    """Nobody asks the fence."""
    slow(fenced=False)


class SlyFence:
    """Passes at the third look."""

    fd: int | None = None

    def __init__(self, gl: GL) -> None:
        gl.Finish()
        self._looks = 0

    def passed(self, _wait: float = 0.0) -> bool:
        self._looks += 1
        return self._looks > 2

    def close(self) -> None:
        pass


def sly() -> None:
    """As any fence may be, now and then."""
    setattr(fence, "insert", lambda gl, _egl: SlyFence(gl))  # noqa: B010


def counted() -> None:
    """Counts the calls of QEMU that carry the picture."""
    counts: Counter[str] = Counter()
    handle = PictureCalls.handle

    def count(calls: PictureCalls, call: Call) -> None:
        counts[call.fields.member] += 1
        handle(calls, call)

    def tell() -> None:
        print("calls:", ", ".join(f"{name} {n}" for name, n in counts.most_common()))

    setattr(PictureCalls, "handle", count)  # noqa: B010
    atexit.register(tell)


def plant(owner: type, method: str) -> Callable[[], None]:
    """Make a method raise what nobody foresaw."""

    def raising(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    return lambda: setattr(owner, method, raising)


PLANTED = {
    "in-session": plant(Session, "_live"),
    "in-listener": plant(PictureCalls, "handle"),
    "in-changes": plant(Inputs, "_changed"),
    "in-bus": plant(BusConnection, "_signal"),
    "in-trace": plant(Trace, "_write"),
    "in-signals": plant(_Watch, "_heard"),
    "in-output": plant(Outlet, "_run"),
    "in-pump": plant(QemuProcess, "_pass_on"),
    "in-waiter": plant(QemuProcess, "_lines"),
}
"""Mutants with an exception on one of glview's threads."""

MUTANTS = {"early": early, "slow": slow, "unfenced": unfenced, "sly": sly, "counted": counted}
MUTANTS |= PLANTED

if __name__ == "__main__":
    name = sys.argv.pop(1)
    MUTANTS[name]()
    if name in PLANTED:
        from glview import __main__ as program

        program.main()
    sys.exit(main())  # not by os._exit: what `counted` says at its end is wanted
