"""A line or two of text over the picture: what is wrong, or what is being waited for."""

from __future__ import annotations

from glview.gl.scene import Image
from glview.scanout.geometry import Rect
from glview.text import printable


class Notice:
    """The text that is shown now, drawn anew only when it or the window's size changes."""

    def __init__(self) -> None:
        self._text = ""
        self.deadline: float | None = None
        self._made_for: tuple[str, tuple[int, int], int] | None = None
        self._made: tuple[Image, Rect] | None = None

    def show(self, text: str, until: float | None = None) -> None:
        """Show `text`, until `clear` or a monotonic time.

        It may quote a peer: line feeds in it are escaped, as nothing else in a picture
        tells what is glview's own line.
        """
        self._text, self.deadline = printable(text), until

    def clear(self) -> None:
        """Show nothing."""
        self._text, self.deadline = "", None

    def tick(self, now: float) -> bool:
        """Let time pass. True where the text has just gone."""
        if self.deadline is None or now < self.deadline:
            return False
        self.clear()
        return True

    def placed(self, size: tuple[int, int], scale: float) -> tuple[Image, Rect] | None:
        """The text as an image and where it goes in a framebuffer of `size`."""
        if not self._text:
            return None
        wanted = self._text, size, max(1, round(scale))
        if wanted != self._made_for:
            self._made_for, self._made = wanted, _draw(*wanted)
        return self._made


def _draw(text: str, size: tuple[int, int], scale: int) -> tuple[Image, Rect] | None:
    from glview.ui import overlay  # fonts are not needed for the first frame

    x, y, drawn = overlay.layout([text], size, scale, overlay.Position.BOTTOM)
    if not drawn.pixels:
        return None
    image = Image(drawn.width, drawn.height, drawn.pixels, "rgba")
    return image, Rect(x, y, drawn.width, drawn.height)
