"""A viewer and the VM it shows: the fake one, so that a test says every call itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from glview.testing import ConsoleOptions, FakeConsole, FakeListener, FakeVm
from tests.support.screen import Picture, difference
from tests.support.viewer import Viewer
from tests.support.wait import Timeout, until
from tests.support.x11 import Xvfb
from tests.support.xlib import Place, XConnection


class Stage:
    """`vm` with one console, whose `listener` is that of `viewer`, a window on `xvfb`.

    `args` are further options of the viewer's, `mutant` a mistake of
    tests/support/mutants.py. Leaving ends everything, and fails if the viewer
    left a traceback.
    """

    def __init__(
        self,
        folder: Path,
        xvfb: Xvfb,
        *args: str,
        console: ConsoleOptions | None = None,
        env: Mapping[str, str] | None = None,
        mutant: str = "",
    ) -> None:
        self.xvfb = xvfb
        self.vm, sock = FakeVm.pair(consoles=(console or ConsoleOptions(),))
        with sock:
            fd = sock.fileno()
            args = "--fd", str(fd), "-v", *args
            self.viewer = Viewer(folder, xvfb, *args, env=env, pass_fds=(fd,), mutant=mutant)
        self.console: FakeConsole = self.vm.console()
        try:
            self.listener: FakeListener = self.console.wait_listener()
        except TimeoutError as late:
            self.viewer.kill()
            raise AssertionError(f"{late}\n{self.viewer.output}") from None
        self.x = XConnection(xvfb)
        self._window = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.viewer.__exit__(kind, error, trace)
        finally:
            self.vm.close()
            self.x.__exit__(kind, error, trace)

    @property
    def window(self) -> int:
        """The id of the viewer's window; waits for the first one."""
        if not self._window:
            self._window = self.viewer.window().id
        return self._window

    @property
    def place(self) -> Place:
        """Where the window is now."""
        place = self.x.place(self.window)
        assert place, f"the window has gone\n{self.viewer.output}"
        return place

    def shown(self) -> Picture:
        """What the X server shows inside of the window."""
        return self.xvfb.region(*self.place)

    def wait_shows(
        self, want: Picture, what: str = "the picture", timeout: float = 5.0, tolerance: int = 0
    ) -> None:
        """Wait until the whole window shows `want`, each channel within `tolerance`."""

        def look() -> bool:
            self.viewer.check_alive()
            return not self.differs(want, tolerance)

        try:
            until(look, what, timeout)
        except Timeout as late:
            text = self.differs(want, tolerance)
            raise AssertionError(f"{late}: {text}\n{self.viewer.output[-2000:]}") from None

    def differs(self, want: Picture, tolerance: int = 0) -> str:
        """How what is shown now differs from `want`, in words; empty if it does not."""
        got = self.shown()
        if tolerance and got.shape == want.shape:
            close = np.abs(got.astype(np.int16) - want) <= tolerance
            got = np.where(close, want, got)
        return difference(got, want)

    def wait_output(self, text: str, since: int = 0, timeout: float = 5.0) -> None:
        """Wait until the viewer has written `text`, after the first `since` characters."""
        until(lambda: text in self.viewer.output[since:], f"glview to say {text!r}", timeout)

    def watch(self, seconds: float, see: Callable[[Picture], bool]) -> list[tuple[float, bool]]:
        """Look at the window for so long: monotonic times, and what `see` says of it then."""
        place, end, seen = self.place, time.monotonic() + seconds, []
        while (now := time.monotonic()) < end:
            seen.append((now, see(self.xvfb.region(*place))))
            time.sleep(0.001)
        return seen
