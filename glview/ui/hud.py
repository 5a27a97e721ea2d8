"""Figures of the last second in the window's corner, switched by Ctrl+Alt+Shift+F12."""

from __future__ import annotations

import time
from collections.abc import Collection

from glview.gl.scene import Image
from glview.scanout.geometry import Rect
from glview.stats import figures
from glview.stats.recorder import Recorder
from glview.ui.grab import ALT, CTRL, SHIFT

F12 = 0x58
_MARGIN = 8  # pixels to the corner at scale 1


class Hud:
    """What `recorder` has, as an image; it records while the HUD is `on`.

    The text is made at most once a second, when a frame is drawn, and never
    while QEMU waits for an answer that the main thread could give.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.on = False
        self.deadline: float | None = None
        self._recorder = recorder
        self._stale = False
        self._text = ""
        self._made_for: tuple[str, tuple[int, int], int] | None = None
        self._made: tuple[Image, Rect] | None = None

    def pressed(self, number: int | None, held: Collection[int]) -> bool:
        """Watch the keys that go down; True where this one switched the HUD.

        `number` and those of all that are `held` are qnums. The guest gets them too.
        """
        if number != F12 or not all(not kind.isdisjoint(held) for kind in (CTRL, ALT, SHIFT)):
            return False
        self.switch()
        return True

    def switch(self) -> None:
        """On, or off again."""
        self.on = not self.on
        if not self.on:
            self._recorder.stop()
            self.deadline = None
            return
        self._recorder.start()
        now = time.monotonic()
        self._meter = figures.Meter(self._recorder, now)
        self.deadline, self._stale = now + figures.EVERY, True

    def tick(self, now: float) -> bool:
        """Let time pass. True where there are new figures to draw."""
        if self.deadline is None or now < self.deadline:
            return False
        self.deadline, self._stale = now + figures.EVERY, True
        return True

    def placed(self, size: tuple[int, int], scale: float) -> tuple[Image, Rect] | None:
        """The figures as an image and where it goes in a framebuffer of `size`."""
        if not self.on:
            return None
        if self._stale:
            self._stale = False
            self._text = "\n".join(figures.table(self._meter.read(time.monotonic())))
        wanted = self._text, size, max(1, round(scale))
        if wanted != self._made_for:
            self._made_for, self._made = wanted, _draw(*wanted)
        return self._made


def _draw(text: str, size: tuple[int, int], scale: int) -> tuple[Image, Rect] | None:
    from glview.ui import overlay  # fonts are not needed for the first frame

    margin = _MARGIN * scale
    drawn = overlay.render_box(text, size[0] - 2 * margin, size[1] - 2 * margin, scale)
    if not drawn.pixels:
        return None
    image = Image(drawn.width, drawn.height, drawn.pixels, "rgba")
    return image, Rect(size[0] - margin - drawn.width, margin, drawn.width, drawn.height)
