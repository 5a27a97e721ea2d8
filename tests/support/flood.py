"""A guest that prints without end (`guests.typewriter`), and how it comes to rest."""

from __future__ import annotations

import time

from tests.support.qemu import Qemu
from tests.support.viewer import Viewer
from tests.support.wait import until


def settled(qemu: Qemu, viewer: Viewer) -> None:
    """The guest stops; what QEMU sees is what the screen shows."""
    qemu.stop()
    viewer.wait_shows(qemu.screendump(), timeout=20.0)


def end_flood(qemu: Qemu) -> None:
    """Back to the first text mode: a window of that size is wholly on any desktop."""

    def quiet() -> bool:
        qemu.send_keys("f1")  # the first one may only end the flood
        before = qemu.screendump()
        time.sleep(0.2)
        after = qemu.screendump()
        return before.shape == after.shape and int((before != after).sum()) < 1000

    until(quiet, "the guest to be quiet")
