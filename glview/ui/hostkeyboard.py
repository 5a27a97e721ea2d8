"""The host's keyboard, as far as the key events that GLFW passes on do not tell of it.

Others take the keyboard for a while (a window manager, a launcher, a screen lock)
and keep the releases of keys to themselves, while the window's focus stays. So the
state of the real keyboard is asked for, and wins. One implementation for each
window system: `glview.x11.keyboard`, `glview.wayland.keyboard`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Locks(NamedTuple):
    """Which locks are on; None for one that this keyboard cannot switch."""

    caps: bool | None
    num: bool | None
    scroll: bool | None


class HostKeyboard(Protocol):
    """The keyboard of one window. Belongs to the main thread.

    Opened at the first key event, and read through the connection that GLFW has:
    no descriptor of its own, nothing that wakes the main loop. Scancodes are
    GLFW's for this window system.
    """

    @property
    def behind(self) -> bool:
        """Return True while key events are still on their way to GLFW's callback.

        What the keyboard's state says then may be newer than what the guest was
        told: `missed` and `locks` are to be asked again after these events.
        """

    def dispatch(self) -> None:
        """Take in what was read together with the events that GLFW has just delivered."""

    def came_back(self) -> bool:
        """Return True once after each time that the keyboard may have been another's.

        That is after the window got the focus, and after each begin and end of a
        grab by somebody else. Does not ask the window system.
        """

    def missed(self, held: Collection[int]) -> frozenset[int]:
        """Return those of the scancodes `held` whose release will never be delivered.

        They are up on the host, and no event of theirs is on its way. May ask the
        window system and wait for its answer.
        """

    def locks(self) -> Locks | None:
        """Return the locks of the host, None where they are not known at this moment."""

    def qnum(self, scancode: int) -> int | None:
        """Return QEMU's number of the key, None for a key unknown to QEMU."""

    def close(self) -> None:
        """Let go of everything; the window is still there. A second call does nothing."""
