"""`python -m bench.cover`: a window over the whole screen, until its standard input ends."""

from __future__ import annotations

import sys
import time
from typing import cast

from bench.draw import Deaf
from glview.ui.glwindow import GLWindow
from glview.ui.loading import candidates, start_glfw
from glview.ui.window import WindowEvents


def main() -> None:
    """Says so in a line once it is there."""
    glfw, platform = start_glfw(candidates())
    window = GLWindow(glfw, platform, "cover", (640, 480), None, cast(WindowEvents, Deaf()))
    monitor = glfw.get_primary_monitor()
    size = glfw.get_video_mode(monitor).size
    glfw.set_window_monitor(window._handle, monitor, 0, 0, size.width, size.height, 0)
    for _ in range(10):  # events come in their own time
        window.poll_events()
        window.swap((0, 0, *window.size))
        time.sleep(0.05)
    print("covered", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
