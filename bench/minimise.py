"""`python -m bench.minimise ARGS...`: glview, whose window minimises itself at SIGUSR1.

Weston has no key for it, and a Wayland client cannot do it to another.
"""

from __future__ import annotations

import signal
import sys

from glview.cli import main
from glview.ui.window import Window

_open = Window.__init__


def _open_and_listen(window: Window, *args: object, **more: object) -> None:
    _open(window, *args, **more)  # type: ignore[arg-type]
    signal.signal(signal.SIGUSR1, lambda *_: window._glfw.iconify_window(window._handle))


if __name__ == "__main__":
    setattr(Window, "__init__", _open_and_listen)  # noqa: B010 - mypy does not allow the other way
    sys.exit(main())
