"""What an update of a dma-buf costs until its frame is swapped, beside one memcpy of it.

The buffer is a memory file, and the copy and the frame are those of `draw.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import draw
from bench.figures import SWAP, Figure
from tests.support.x11 import Xvfb

DMABUF = {
    fourcc: f"1080p memfd as dma-buf ({fourcc}) full, copy to swap returned: CPU"
    for fourcc in ("AR24", "XR24")
}
MEMCPY = "memcpy"


def measure(updates: int) -> list[Figure]:
    """Milliseconds, on X11."""
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Xvfb(Path(folder)) as xvfb:
        for fourcc, question in DMABUF.items():
            draws = draw.alone(xvfb.environment(), (1920, 1080), updates, fourcc)["full"]
            for name, seconds in ((SWAP, draws.cpu), (MEMCPY, draws.memcpys)):
                found.append(Figure(question, name, [1000 * value for value in seconds]))
    return found
