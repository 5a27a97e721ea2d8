"""Descriptors, memory, modules and permissions that glview lacks: one line, and its own code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bus import Bus
from tests.support.qemu import Qemu, on_bus
from tests.support.wait import PATIENCE, until
from tests.support.x11 import Xvfb

GLVIEW = [sys.executable, "-m", "glview"]
REFUSED, SHORT, MISSING = 6, 18, 20
NOBODY = "65534"


def run(argv: list[str], env: dict[str, str], seconds: float = 2.0) -> tuple[int, list[str]]:
    """Run a command, with SIGTERM after some seconds: its code, and lines of stderr."""
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, said = process.communicate(timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            _, said = process.communicate(timeout=20 * PATIENCE)
        except subprocess.TimeoutExpired as late:
            process.kill()
            _, said = process.communicate()
            raise AssertionError(f"{argv} does not end by SIGTERM: {said!r}") from late
    return process.returncode, said.decode().splitlines()


def judge(code: int, lines: list[str], codes: tuple[int, ...], about: object) -> None:
    """Fail unless it was one line with one of these codes, or a viewer that goes on.

    A viewer that fails for lack of descriptors may have named that lack for a picture before.
    """
    if code in (0, 143, -15):  # which may say what it waits for
        assert all(line.startswith("glview: ") for line in lines), (about, code, lines)
        return
    assert code in codes, (about, code, lines)
    missed = [
        line for line in lines[:-1] if line.startswith("glview: a picture is missing: no more")
    ]
    assert lines[:-1] == missed, (about, code, lines)
    assert lines[-1].startswith("glview: "), (about, lines)


@pytest.mark.parametrize("way", ["bus", "qmp", "list"])
def test_few_descriptors(xvfb: Xvfb, bus: Bus, start_qemu: Callable[..., Qemu], way: str) -> None:
    """From the fewest that Python itself needs up to enough."""
    qemu = start_qemu(display=on_bus(bus.address)) if way != "qmp" else start_qemu()
    args = {
        "bus": ["--address", bus.address],
        "qmp": ["--qmp", str(qemu.qmp_path)],
        "list": ["--address", bus.address, "--list"],
    }[way]
    codes = []
    for limit in range(5, 18):
        argv = ["prlimit", f"--nofile={limit}:{limit}", *GLVIEW, *args]
        seconds = 20.0 if limit < 8 else 3.0  # it surely ends by itself; else it may be up
        code, lines = run(argv, xvfb.environment(), seconds)
        judge(code, lines, (SHORT,), limit)
        codes.append(code)
        if way == "list" and code == 0:
            break
    assert codes[0] == SHORT
    assert codes[-1] in (0, 143, -15)


def test_little_memory(xvfb: Xvfb, bus: Bus, start_qemu: Callable[..., Qemu]) -> None:
    start_qemu(display=on_bus(bus.address))
    for megabytes in (16, 24, 32, 40, 48, 56):
        limit = f"--as={megabytes << 20}"
        code, lines = run(["prlimit", limit, *GLVIEW, "--address", bus.address], xvfb.environment())
        assert "Traceback" not in "\n".join(lines), (megabytes, lines)
        assert code == SHORT, (megabytes, lines)
        assert lines[-1].startswith("glview: "), (megabytes, lines)
        assert "memory" in lines[-1]


def test_no_memory_files(xvfb: Xvfb, start_qemu: Callable[..., Qemu]) -> None:
    """memfd_create is refused, as by a filter of system calls."""
    qemu = start_qemu()
    strace = ["strace", "-D", "-f", "-o", os.devnull, "-e", "inject=memfd_create:error=EPERM"]
    argv = [*strace, *GLVIEW, "--qmp", str(qemu.qmp_path), "--no-map"]
    code, lines = run(argv, xvfb.environment(), 6.0)
    assert not [line for line in lines if "Traceback" in line], lines
    assert code in (0, 143, SHORT), lines
    if code == SHORT:
        assert len(lines) == 1
        assert "Operation not permitted" in lines[0]


@pytest.mark.parametrize("module", ["glfw", "argparse", "logging", "json", "ctypes", "dbus_next"])
def test_a_missing_module(
    xvfb: Xvfb, bus: Bus, start_qemu: Callable[..., Qemu], tmp_path: Path, module: str
) -> None:
    (tmp_path / f"{module}.py").write_text(
        f'raise ModuleNotFoundError("No module named {module!r}", name="{module}")'
    )
    qemu = start_qemu()
    args = ["--address", bus.address, "--list"] if module == "dbus_next" else []
    argv = [*GLVIEW, *(args or ["--qmp", str(qemu.qmp_path)])]
    code, lines = run(argv, {**xvfb.environment(), "PYTHONPATH": str(tmp_path)}, 10.0)
    assert len(lines) == 1, lines
    assert f"No module named '{module}'" in lines[0]
    assert code == MISSING


def test_a_bus_of_another_user(xvfb: Xvfb, tmp_path: Path) -> None:
    """As through sudo: the bus lets anyone authenticate, and then hangs up."""
    if os.geteuid():
        pytest.skip("only root can start a program as another user")
    folder = Path(f"/tmp/glview-other-user-{os.getpid()}")
    folder.mkdir()
    os.chown(folder, int(NOBODY), int(NOBODY))
    address = f"unix:path={folder}/bus"
    other = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
    daemon = subprocess.Popen(
        [*other, "dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"]
    )
    try:
        until((folder / "bus").exists, "the bus")
        for args in (["--list"], [], ["--wait"]):
            began = time.monotonic()
            code, lines = run([*GLVIEW, "--address", address, *args], xvfb.environment(), 10.0)
            assert lines == [
                f"glview: the D-Bus bus belongs to user {NOBODY}, and refuses user 0 "
                "(run glview as that user, not through sudo)"
            ]
            assert code == REFUSED
            assert time.monotonic() - began < 10.0 * PATIENCE
    finally:
        daemon.kill()
        daemon.wait()
        shutil.rmtree(folder)
