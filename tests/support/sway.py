"""A tiling Wayland compositor with several outputs and no screen: sway, headless."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.process import Child
from tests.support.wait import until

_CONFIG = """\
default_border none
focus_follows_mouse no
xwayland disable
"""


_NOBODY = 65534


class Sway(Child):
    """Sway on the headless backend, drawn by the CPU, its windows floating unless `tiling`.

    It has one output of 1280x720 pixels for each of `scales`, side by side, named
    HEADLESS-1 and so on, and a seat without devices; `lines` go into its configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scales: Sequence[float] = (1,),
        tiling: bool = False,
        lines: str = "",
    ) -> None:
        # Not below pytest's folder, which belongs to root alone where sway does not.
        self.folder = Path(tempfile.mkdtemp(prefix="glview-sway-"))  # 0700, as is demanded
        self._control = self.folder / "control"
        config = self.folder / "config"
        place, text = 0, _CONFIG + lines + "\n"
        if not tiling:
            text += 'for_window [app_id=".*"] floating enable\n'
        for number, scale in enumerate(scales, 1):
            text += (
                f"output HEADLESS-{number} mode 1280x720 position {place} 0 scale {scale}\n"
                f"workspace {number} output HEADLESS-{number}\n"
            )
            place += int(1280 / scale)
        config.write_text(text)
        under: tuple[str, ...] = ()
        if os.geteuid() == 0:  # which sway 1.7 refuses
            os.chown(self.folder, _NOBODY, _NOBODY)
            user = f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"
            under = "setpriv", *user, "--pdeathsig", "KILL", "--"
        super().__init__(
            [*under, "sway", "--config", str(config)],
            folder / "sway.log",
            env=self._server_environment(len(scales)),
        )
        try:
            until(self._ready, "sway", 20.0)
            until(lambda: len(self.outputs()) == len(scales), "sway's outputs")
            self.msg("focus", "output", "HEADLESS-1")
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Sway:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def _server_environment(self, outputs: int) -> dict[str, str]:
        return {
            **_clean(),
            "XDG_RUNTIME_DIR": str(self.folder),
            "SWAYSOCK": str(self._control),
            "WLR_BACKENDS": "headless",
            "WLR_RENDERER": "pixman",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "WLR_HEADLESS_OUTPUTS": str(outputs),
        }

    def _ready(self) -> bool:
        self.check_alive()
        return self._control.exists() and bool(self._sockets())

    def _sockets(self) -> list[Path]:
        return [path for path in self.folder.glob("wayland-*") if path.suffix != ".lock"]

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a client of this compositor, and of no X server."""
        (socket,) = self._sockets()
        return {
            **_clean(),
            "XDG_RUNTIME_DIR": str(self.folder),
            "WAYLAND_DISPLAY": socket.name,
            **more,
        }

    @property
    def fractional(self) -> bool:
        """Return True if this sway tells clients fractions of a scale: from 1.8 on."""
        words = self._swaymsg("-t", "get_version")
        found = json.loads(words)
        return (found["major"], found["minor"]) >= (1, 8)

    def msg(self, *words: str) -> None:
        """Run one command of sway's. Raises `CalledProcessError` where it fails."""
        self._swaymsg("--", *words)

    def outputs(self) -> list[dict[str, Any]]:
        """The outputs as sway describes them, by their names."""
        found: list[dict[str, Any]] = json.loads(self._swaymsg("-t", "get_outputs"))
        return sorted(found, key=lambda output: str(output["name"]))

    def windows(self) -> list[dict[str, Any]]:
        """The windows as sway describes them, wherever they are."""
        found, rest = [], [json.loads(self._swaymsg("-t", "get_tree"))]
        while rest:
            node = rest.pop()
            rest += node["nodes"] + node["floating_nodes"]
            if node.get("pid") and node.get("app_id") is not None:
                found.append(node)
        return found

    def window(self, app_id: str = "glview") -> dict[str, Any]:
        """The window of that application; waits for one."""

        def look() -> dict[str, Any] | None:
            self.check_alive()
            return next((w for w in self.windows() if w["app_id"] == app_id), None)

        return until(look, f"a window of {app_id}", 20.0)

    def size(self, app_id: str = "glview") -> tuple[int, int]:
        """The size of that application's window, in units; where it floats, as it told sway."""
        rect = self.window(app_id)["rect"]
        return rect["width"], rect["height"]

    def _swaymsg(self, *words: str) -> str:
        done = subprocess.run(
            ["swaymsg", "-s", str(self._control), *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _DISPLAY_KEYS}


_DISPLAY_KEYS = ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SWAYSOCK")
