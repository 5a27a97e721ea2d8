"""The program under test, in a process of its own, as a user starts it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.process import Child
from tests.support.screen import Picture, difference, find
from tests.support.wait import Timeout, until
from tests.support.weston import Weston
from tests.support.x11 import Window, Xvfb

CLASS = "glview"


class Viewer(Child):
    """`python -m glview ARGS` on an X server or under a compositor.

    Leaving the `with` block ends it by SIGTERM and fails if it left a
    traceback or did not end by itself.
    """

    def __init__(
        self,
        folder: Path,
        desktop: Xvfb | Weston,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        mutant: str = "",
    ) -> None:
        self.desktop = desktop
        module = ["tests.support.mutants", mutant] if mutant else ["glview"]
        super().__init__(
            [sys.executable, "-m", *module, *(str(arg) for arg in args)],
            folder / "glview.log",
            env=desktop.environment(**(env or {})),
            pass_fds=pass_fds,
        )

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self.close()
        finally:
            self.kill()

    def close(self) -> int:
        """SIGTERM, if it still runs; return the exit code. No traceback may be left."""
        if self.alive:
            self.signal(signal.SIGTERM)
        code = self.wait()
        self.check_output()
        return code

    def check_output(self) -> None:
        """Fail if it wrote a traceback."""
        assert "Traceback" not in self.output, self.output

    @property
    def turns(self) -> int:
        """How often its main thread has gone to sleep."""
        status = Path(f"/proc/{self.pid}/task/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("voluntary_ctxt"))
        return int(line.split()[1])

    def window(self, timeout: float = 15.0) -> Window:
        """Its window on the X server as it is now; waits for the first one."""
        assert isinstance(self.desktop, Xvfb), "under a compositor X knows no window"

        def look() -> Window | None:
            self.check_alive()
            matching = (w for w in xvfb.windows() if w.wm_class.lower() == CLASS)
            return next(matching, None)

        xvfb = self.desktop
        return until(look, "glview's window", timeout)

    def picture(self) -> Picture:
        """What the X server shows inside of its window."""
        assert isinstance(self.desktop, Xvfb), "under a compositor X knows no window"
        return self.desktop.inside(self.window())

    def difference(self, want: Picture) -> str:
        """How what is shown differs from `want`, in words; empty if it does not.

        Under a compositor `want` may stand anywhere on the output.
        """
        if isinstance(self.desktop, Xvfb):
            return difference(self.picture(), want)
        shot = self.desktop.screenshot()
        return "" if find(shot, want) else "not found on weston's output"

    def wait_shows(self, want: Picture, timeout: float = 10.0) -> None:
        """Wait until the window shows exactly `want`, 1:1. Raises `AssertionError`."""

        last = ""

        def look() -> bool:
            nonlocal last
            self.check_alive()
            last = self.difference(want)
            return not last

        try:
            until(look, "the picture", timeout)
        except Timeout as late:
            raise AssertionError(f"{late}: {last}\n{self.output}") from None
