"""Drivers that lie, crash or hang (see liar.c)."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Liar:
    """Its library is compiled into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "liar.so"
        source = Path(__file__).with_suffix(".c")
        flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
        subprocess.run(["cc", *flags, "-o", self._library, source], check=True)

    def environment(self, lie: str) -> dict[str, str]:
        """In it drivers tell that lie."""
        return {"LD_PRELOAD": str(self._library), "LIE": lie}
