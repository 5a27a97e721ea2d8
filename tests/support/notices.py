"""What glview shows of a VM that is gone: its last picture, dimmed, and a line of text."""

from __future__ import annotations

import numpy as np

from tests.support.screen import Picture
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
