"""A viewer that has the focus, and what its guest gets of the keys that are pressed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.hands import Hands
from tests.support.qemu import Qemu
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

# X keycodes, and QEMU's names of those that are held
TAB, ESCAPE, B, D, F = 23, 9, 56, 40, 41
CAPS, NUM, SCROLL, F10 = 66, 77, 78, 76
ALT, ALT_R, CTRL, SHIFT, SUPER = 64, 108, 37, 50, 133
MODIFIERS = {
    ALT: "alt",
    ALT_R: "alt_r",
    CTRL: "ctrl",
    105: "ctrl_r",
    SHIFT: "shift",
    62: "shift_r",
    SUPER: "meta_l",
    134: "meta_r",
}
LETTERS = {38: "a", 39: "s", 43: "h", 44: "j", 45: "k", 46: "l"}

Key = tuple[str, bool]
"""QEMU's name, and whether it goes down."""


class Desk:
    """A viewer that has the focus, hands on the keyboard, and the guest's view of it.

    `down` are QEMU's names of the keys that are down in the guest, as of the last look,
    `at_escape` of those that were when Escape went down. `active` tells which window
    the window manager says is active.
    """

    active: Callable[[], int]

    def __init__(self, xvfb: Xvfb, qemu: Qemu, viewer: Viewer, hands: Hands) -> None:
        self.hands = hands
        self.down: set[str] = set()
        self.at_escape: set[str] = set()
        self._xvfb, self._qemu, self._viewer = xvfb, qemu, viewer
        self._seen = 0
        self.window = int(
            xvfb.xdotool("search", "--sync", "--onlyvisible", "--class", "glview").split()[-1]
        )

    def focus(self, command: str) -> None:
        """Give the window the focus by that command of xdotool's, and see keys arrive."""
        self._xvfb.xdotool(command, "--sync", self.window)
        until(self._typed, "the first key")
        self.until_escape()

    def _typed(self) -> bool:
        self._viewer.check_alive()
        self.hands.strike(B)
        return bool(self._lines())

    def _lines(self) -> list[str]:
        return self._qemu.trace("^input_event_key")[self._seen :]

    def until_escape(self) -> list[Key]:
        """Strike Escape; the keys that came before it and since the last look."""
        self.hands.strike(ESCAPE)
        until(lambda: [line for line in self._lines() if line.endswith("esc, down 0")], "Escape")
        lines = self._lines()
        self._seen += len(lines)
        parts = (line.partition("key qcode ")[2].partition(", down ") for line in lines)
        keys = [(name, down == "1") for name, _, down in parts]
        for key in keys:
            if key == ("esc", True):
                self.at_escape = set(self.down)
            (self.down.add if key[1] else self.down.discard)(key[0])
        assert keys[-1] == ("esc", False)
        return [key for key in keys if key[0] != "esc"]

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Keep the viewer from reading anything."""
        self._viewer.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._viewer.signal(signal.SIGCONT)

    def wait_up(self, name: str) -> None:
        """Wait until that key goes up in the guest."""
        until(lambda: [x for x in self._lines() if x.endswith(f"{name}, down 0")], f"{name} up")

    @property
    def lights(self) -> int | None:
        """Lights that the guest has set: 1 Scroll, 2 Num, 4 Caps; None before it has set any."""
        lines = self._qemu.trace("^ps2_set_ledstate")
        return int(lines[-1].split()[-1], 0) if lines else None

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Have the focus on no window of the viewer's."""
        self._xvfb.xdotool("windowfocus", self.hands.root)
        try:
            yield
        finally:
            self._xvfb.xdotool("windowfocus", "--sync", self.window)

    def check_down(self, *codes: int) -> None:
        """Check that just these modifiers are down for the guest at its next key, Escape."""
        keys = self.until_escape()
        assert self.at_escape == {MODIFIERS[code] for code in codes}, keys
