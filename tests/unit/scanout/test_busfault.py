"""Memory that has been cut off: ours reads as zeros, anything else ends the process as ever."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glview.scanout.checks import may_shrink
from glview.scanout.memory import Memory, mapping
from tests.support.cutter import DEADLY, READERS

ROOT = Path(__file__).resolve().parents[3]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """The cutter, in a process of its own."""
    command = [sys.executable, *args[1:], "-m", "tests.support.cutter", args[0]]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )


@pytest.mark.parametrize("case", [*READERS, "threads"])
def test_what_is_missing_reads_as_zeros(case: str) -> None:
    """Whoever reads, holding the interpreter or not; one fault for each file."""
    done = run(case)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("case", DEADLY)
def test_what_is_not_ours_ends_the_process(case: str) -> None:
    """Memory of others, and the signal itself."""
    done = run(case)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")


def test_other_faults_are_left_to_who_had_them_before() -> None:
    assert "Fatal Python error: Bus error" in run("foreign", "-X", "faulthandler").stderr


def test_the_mapping_of_an_address() -> None:
    """From its first page to its last byte, as long as it is open."""
    memory = Memory(5000)
    first, last = memory.address, memory.address + 4999
    assert mapping(first) is mapping(last) is memory
    assert mapping(last + (1 << 20)) is not memory
    memory.close()
    assert mapping(first) is None


def test_shrunk() -> None:
    fd = os.memfd_create("shared")
    os.ftruncate(fd, 8192)
    memory = Memory(8000, fd, 192)
    assert not memory.shrunk
    os.ftruncate(fd, 8191)
    assert memory.shrunk
    memory.close()


def sealed(*seals: int) -> int:
    """A memory file."""
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    for seal in seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seal)
    return fd


def test_what_may_shrink(tmp_path: Path) -> None:
    """Files, but those sealed against it. (A dma-buf is no file, like a pipe.)"""
    reader, writer = os.pipe()
    expected = {
        os.memfd_create("like QEMU's"): True,
        sealed(): True,
        sealed(fcntl.F_SEAL_GROW, fcntl.F_SEAL_SEAL): True,
        sealed(fcntl.F_SEAL_SHRINK): False,
        sealed(fcntl.F_SEAL_GROW, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_SEAL): False,
        os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT): True,
        reader: False,
        writer: False,
    }
    found = {fd: may_shrink(fd) for fd in expected}
    for fd in expected:
        os.close(fd)
    assert found == expected
