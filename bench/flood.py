"""How many pictures a second get to the screen when a guest changes all of it all the time.

Each update is followed by a call that has to be answered, so that the source is as fast as
the viewer takes what it sends. Only the last pixel of the guest's picture tells one from
another; whoever shows that has copied everything before it.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure
from bench.measure import Case, Session
from bench.screen import Screen
from bench.viewers import Viewer

SHOWN = "shown per second, flood of 720p map full frames, no pacing"
CASE = Case(1280, 720, "map")


def measure(viewers: Sequence[Viewer], turns: int, seconds: float) -> list[Figure]:
    """In turns, all viewers running."""
    figures = [Figure(SHOWN, viewer.name, []) for viewer in viewers]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        sessions = []
        for viewer in viewers:
            screen = stack.enter_context(Screen(CASE.width, CASE.height))
            session = Session(viewer, CASE, screen, Path(folder, "log"))
            sessions.append(stack.enter_context(session))
        for _ in range(turns):
            for session, figure in zip(sessions, figures, strict=True):
                figure.values.append(_shown(session, seconds))
    return figures


def _shown(session: Session, seconds: float) -> float:
    """Pictures per second."""
    last = session.case.width - 1, session.case.height - 1
    x, y = session.on_screen(*last)
    stop = threading.Event()
    source = threading.Thread(target=_change, args=(session, last, stop))
    source.start()
    seen, count, began = session.screen.pixel(x, y), 0, time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        colour = session.screen.pixel(x, y)
        count += colour != seen
        seen = colour
        time.sleep(20e-6)
    stop.set()
    source.join()
    return count / (now - began)


def _change(session: Session, last: tuple[int, int], stop: threading.Event) -> None:
    whole = 0, 0, session.case.width, session.case.height
    for colour in itertools.cycle(range(1, 1 << 24)):
        if stop.is_set():
            return
        session.guest.paint((*last, 1, 1), colour)
        session.guest.send(whole)
        session.guest.ask()
