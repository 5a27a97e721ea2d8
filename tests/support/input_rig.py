"""Hands on the keyboard and mouse of a guest in a glview window, and what QEMU makes of it."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.qemu import Qemu
from tests.support.screen import find, pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

Desktop = Xvfb | Weston

WIDTH, HEIGHT = 640, 480
TRACE = ("input_event_*", "ps2_put_keycode", "ps2_keyboard_set_translation")
EVENT = "^input_event_(?!sync)"


class Rig:
    """A guest in a glview window and the hands on its keyboard and mouse."""

    def __init__(self, xvfb: Xvfb, desktop: Desktop, qemu: Qemu, viewer: Viewer) -> None:
        self.xvfb = xvfb
        self.qemu = qemu
        self.viewer = viewer
        self._desktop = desktop
        self._seen = 0
        picture = pattern(WIDTH, HEIGHT)
        viewer.wait_shows(picture, 20.0)
        corner = find(desktop.screenshot(), picture)
        assert corner is not None
        self._corner = corner

    def point(self, x: int, y: int) -> None:
        """Put the pointer on a pixel of the guest."""
        self.hand("mousemove", *self.at(x, y))

    @property
    def on_x11(self) -> bool:
        """Whether the window is the X server's own."""
        return self._desktop is self.xvfb

    def at(self, x: int, y: int) -> tuple[int, int]:
        """Where a pixel of the guest is on the screen."""
        return self._corner[0] + x, self._corner[1] + y

    def hand(self, *words: str | int) -> None:
        """Make real X events: the words of one xdotool command line."""
        self.xvfb.xdotool(*words)

    def forget(self) -> None:
        """Have `events` leave out what came so far."""
        self._seen = len(self.qemu.trace(EVENT))

    def events(self) -> list[str]:
        """Events in QEMU since `forget`, as the trace words them after `con 0, `."""
        lines = self.qemu.trace(EVENT)[self._seen :]
        return [line.partition(", ")[2] for line in lines]

    def expect(self, *events: str) -> None:
        """Wait until exactly these events have come, and forget them."""
        self.wait(lambda: len(self.events()) >= len(events), f"{len(events)} events")
        assert self.events() == list(events)
        self.forget()

    def wait(self, look: Callable[[], object], what: str) -> None:
        """Wait for something that the events seen so far explain if it does not come."""
        try:
            until(look, what)
        except AssertionError as late:
            raise AssertionError(
                f"{late}; events: {self.events()[-20:]}\n{self.viewer.output}"
            ) from None

    def position(self) -> tuple[int, int]:
        """The guest's pixel of the last absolute position."""
        x, y = (int(line.rpartition("0x")[2], 16) for line in self.events()[-2:])
        return -(-x * WIDTH // 0x7FFF), -(-y * HEIGHT // 0x7FFF)

    def moved(self) -> tuple[int, int]:
        """The sum of relative motion since `forget`."""
        totals = {"x": 0, "y": 0}
        for line in self.events():
            if line.startswith("axis "):
                _, axis, _, value = line.replace(",", "").split()
                totals[axis] += int(value)
        return totals["x"], totals["y"]


def use(qemu: Qemu, mouse: str) -> None:
    """Make the first mouse of QEMU's with that word in its name the active one."""
    (line,) = (line for line in qemu.hmp("info mice").splitlines() if mouse in line)
    qemu.hmp(f"mouse_set {line.partition('#')[2].partition(':')[0]}")


def key(name: str, down: int) -> str:
    """A key event in the words of QEMU's trace."""
    return f"key qcode {name}, down {down}"


def button(name: str, down: int) -> str:
    """A button event in the words of QEMU's trace."""
    return f"button {name}, down {down}"


def position(x: int, y: int) -> tuple[str, str]:
    """An absolute position in the words of QEMU's trace: scaled to 0x7fff."""
    return (
        f"axis x, value 0x{x * 0x7FFF // WIDTH:x}",
        f"axis y, value 0x{y * 0x7FFF // HEIGHT:x}",
    )
