"""The command lines of the viewers under test, and the building of the bare one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Self

FLOOR = "floor"
GLVIEW = "glview"

_SOURCE = Path(__file__).with_name("floor.c")
_LIBRARIES = ("gio-unix-2.0", "x11", "xext")
_DISPLAY_KEYS = {"DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "XDG_SESSION_TYPE", "XAUTHORITY"}


class Viewer(NamedTuple):
    """A name, and the words of a command line in which {fd} stands for the socket's number."""

    name: str
    command: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `name=command {fd}`, quoted as for a shell. Raises ValueError."""
        name, equals, command = text.partition("=")
        words = tuple(shlex.split(command))
        if not name or not equals or not any("{fd}" in word for word in words):
            raise ValueError(f"{text!r} is not of the form 'name=command {{fd}}'")
        return cls(name, words)

    def start(self, fd: int | None, display: str, log: Path) -> subprocess.Popen[bytes]:
        """Run it on an X display, `fd` being its end of the control connection, if it has one."""
        environment = {key: v for key, v in os.environ.items() if key not in _DISPLAY_KEYS}
        with log.open("ab") as output:
            return subprocess.Popen(
                [word.replace("{fd}", str(fd)) for word in self.command],
                env={**environment, "DISPLAY": display},
                pass_fds=[] if fd is None else [fd],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def floor(folder: Path) -> Viewer:
    """Build the bare C viewer in `folder`. Raises CalledProcessError with gcc's words shown."""
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", *_LIBRARIES],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    program = folder / FLOOR
    argv = ["gcc", "-O2", "-Wall", "-o", str(program), str(_SOURCE), *flags.stdout.split()]
    subprocess.run(argv, check=True)
    return Viewer(FLOOR, (str(program), "--fd", "{fd}"))


def glview(name: str = GLVIEW, *options: str) -> Viewer:
    """The viewer of this checkout, in this interpreter, with more options than it needs."""
    return Viewer(name, (sys.executable, "-m", "glview", "-v", *options, "--fd", "{fd}"))


def renderer(log: Path) -> str:
    """The OpenGL that glview named when it opened its window; empty if it did not."""
    words = re.search(r"^glview: (OpenGL .*|\d.*)$", log.read_text(errors="replace"), re.MULTILINE)
    return words[1] if words else ""
