"""Real window managers on an X server, each with the bindings that the tests press."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

from tests.support.process import Child
from tests.support.wait import until
from tests.support.x11 import Xvfb

_OPENBOX = """\
<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <keyboard>
    <keybind key="A-Tab"><action name="NextWindow"/></keybind>
    <keybind key="W-f"><action name="ToggleAlwaysOnTop"/></keybind>
    <keybind key="W-d"><action name="Execute"><command>{menu}</command></action></keybind>
  </keyboard>
</openbox_config>
"""

CYCLING = "OPENBOX_FOCUS_CYCLE_POPUP"
"""The class of the window that openbox shows while it has the keyboard for Alt+Tab."""

_I3 = """\
font pango:monospace 8
for_window [title=".*"] floating enable, border none
bindsym Mod4+f sticky toggle
bindsym Mod4+d exec --no-startup-id {menu}
bindsym Mod1+Tab focus right
"""


class WindowManager(Child):
    """openbox or i3, `name`, on `xvfb`.

    Alt+Tab leads to another window, Super+F does something harmless, and Super+D
    opens dmenu, which has the keyboard until Escape.
    """

    def __init__(self, name: str, xvfb: Xvfb, folder: Path) -> None:
        menu = folder / "menu"
        menu.write_text("#!/bin/sh\nexec dmenu </dev/null\n")
        menu.chmod(0o755)
        config = folder / f"{name}.conf"
        argv = {
            "openbox": ["openbox", "--sm-disable", "--config-file", str(config)],
            "i3": ["i3", "-c", str(config)],
        }[name]
        config.write_text({"openbox": _OPENBOX, "i3": _I3}[name].format(menu=menu))
        self._xvfb = xvfb
        env = xvfb.environment(HOME=str(folder), XDG_RUNTIME_DIR=str(folder))
        super().__init__(argv, folder / f"{name}.log", env=env)
        until(self._ready, f"{name} to manage windows", 20.0)

    def __enter__(self) -> Self:
        return self

    def _ready(self) -> bool:
        self.check_alive()
        return "window id" in self._property("-root", "_NET_SUPPORTING_WM_CHECK")

    def _property(self, *words: str) -> str:
        done = subprocess.run(
            ["xprop", *words],
            env=self._xvfb.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout

    def active(self) -> int:
        """The id of the window that it says has the focus, 0 for none."""
        words = self._property("-root", "_NET_ACTIVE_WINDOW").split()
        return int(words[-1], 16) if words and words[-1].startswith("0x") else 0
