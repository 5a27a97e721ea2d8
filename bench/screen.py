"""An X server without a monitor, whose frame buffer is a file that we read.

`Xvfb -fbdir` keeps its screen in a mapped XWD file. Reading a pixel of it is a memory
access: no X request, no client and no copy disturbs what is measured.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

_XWD_HEADER = struct.Struct(">25I")  # X11/XWDFile.h: always big-endian
_XWD_COLOUR = 12  # bytes of one entry of the colour map, which precedes the pixels
_NAP = 20e-6  # seconds between two looks at a pixel


class Screen:
    """Xvfb of `width` x `height` x 24 on a display number of its own. Use with `with`."""

    def __init__(self, width: int, height: int) -> None:
        self._exit = contextlib.ExitStack()
        folder = self._exit.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        self.process, self.display = self._start(width, height, folder)
        self._words, self._stride = self._map(Path(folder, "Xvfb_screen0"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._words.release()
        self._exit.close()

    def _start(self, width: int, height: int, folder: str) -> tuple[subprocess.Popen[bytes], str]:
        """Start Xvfb and wait for the number of its display. It dies with us."""
        reader, writer = os.pipe()
        argv = [
            *("setpriv", "--pdeathsig", "KILL", "Xvfb", "-displayfd", str(writer)),
            *("-fbdir", folder, "-screen", "0", f"{width}x{height}x24"),
            *("-nolisten", "tcp", "-noreset", "-nocursor"),
        ]
        with open(reader, "rb") as numbers:
            try:
                process = subprocess.Popen(argv, pass_fds=[writer], stderr=subprocess.DEVNULL)
            finally:
                os.close(writer)
            self._exit.callback(_end, process)
            number = numbers.readline().strip().decode()
        if not number:
            raise RuntimeError("Xvfb does not start")
        return process, f":{number}"

    def _map(self, path: Path) -> tuple[memoryview, int]:
        """The pixels as 32-bit words 0x00RRGGBB, and the number of words in a row."""
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._exit.callback(mapping.close)
        header = _XWD_HEADER.unpack_from(mapping)
        size, bits, stride, colours = header[0], header[11], header[12], header[19]
        if bits != 32:
            raise RuntimeError(f"Xvfb has {bits} bits per pixel, not 32")
        with memoryview(mapping) as view:
            return view[size + colours * _XWD_COLOUR :].cast("I"), stride // 4

    def pixel(self, x: int, y: int) -> int:
        """The colour at x, y: 0x00RRGGBB."""
        return int(self._words[y * self._stride + x]) & 0xFFFFFF

    def wait_pixel(self, x: int, y: int, colour: int, timeout: float) -> float | None:
        """Wait until x, y has that colour; the CLOCK_MONOTONIC seconds when it was seen.

        None if it has not after `timeout` seconds.
        """
        index, end = y * self._stride + x, time.monotonic() + timeout
        while self._words[index] & 0xFFFFFF != colour:
            time.sleep(_NAP)
            if time.monotonic() > end:
                return None
        return time.monotonic()

    def picture(self) -> NDArray[np.uint32]:
        """A copy of the screen, one word 0x00RRGGBB for each pixel."""
        words = np.frombuffer(self._words, np.uint32) & np.uint32(0xFFFFFF)
        return words[: len(words) // self._stride * self._stride].reshape(-1, self._stride)

    def find(self, colour: int, width: int, height: int) -> tuple[int, int] | None:
        """Where the screen shows that colour and no other on `width` x `height` pixels."""
        rows = self.picture()
        y, x = map(int, np.unravel_index((rows == colour).argmax(), rows.shape))
        part = rows[y : y + height, x : x + width]
        return (x, y) if part.shape == (height, width) and (part == colour).all() else None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
