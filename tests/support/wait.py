"""Waiting for something that happens in another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.005
"""Seconds between two looks."""

PATIENCE = float(os.environ.get("GLVIEW_PATIENCE", "1"))
"""How many times longer this machine may take for everything."""


class Timeout(AssertionError):
    """What was waited for did not happen in time."""


def until(look: Callable[[], T | None], what: str, timeout: float = 10.0) -> T:
    """Call `look` until it returns something true, and return that.

    `timeout` is in seconds, of which slow machines get more; `what` completes
    the sentence "waited for ...".
    Raises `Timeout`.
    """
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Timeout(f"waited {timeout:g} s for {what}")
        time.sleep(POLL)
