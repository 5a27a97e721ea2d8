"""What the user sees: the window, and in it the picture, the pointer and text."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from glview.gl.scene import Scene
from glview.intake import PROBLEM_SHOWN, Intake
from glview.present import opening
from glview.present.measured import MeasuredPresenter
from glview.present.presenter import Presenter, Wanted
from glview.scanout.geometry import Rect, fit
from glview.scanout.mailbox import Shortcut, Snapshot
from glview.scanout.screen import SHOW_AFTER, Screen
from glview.scanout.source import DmabufSource
from glview.stats.recorder import Recorder
from glview.text import printable
from glview.ui import platform as window_system
from glview.ui.controls import Controls
from glview.ui.hud import Hud
from glview.ui.keymap import Platform
from glview.ui.notice import Notice
from glview.ui.sprite import Sprite
from glview.ui.window import Window

if TYPE_CHECKING:
    from glview.ui.hostkeyboard import HostKeyboard

log = logging.getLogger(__name__)

GONE_LIGHT = 0.4  # how bright the last picture of a VM that has gone stays
_LONGEST_NAME = 120  # characters of a VM's name in the title; room is left for the hint
SETTLED = 0.25  # seconds after the user's last resize

PointerMode = Literal["normal", "hidden", "locked"]


class View:
    """The window is made when the first picture comes, at its size.

    `closed` is set when the user closes it. `on_hidden` tells when nothing is
    drawn any more, or again; `on_user_size(size, millimetres)` a size that the
    user gave the window, once it has settled; for `on_refused` see `Intake`.
    """

    def __init__(
        self,
        glfw: ModuleType,
        platform: Platform,
        wanted: Wanted,
        on_hidden: Callable[[bool], None],
        on_user_size: Callable[[tuple[int, int], tuple[int, int]], None],
        on_refused: Callable[[DmabufSource], bool],
        recorder: Recorder,
        *,
        lock_sync: bool = True,
    ) -> None:
        self._glfw = glfw
        self._platform: Platform = platform
        self._wanted = wanted
        self._on_hidden = on_hidden
        self._on_user_size = on_user_size
        self.closed = False
        self.hidden = False
        self.window: Window | None = None
        self.controls = Controls(platform, self._grabbed, self._open_keyboard, lock_sync=lock_sync)
        self.hud = Hud(recorder)
        self._recorder = recorder
        self._presenter: Presenter | None = None
        self._screen = Screen()
        self._sprite = Sprite()
        self._notice = Notice()
        self.intake = Intake(self._screen, self._notice, on_refused)
        self._off = Notice()
        self._off.show("The guest has switched its display off.")
        self._name = "glview"
        self._light = 1.0
        self._live = False
        self._user_sized = False
        self._settled_at: float | None = None
        self._pointer_mode: PointerMode = "normal"
        self._guest = (0, 0)
        self._place = Rect(0, 0, 0, 0)
        self._dirty = False
        self._due: float | None = None  # when the window is ready for a frame that waits

    # -- what there is to see ----------------------------------------------

    def begin(self, name: str) -> None:
        """A VM of this name is connected; its picture will follow."""
        self._name = printable(name, _LONGEST_NAME)
        self._live = True
        self._sprite.forget()
        self._retitle()

    def end(self, text: str) -> None:
        """The VM has gone: dim its last picture and say so."""
        self._live = False
        self._light = GONE_LIGHT
        self.intake.end()
        self._screen.forget()
        self._sprite.forget()
        self.controls.disconnect()
        self._notice.show(text)
        self._dirty = True

    def tell(self, text: str) -> None:
        """Show a line of text until something else is to be said."""
        self._notice.show(text)
        self._dirty = True

    def warn(self, text: str) -> None:
        """Show a line of text for a while."""
        self._notice.show(text, until=time.monotonic() + PROBLEM_SHOWN)
        self._dirty = True

    def take(self, news: Snapshot) -> None:
        """Take in what came from the listener."""
        now = time.monotonic()
        if news.problem is not None:
            self.warn(f"QEMU sent something that cannot be shown: {news.problem}")
        if news.cursor is not None or news.pointer is not None:
            self._sprite.update(news.cursor, news.pointer)
            self._dirty = True
        if self._screen.apply(news, now):
            self._picture_changed()

    def _picture_changed(self) -> None:
        source = self._screen.source
        self._dirty = True
        if source is None:
            return
        if self._light != 1.0 and self._live:
            self._light = 1.0
            self._notice.clear()
        guest = source.width, source.height
        if guest == self._guest and self.window is not None:
            return
        self._guest = guest
        if self.window is None:
            self._open()
        elif not self._user_sized:
            self.window.ask_size(*self._guest)
        self._arrange()

    def _open(self) -> None:
        self.window, self._presenter = opening.open_window(
            self._glfw, self._platform, self._name, self._guest, self._wanted, self
        )
        self.intake.presenter = self._presenter
        self._measure()
        self._retitle()

    def _measure(self) -> None:
        """Have the recorder told of frames, once it records; then it goes on being told."""
        plain = self._presenter
        if self._recorder.on and plain is not None and not isinstance(plain, MeasuredPresenter):
            assert self.window is not None
            self._presenter = MeasuredPresenter(plain, self.window, self._recorder)
            self.intake.presenter = self._presenter

    def _arrange(self) -> None:
        """Place the picture in the window, for the eye and for the pointer."""
        if self.window is not None and self._guest != (0, 0):
            self._place = fit(*self._guest, *self.window.size, self.window.slack)
            self.controls.place(self._place, self._guest, self.window.scale)

    # -- time --------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due."""
        self.hear_presenter()
        if self.window is not None:
            self.window.tick(now)
        if self._screen.tick(now):
            self._picture_changed()
        if self._notice.tick(now) or self.hud.tick(now):
            self._dirty = True
        self.controls.tick()
        if self._settled_at is not None and now >= self._settled_at:
            self._settled_at = None
            if self.window is not None:
                self._on_user_size(self.window.size, self.window.physical_size)

    def hear_presenter(self) -> bool:
        """Take in what became of earlier frames. True where there is one to draw."""
        if self._presenter is not None and self._presenter.poll():
            self._dirty = True
        return self._dirty

    def deadlines(self) -> list[float | None]:
        """When `tick` or a draw is due; None is never."""
        return [
            self.window.deadline if self.window is not None else None,
            self._screen.deadline(),
            self._notice.deadline,
            self.hud.deadline,
            self._settled_at,
            self.controls.deadline,
            self.intake.deadline,
            self._due,
        ]

    def fds(self) -> tuple[int | None, int | None, int | None]:
        """Descriptors, as far as there are any, that are readable when something happens.

        Of the window, of the presenter, of the fence after the last `read`.
        """
        window, presenter = self.window, self._presenter
        if presenter is None:
            return window.fd if window else None, None, None
        return window.fd if window else None, presenter.fd, presenter.fence_fd

    @property
    def shortcut(self) -> Shortcut | None:
        """See `Presenter`."""
        return self._presenter.shortcut if self._presenter is not None else None

    def read(self) -> None:
        """Copy what has changed of the guest's dma-buf, and show it."""
        self.intake.read()
        self._dirty = True

    # -- drawing -----------------------------------------------------------

    @property
    def wants_draw(self) -> bool:
        """Whether there is something new, complete, and a window ready for it."""
        window, presenter = self.window, self._presenter
        self._due = None
        if not self._dirty or window is None or presenter is None:
            return False
        if self.hidden or min(window.size) <= 0:
            return False
        if self.intake.incomplete or (self._wanted.pacing and not window.ready):
            return False
        due = max(window.held, window.next_frame if self._wanted.pacing else 0.0)
        if time.monotonic() < due:
            self._due = due
            return False
        return presenter.released() and presenter.ready()

    def draw(self) -> None:
        """Draw what there is."""
        assert self.window is not None
        assert self._presenter is not None
        self._dirty = False
        self.intake.catch_up()
        self._presenter.draw(self._scene())

    def show(self) -> bool:
        """Put what was drawn on the screen. True where events may have been read meanwhile."""
        return self._presenter is not None and self._presenter.show()

    def _scene(self) -> Scene:
        assert self.window is not None
        place = None if self._screen.blank else self._place
        sprite = None
        if place is not None and self._guest != (0, 0):
            host = self.controls.pointer if self.controls.absolute else None
            sprite = self._sprite.placed(place, self._guest, host)
        said = self._notice.placed(self.window.size, self.window.scale[0])
        if said is None and self._screen.blank:
            said = self._off.placed(self.window.size, self.window.scale[0])
        hud = self.hud.placed(self.window.size, self.window.scale[0])
        self._choose_pointer()
        return Scene(*self.window.size, place, self._light, sprite, said, hud)

    # -- the host's pointer ------------------------------------------------

    def _choose_pointer(self) -> None:
        """Hide the host's pointer where the guest's is in its place."""
        mode: PointerMode = "normal"
        if self.controls.grab.grabbed:
            mode = "locked"
        elif self.controls.absolute and self._sprite.visible:
            mode = "hidden"
        if mode != self._pointer_mode and self.window is not None:
            self._pointer_mode = mode
            self.window.set_pointer(mode)

    def _grabbed(self, _grabbed: bool) -> None:
        self._choose_pointer()
        self._retitle()

    def _retitle(self) -> None:
        if self.window is not None:
            self.window.set_title(self.controls.grab.title(f"{self._name} - glview"))

    # -- what happens to the window ----------------------------------------

    def poll_events(self) -> None:
        """Deliver the window's events that are there; never waits."""
        if self.window is not None:
            self.window.poll_events()
            self.controls.events_delivered()

    def _open_keyboard(self) -> HostKeyboard | None:
        """Find the keyboard beside GLFW's; costs nothing before the first key."""
        if self._platform == "x11":
            from glview.x11.keyboard import X11Keyboard

            return X11Keyboard(window_system.x11_display(self._glfw))
        from glview.wayland.keyboard import WaylandKeyboard

        return WaylandKeyboard(window_system.wayland_display(self._glfw))

    def on_key(self, scancode: int, action: int) -> None:
        number = self.controls.key(scancode, action)
        if self.hud.pressed(number, self.controls.held):
            self._measure()
            self._dirty = True

    def on_motion(self, x: float, y: float) -> None:
        self.controls.motion(x, y)
        if self.controls.absolute and self._sprite.visible:
            self._dirty = True

    def on_button(self, number: int, pressed: bool) -> None:
        self.controls.button(number, pressed)

    def on_scroll(self, x: float, y: float) -> None:
        self.controls.scroll(x, y)

    def on_inside(self, inside: bool) -> None:
        if not inside:
            self.controls.left()
            self._dirty = self._dirty or self._sprite.visible

    def on_focus(self, focused: bool) -> None:
        if not focused:
            self.controls.focus_lost()

    def on_resized(self, by_user: bool) -> None:
        if by_user:
            self._user_sized = True
            self._settled_at = time.monotonic() + SETTLED
        self._arrange()
        self.on_damaged()

    def on_damaged(self) -> None:
        self._dirty = True
        if self._presenter is not None:
            self._presenter.damaged()

    def on_hidden(self, hidden: bool) -> None:
        self.hidden = self.intake.hidden = hidden
        self._dirty = True
        self._screen.rest_at = time.monotonic() + SHOW_AFTER  # an update is better, if one comes
        self._on_hidden(hidden)

    def on_close(self) -> None:
        self.closed = True

    def close(self) -> None:
        """Lift what is pressed, delete everything."""
        self.controls.close()
        if self._presenter is not None:
            self._presenter.close()  # that nobody reads the sources, which go now
        self._screen.forget()
        if self.window is not None:
            self.window.close()
