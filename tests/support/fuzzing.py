"""Runs a fuzzer: seeded cases that may raise the project's own errors and cost little.

A fuzzer is a function of one `Random`. Each case has a `Random` of its own, so a failure,
which names seed and case, is repeated alone by `GLVIEW_SEED=SEED GLVIEW_CASE=NUMBER`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glview.errors import GlviewError

SHORT = 5_000
LONG = 300_000
COUNTS = [SHORT, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
"""For `@pytest.mark.parametrize("count", COUNTS)`: a short run in CI, a long one by --long."""

SEED = int(os.environ.get("GLVIEW_SEED", "1"))
ONLY = os.environ.get("GLVIEW_CASE", "")

MOST_GROWTH = 64 << 20
"""Bytes of resident memory that all cases together may add at their peak."""

MOST_CPU = 1.0
"""Seconds of CPU that a case may take, all threads of the process together."""

_WARM_UP = 100  # cases before memory counts: imports, caches, pools
_M_MMAP_THRESHOLD = -3  # of mallopt(3)


def fuzz(case: Callable[[random.Random], object], count: int) -> None:
    """Run `count` cases. Fails where one raises what is no GlviewError, or costs too much."""
    if ONLY:
        case(random.Random(f"{SEED}/{ONLY}"))
        return
    # large blocks go back to the system when freed: the peak is one case's, no allocator's cache
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 128 << 10)
    before = 0
    for number in range(count):
        if number == min(_WARM_UP, count // 2):
            before = _rest()
        began = time.process_time()
        try:
            case(random.Random(f"{SEED}/{number}"))
        except GlviewError:
            pass
        except Exception as error:
            error.add_note(_name(number))
            raise
        took = time.process_time() - began
        assert took < MOST_CPU, f"{_name(number)} took {took:.2f} s of CPU"
    growth = _memory("VmHWM") - before
    assert growth < MOST_GROWTH, f"memory grew by {growth >> 20} MB, {_name(count)}"


def _name(number: int) -> str:
    return f"GLVIEW_SEED={SEED} GLVIEW_CASE={number}"


def _rest() -> int:
    """Begin to measure the peak of resident memory; return what it is now, in bytes."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    return _memory("VmRSS")


def _memory(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10
