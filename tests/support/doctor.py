"""What `glview doctor` says on an X server of its own: ``python -m tests.support.doctor FILE``.

Without the places where this checkout lies, so that it can stand in the docs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.x11 import Xvfb


def main() -> None:
    """Write the report to the file that is named."""
    with tempfile.TemporaryDirectory() as folder, Xvfb(Path(folder), 640, 480) as server:
        done = subprocess.run(
            [sys.executable, "-m", "glview", "doctor"],
            env=server.environment(),
            check=True,
            capture_output=True,
            text=True,
        )
    Path(sys.argv[1]).write_text(done.stdout.replace(sys.prefix, ".venv"))


if __name__ == "__main__":
    main()
