"""Pointer, buttons and wheel of a window to pointer calls.

An absolute guest pointer follows the host's over the picture. A relative one needs
a grab, taken by the first click, and then gets movements as they come.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from glview.ui.grab import Grab

LEFT, MIDDLE, RIGHT, WHEEL_UP, WHEEL_DOWN, SIDE, EXTRA, WHEEL_LEFT, WHEEL_RIGHT = range(9)
"""Buttons, numbered as by QEMU (`InputButton`)."""

FROM_GLFW = {0: LEFT, 1: RIGHT, 2: MIDDLE, 3: SIDE, 4: EXTRA}


class PointerSink(Protocol):
    """Where pointer calls go."""

    def press_button(self, button: int) -> None:
        """A button goes down, where the pointer was moved to last."""

    def release_button(self, button: int) -> None:
        """A button goes up."""

    def abs_position(self, x: int, y: int) -> None:
        """The pointer is at a pixel of the console."""

    def rel_motion(self, dx: int, dy: int) -> None:
        """The pointer moved."""

    def drop_motion(self) -> None:
        """Motion that was not sent yet shall not be sent."""


class Viewport(NamedTuple):
    """Where the picture is drawn, and how large the guest's console is.

    `x`, `y` (top left), `width` and `height` are in framebuffer pixels of the
    window, `guest_width` and `guest_height` in pixels of the console. `scale` is how
    many framebuffer pixels, across and down, make a unit of `Mouse.motion`'s positions.
    """

    x: float
    y: float
    width: float
    height: float
    guest_width: int
    guest_height: int
    scale: tuple[float, float] = (1.0, 1.0)

    def to_guest(self, x: float, y: float) -> tuple[int, int] | None:
        """The console's pixel under a position, the nearest one if it is outside.

        QEMU refuses positions outside the console. None where nothing is drawn.
        """
        if min(self.width, self.height, self.guest_width, self.guest_height) <= 0:
            return None
        return (
            _pixel(x * self.scale[0] - self.x, self.width, self.guest_width),
            _pixel(y * self.scale[1] - self.y, self.height, self.guest_height),
        )


def _pixel(offset: float, extent: float, size: int) -> int:
    """The pixel of `size` at `offset` of `extent`; exact at 1:1, since it multiplies first."""
    return min(max(math.floor(offset * size / extent), 0), size - 1)


ROUNDING = 1e-6  # ten tenths are a whole, also in binary


class Fraction:
    """Adds up parts of a unit and hands out the whole ones."""

    def __init__(self) -> None:
        self._rest = 0.0

    def add(self, amount: float) -> int:
        """Add `amount`; returns the whole units there are now, towards zero."""
        total = self._rest + amount
        whole = math.trunc(total + math.copysign(ROUNDING, total))
        self._rest = total - whole
        return whole

    def turn(self, amount: float) -> int:
        """The same, but a change of direction starts from nothing."""
        if amount * self._rest < 0:
            self._rest = 0.0
        return self.add(amount)


class Mouse:
    """What the pointer, the buttons and the wheel of the window do in the guest."""

    def __init__(self, sink: PointerSink, grab: Grab | None = None) -> None:
        self.sink = sink
        self._grab = grab or Grab()
        self._absolute = False
        self._viewport: Viewport | None = None
        self._position: tuple[float, float] | None = None
        self._parts = Fraction(), Fraction()
        self._wheel = Fraction(), Fraction()
        self._held: dict[int, None] = {}  # buttons of QEMU's, in the order of pressing
        self._grab.watch(self._grab_changed)

    @property
    def held(self) -> tuple[int, ...]:
        """QEMU's numbers of the buttons that are down, the first pressed first."""
        return tuple(self._held)

    @property
    def absolute(self) -> bool:
        """Whether the guest's pointer takes positions (`Mouse.IsAbsolute` of QEMU)."""
        return self._absolute

    @absolute.setter
    def absolute(self, absolute: bool) -> None:
        """Switch kinds. Buttons stay down until they are let go: one release for each press."""
        if absolute == self._absolute:
            return
        self._absolute = absolute
        self._parts = Fraction(), Fraction()
        self.sink.drop_motion()  # QEMU refuses motion of the other kind
        if absolute:
            self._grab.release()
            self._point()

    @property
    def viewport(self) -> Viewport | None:
        """Where the picture is; None before the first one."""
        return self._viewport

    @viewport.setter
    def viewport(self, viewport: Viewport | None) -> None:
        """Place the picture. The pixel under a resting pointer may be another now."""
        if viewport != self._viewport:
            self._viewport = viewport
            self._point()

    def _grab_changed(self, grabbed: bool) -> None:
        """Forget the position at the end: it was that of the locked pointer (see `motion`)."""
        if not grabbed:
            self._position = None

    def motion(self, x: float, y: float) -> None:
        """The host's pointer is at `x`, `y`, from the window's top left.

        While it is locked GLFW goes on from where it was locked and reports positions
        without bounds: what counts then is the difference.
        """
        before, self._position = self._position, (x, y)
        if self._absolute:
            self._point()
        elif self._grab.grabbed and before is not None:
            self._move(x - before[0], y - before[1])

    def _point(self) -> None:
        if self._absolute and self._position is not None and self._viewport is not None:
            pixel = self._viewport.to_guest(*self._position)
            if pixel is not None:
                self.sink.abs_position(*pixel)

    def _move(self, dx: float, dy: float) -> None:
        whole = self._parts[0].add(dx), self._parts[1].add(dy)
        if whole != (0, 0):
            self.sink.rel_motion(*whole)

    def button(self, number: int, pressed: bool) -> None:
        """A button of GLFW's goes down or up; those QEMU has no name for are dropped."""
        self._grab.other_input()
        button = FROM_GLFW.get(number)
        if button is None:
            return
        if pressed:
            if not self._absolute:
                self._grab.take()
            self._held[button] = None
            self.sink.press_button(button)
        elif button in self._held:
            del self._held[button]
            self.sink.release_button(button)

    def scroll(self, x: float, y: float) -> None:
        """The wheel turned by so many steps, or parts of one: `x` left, `y` up (GLFW)."""
        self._grab.other_input()
        self._click(self._wheel[1].turn(y), WHEEL_UP, WHEEL_DOWN)
        self._click(self._wheel[0].turn(x), WHEEL_LEFT, WHEEL_RIGHT)

    def _click(self, steps: int, positive: int, negative: int) -> None:
        button = positive if steps > 0 else negative
        for _ in range(abs(steps)):
            self.sink.press_button(button)
            self.sink.release_button(button)

    def release_all(self) -> None:
        """Lift every button: focus lost, window closed, VM gone, signal to end."""
        for button in reversed(self._held):
            self.sink.release_button(button)
        self._held.clear()
        self._wheel = Fraction(), Fraction()
