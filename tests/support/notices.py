"""Lines of text over a picture, and what is shown of a VM that is gone: its last one, dimmed."""

from __future__ import annotations

import numpy as np

from glview.ui import overlay
from tests.support.blend import over
from tests.support.screen import Picture
from tests.support.stage import Stage
from tests.support.viewer import Viewer


def dimmed(viewer: Viewer, picture: Picture) -> bool:
    """Whether the window shows that picture, darker, in its upper half (text may be below)."""
    upper = picture.shape[0] // 2
    shown = viewer.picture()
    if shown.shape != picture.shape:
        return False
    want = picture[:upper].astype(np.float32) * 0.4
    return bool((np.abs(shown[:upper].astype(np.float32) - want) <= 1.0).all())


def has_text(viewer: Viewer, picture: Picture) -> bool:
    """Whether white letters in a dark box stand in the lower half."""
    lower = viewer.picture()[picture.shape[0] // 2 :]
    return int((lower == 255).all(axis=-1).sum()) > 100


def with_text(picture: Picture, text: str) -> Picture:
    """The picture with that text in a box at the bottom."""
    height, width, _ = picture.shape
    x, y, box = overlay.layout([text], (width, height), 1, overlay.Position.BOTTOM)
    pixels = np.frombuffer(box.pixels, np.uint8).reshape(box.height, box.width, 4)
    return over(picture, pixels, x, y)


def text_over(stage: Stage, since: int, *pictures: Picture) -> str:
    """The line of stderr that one of the pictures is shown under, empty if none is.

    It is one of those written after the first `since` characters.
    """
    stage.viewer.check_alive()
    for line in stage.viewer.output[since:].splitlines():
        text = line.removeprefix("glview: ")
        if not all(stage.differs(with_text(picture, text), 1) for picture in pictures):
            return text
    return ""
