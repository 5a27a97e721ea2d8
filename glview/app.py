"""The viewer: one main loop that joins the session and what the user sees."""

from __future__ import annotations

import gc
import logging
import queue
import select
import time
from typing import TYPE_CHECKING, NamedTuple

from glview import ending
from glview.errors import GlviewError, NoDisplayError
from glview.present.presenter import Wanted
from glview.qemu import events
from glview.qemu.session import Session
from glview.qemu.waiting import is_absence
from glview.qemu.ways import Way
from glview.scanout.busfault import Guard
from glview.scanout.mailbox import WakeUp
from glview.scanout.memory import return_large_blocks
from glview.scanout.source import DmabufSource
from glview.stats.figures import Printer
from glview.stats.recorder import Recorder
from glview.ui import platform as window_system
from glview.ui.keymap import Platform
from glview.ui.loading import Choice, candidates, start_glfw
from glview.view import View

if TYPE_CHECKING:
    from types import ModuleType

    from glview.stats.trace import Trace

log = logging.getLogger(__name__)

_RETRY_MOTION = 0.01  # while QEMU does not read our input
_FENCE_POLL = 0.001  # while the GPU still reads the guest's buffer
_CUT = "QEMU has cut off memory that it shares with this window: what is missing is black."


class Settings(NamedTuple):
    """What the command line decides about a viewer."""

    console: int | None = None
    wait: bool = False
    reconnect: bool = True
    resize_guest: bool = True
    lock_sync: bool = True
    offer_map: bool = True
    offer_dmabuf2: bool = True
    show: Wanted = Wanted()
    stats: bool = False
    hud: bool = False
    trace: Trace | None = None
    platform: Choice = "auto"


class App:
    """One viewer of one console. Belongs to the main thread; `run` is its life."""

    def __init__(self, way: Way, settings: Settings) -> None:
        self._settings = settings
        self._wake = WakeUp()
        self._recorder = Recorder()
        self._printer: Printer | None = None
        self._session = Session(
            way,
            settings.console,
            self._wake.ring,
            wait=settings.wait,
            reconnect=settings.reconnect,
            offer_map=settings.offer_map,
            offer_dmabuf2=settings.offer_dmabuf2,
            recorder=self._recorder,
        )
        self._link: events.Connected | None = None
        self._asked: list[int] = []  # calls that wait for the guest's buffer to be read
        self._covered: list[int] = []  # those that the reading under way is for
        self._reading = False  # it was not over yet when that was looked at last
        self._done = False
        self._rung = True  # something may have come from another thread
        self._look = True  # or from the window system
        self._polled: tuple[int | None, ...] = ()
        self._poller = select.poll()
        self._error: GlviewError | None = None
        self._code = 0
        self._made: View | None = None  # `_view`, for other threads, which may come earlier
        self._guard = Guard(self._memory_cut)
        self._cut = False  # memory of this connection's was missing
        self._said_cut = False

    def run(self) -> int:
        """Show the console until the user closes the window. Raises GlviewError.

        Returns the exit code: 0, or 128 + the number of a signal that came while there was
        no window that it could have closed.
        """
        platforms = candidates(self._settings.platform)
        return_large_blocks()
        with ending.loop(self._signalled), ending.last(self._lift):
            self._guard.start()
            self._start_recording()
            self._session.start()
            glfw, platform = start_glfw(platforms)
            self._display = window_system.connection_fd(glfw, platform)
            self._view = self._made = View(
                glfw,
                platform,
                self._settings.show,
                self._hidden,
                self._user_resized,
                self._refused,
                self._recorder,
                lock_sync=self._settings.lock_sync,
            )
            if self._settings.hud:
                self._view.hud.switch()
            gc.freeze()  # what the start has made stays; no collection need look at it
            self._loop(glfw, platform)
        if self._error is not None:
            raise self._error
        return self._code

    def _loop(self, glfw: ModuleType, platform: Platform) -> None:
        """Turn until the end; then close everything."""
        gone = False
        try:
            while not (self._done or self._view.closed):
                self._turn()
            window_system.check_connection(glfw, platform)
        except NoDisplayError:
            gone = True
            raise
        finally:
            self._view.close()
            self._session.close()
            if not gone:  # libwayland would send for ever
                glfw.terminate()
            self._guard.stop()
            self._wake.close()
            if self._printer is not None:
                self._printer.print(time.monotonic())

    def _start_recording(self) -> None:
        """As far as the command line wants it."""
        settings = self._settings
        if settings.stats:
            self._recorder.start()
            self._printer = Printer(self._recorder)
        if settings.trace is not None:
            self._recorder.start()
            self._recorder.sink = settings.trace.put

    def _signalled(self, number: int) -> int:
        """Have the loop end, on the thread that hears signals; return the exit code."""
        shown = self._made is not None and self._made.window is not None
        self._code = 0 if shown else 128 + number
        self._done = True
        self._wake.ring()
        return self._code

    def _lift(self) -> None:
        """Lift what is pressed: the process ends while the main thread is stuck."""
        if self._made is not None:
            self._made.controls.release_all()

    def _memory_cut(self) -> None:
        """Memory was missing; in whatever thread read it, while it reads."""
        self._cut = True
        self._wake.ring()

    # -- one turn of the loop ----------------------------------------------

    def _turn(self) -> None:
        view = self._view
        if self._look:
            view.poll_events()
        if self._rung:
            self._hear_session()
            self._take_news()
            self._tell_of_cut()
        now = time.monotonic()
        view.tick(now)
        if self._printer is not None:
            self._printer.tick(now)
        view.controls.flush()
        self._serve_guest()
        if view.wants_draw and not self._reading:  # whether what was read counts is not known
            view.draw()
            if view.show():
                self._rung, self._look = False, True
                return  # look at those events before waiting for others
        if not (self._done or view.closed):
            self._sleep()

    def _sleep(self) -> None:
        self._rung, self._look = False, True
        window = self._view.window
        if window is not None and window.has_events:
            return  # nothing will become readable for those
        if self._reading and self._view.intake.released():
            return  # just now, which nothing will tell of again
        now = time.monotonic()
        times = self._view.deadlines()
        times.append(self._printer.deadline if self._printer is not None else None)
        if self._view.controls.has_motion:
            times.append(now + _RETRY_MOTION)
        if self._reading and self._view.fds()[2] is None:
            times.append(now + _FENCE_POLL)
        deadline = min((t for t in times if t is not None), default=None)
        readable = self._wait(deadline)
        while readable == {self._view.fds()[1]} and not self._view.hear_presenter():
            readable = self._wait(deadline)  # a frame arrived; that alone is no reason for a turn
        self._rung = self._wake.fd in readable
        if self._rung:
            self._wake.clear()
        if window is not None and window.platform == "x11":  # elsewhere GLFW has timers too
            self._look = window.fd in readable
        if window is None and self._display in readable:
            self._done = True

    def _wait(self, deadline: float | None) -> set[int]:
        """The descriptors that became readable before `deadline`, in monotonic seconds."""
        left = None if deadline is None else deadline - time.monotonic()
        timeout = None if left is None else max(0.0, left * 1000 + 0.5)
        return {fd for fd, _ in self._poll().poll(timeout)}

    def _poll(self) -> select.poll:
        """What to wait for; made anew only when it is something else."""
        fds = self._wake.fd, *self._view.fds()
        if fds != self._polled:
            self._polled, self._poller = fds, select.poll()
            for fd in fds:
                if fd is not None:
                    self._poller.register(fd, select.POLLIN)
            if self._view.window is None:  # nobody reads events yet
                self._poller.register(self._display, select.POLLRDHUP)
        return self._poller

    def _take_news(self) -> None:
        if self._link is not None:
            news = self._link.mailbox.take()
            covered = set(self._covered)
            self._asked = [serial for serial in news.replies if serial not in covered]
            self._view.take(news)
            self._link.mailbox.shortcut = self._view.shortcut

    def _tell_of_cut(self) -> None:
        if self._cut and not self._said_cut:
            self._said_cut = True
            log.warning("%s", _CUT)
            self._view.warn(_CUT)

    # -- the guest's buffer ------------------------------------------------

    def _serve_guest(self) -> None:
        """Read the dma-buf that has changed, while QEMU waits for that; then let it go on."""
        view = self._view
        self._reading = not view.intake.released()
        if self._reading:
            return
        self._let_go()
        if view.intake.unread and (self._still_asked() or view.intake.rested):
            self._covered, self._asked = self._asked, []
            view.read()
            self._reading = not view.intake.released()
            if not self._reading:
                self._let_go()
        elif self._asked:  # nothing of it will be shown
            self._covered, self._asked = self._asked, []
            self._answer()

    def _let_go(self) -> None:
        """The buffer is no longer read."""
        if self._covered and not self._answer():
            log.debug("the guest's buffer was read for too long")
            self._view.intake.tear()

    def _still_asked(self) -> bool:
        """Whether QEMU still waits; the listener does not let it for long."""
        if self._link is None or not self._asked:
            return False
        waiting = set(self._link.mailbox.replies.waiting())
        self._asked = [serial for serial in self._asked if serial in waiting]
        return bool(self._asked)

    def _answer(self) -> int:
        """Let QEMU go on; how many of its calls had not been answered yet."""
        covered, self._covered = self._covered, []
        return self._link.listener.answer(covered) if self._link is not None else 0

    # -- the session -------------------------------------------------------

    def _hear_session(self) -> None:
        while True:
            try:
                event = self._session.events.get_nowait()
            except queue.Empty:
                return
            self._handle(event)

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.Connected():
                self._connected(event)
            case events.InputReady():
                self._view.controls.connect(event.calls, event.absolute)
            case events.PointerKind():
                self._view.controls.absolute = event.absolute
            case events.LocksChanged():
                self._view.controls.guest_locks(event.modifiers)
            case events.Waiting():
                log.info("waiting for the VM")
            case events.Gone():
                reason = f" ({event.reason})" if event.reason else ""
                log.warning("the VM has gone; waiting for it to come back%s", reason)
                self._disconnected("The VM has gone. Waiting for it to come back.")
            case events.StillWaiting():
                level = logging.INFO if is_absence(event.error) else logging.WARNING
                log.log(level, "waiting: %s", event.error)
            case events.Broken():
                log.warning("the connection to the VM broke; connecting again: %s", event.reason)
                self._disconnected("The connection to the VM broke. Connecting again.")
            case events.BusLost():
                log.warning("the message bus has gone; the picture stays, input is lost")
                self._view.tell("The message bus has gone: the VM gets no keys and no pointer.")
                self._view.controls.disconnect()
            case events.Replaced():
                log.warning("another viewer has taken over the VM's display")
                self._disconnected("Another viewer has taken over this VM's display.")
            case events.Ended():
                self._error = event.error
                if event.error is not None or self._view.window is None:
                    self._done = True

    def _connected(self, link: events.Connected) -> None:
        log.info(
            "connected to %s, console %d %s", link.vm.name, link.console.id, link.console.label
        )
        self._link = link
        self._cut = self._said_cut = False
        link.mailbox.set_hidden(self._view.hidden)
        self._view.begin(link.vm.name or "QEMU")

    def _disconnected(self, text: str) -> None:
        if self._link is not None:
            self._link.mailbox.close()
        self._link = None
        self._asked, self._covered = [], []
        self._view.end(text)
        self._recorder.forget()

    # -- the view ----------------------------------------------------------

    def _hidden(self, hidden: bool) -> None:
        if self._link is not None:
            self._link.mailbox.set_hidden(hidden)
            self._wake.ring()

    def _user_resized(self, size: tuple[int, int], millimetres: tuple[int, int]) -> None:
        if self._settings.resize_guest:
            self._session.ask_guest_size(*size, millimetres)

    def _refused(self, source: DmabufSource) -> bool:
        """A dma-buf cannot be imported; whether it is copied by the CPU then."""
        if self._link is None or not self._link.listener.copy_instead(source, self._covered):
            return False
        self._covered = []  # answered once it has been copied
        return True
