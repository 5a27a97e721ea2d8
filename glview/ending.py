"""The end of the process by a signal: in order where that is possible, in bounded time always.

SIGINT, SIGTERM and SIGHUP have three effects, one after the other in a viewer's life:

- until `watch`, nothing has been started, and they end the process as they do any other;
- then, until the viewer's main loop runs, what `last` names is done and the process ends
  with 128 + the signal's number;
- in the main loop, which is `loop`, they ask the viewer to close. The main thread may be
  in a call to an X server that does not answer, so if the loop is not over after
  `PATIENCE` seconds, what `last` names is done by the thread that hears the signals,
  and the process ends.

Later ones have no effect: the end is under way, and takes no longer than it has to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from glview import output
from glview.errors import InternalError, ResourceError
from glview.threads import Thread

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

PATIENCE = 3.0
"""Seconds that the main thread has for closing the window."""

LAST = 15.0
"""Seconds that all of `last` may take; QEMU has 10 for writing back its disk images."""

Last = Callable[[], int | None]


class _Watch:
    """The thread that hears the signals, and what it knows."""

    def __init__(self) -> None:
        self.lasts: list[Last] = []
        self.stop: Callable[[int], int] | None = None
        self.over = threading.Event()  # no signal has an effect any more
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda *_: None)  # the byte in the pipe tells
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        Thread("signals", self._run, _give_up).start()

    def _run(self) -> None:
        while True:
            for number in os.read(self._reader, 64):
                if number in SIGNALS and not self.over.is_set():
                    self._heard(number)

    def _heard(self, number: int) -> None:
        if self.stop is None:
            leave(128 + number)
        code = self.stop(number)
        if not self.over.wait(PATIENCE):
            log.warning("the window system does not answer; ending without it")
            leave(code)


def _give_up(line: str) -> None:
    """End in order what no signal could end any more."""
    log.error("%s", line)
    leave(InternalError.exit_code)


_watch: _Watch | None = None
_leaving = threading.Lock()


def watch() -> None:
    """Hear signals from here on. To be called by the main thread; a second call does nothing."""
    global _watch  # noqa: PLW0603 - signals belong to the process
    if _watch is None:
        _watch = _Watch()


@contextlib.contextmanager
def loop(stop: Callable[[int], int]) -> Iterator[None]:
    """Have `stop(number)` called, by another thread, at each signal during the body.

    `stop` returns the exit code for an end without the main thread. Signals have no effect
    after the body.
    """
    watch()
    assert _watch is not None
    _watch.stop = stop
    try:
        yield
    finally:
        _watch.over.set()


@contextlib.contextmanager
def last(action: Last) -> Iterator[None]:
    """Have `action` done if the process ends by `leave` during the body.

    It is called by any thread while the main thread may be in the middle of anything. The
    exit code that it returns, if any, becomes that of the process.
    """
    watch()
    assert _watch is not None
    lasts = _watch.lasts
    lasts.append(action)
    try:
        yield
    finally:
        lasts.remove(action)


def leave(code: int) -> NoReturn:
    """End the process now: do what `last` names, newest first, write what is to be written.

    Never returns, and takes no longer than `LAST` and the flush of the output.
    """
    while not _leaving.acquire(blocking=False):
        time.sleep(LAST)  # another thread is at it
    codes = [code]
    if _watch is not None and _watch.lasts:
        lasts = _watch.lasts[::-1]
        doing = Thread("last things", lambda: _do_all(lasts, codes), log.debug)
        with contextlib.suppress(ResourceError):
            doing.start()
            doing.join(LAST)
    output.flush()
    os._exit(codes[-1])


def _do_all(lasts: list[Last], codes: list[int]) -> None:
    for action in lasts:
        try:
            code = action()
        except Exception:
            log.debug("while ending", exc_info=True)
        else:
            codes += [] if code is None else [code]
