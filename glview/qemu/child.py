"""Become another program that ends when its parent does.

Run as ``python -I -S child.py PARENT_PID PROGRAM ARGUMENT...``, a step of its
own between fork and exec: code run in the forked child of a program with
threads may deadlock, and Python 3.12 and later warn about it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Arrange for SIGTERM at the parent's death, then replace this process.

    SIGTERM and not SIGKILL, so that QEMU can write back its disk images.
    """
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the arrangement stood
        sys.exit(1)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
