"""Every mistake a user can make: one clear line, an exit code of its own, no traceback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bus import Bus
from tests.support.qemu import Qemu
from tests.support.x11 import Xvfb


def glview(*args: str | Path, **env: str | None) -> tuple[int, list[str]]:
    """Run glview to its end: exit code and lines of stderr. An `env` of None is unset."""
    variables = dict(os.environ)
    variables.pop("WAYLAND_DISPLAY", None)
    for name, value in env.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    done = subprocess.run(
        [sys.executable, "-m", "glview", *map(str, args)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stderr.splitlines()


def complaint(lines: list[str]) -> str:
    """The one line that glview itself wrote; Mesa may write others."""
    ours = [line for line in lines if line.startswith("glview:")]
    assert len(ours) == 1, lines
    assert not any("Traceback" in line for line in lines), lines
    return ours[0]


@pytest.fixture
def display(xvfb: Xvfb) -> str:
    return str(xvfb.environment()["DISPLAY"])


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--address", "nonsense"], 3, "is not a D-Bus address"),
        (["--address", "tcp:host=localhost,port=1"], 3, "unix:path="),
        (["--address", "unix:path=/no/such/socket"], 4, "/no/such/socket"),
        (["--address", "unix:path=/no/a;unix:abstract=no-b"], 4, "no-b"),
        (["--qmp", "/no/such/qmp"], 12, "-qmp unix:PATH"),
        (["--fd", "99"], 4, "descriptor 99"),
        (["--fd", "0"], 4, "descriptor 0"),
        (["run", "--", "no-such-qemu"], 14, "no-such-qemu"),
        (["run", "--", "qemu-system-x86_64", "-display", "gtk"], 14, "conflict"),
        (["run", "--", "qemu-system-x86_64", "-no-such-option"], 14, "invalid option"),
        (["demo", "--console", "7"], 9, "console 7"),
        (["run", "--trace", "/no/such/trace", "--", "no-such-qemu"], 17, "/no/such/trace"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(display: str, args: list[str], code: int, words: str) -> None:
    status, lines = glview(*args, DISPLAY=display)
    assert words in complaint(lines)
    assert status == code


@pytest.mark.parametrize(
    "args",
    [
        ["--no-such-option"],
        ["one", "two"],
        ["--fd", "x"],
        ["--qmp", "a", "--fd", "3"],
        ["--gl", "vulkan"],
        ["run"],
        ["demo", "--", "-m", "1"],
        ["doctor", "--qmp", "a"],
        ["qemu-system-x86_64", "-m", "64"],
    ],
    ids=" ".join,
)
def test_wrong_command_lines(args: list[str]) -> None:
    status, lines = glview(*args)
    assert status == 2
    assert lines == [complaint(lines)]


def test_no_session_bus(display: str) -> None:
    status, lines = glview(
        DISPLAY=display, DBUS_SESSION_BUS_ADDRESS=None, XDG_RUNTIME_DIR="/no/such"
    )
    assert status == 4
    assert "DBUS_SESSION_BUS_ADDRESS" in complaint(lines)


@pytest.mark.parametrize("value", [None, ":9999"])
def test_no_display(value: str | None, bus: Bus) -> None:
    status, lines = glview("--address", bus.address, DISPLAY=value)
    assert status == 10
    assert "DISPLAY" in complaint(lines)


def test_no_compositor(bus: Bus) -> None:
    status, lines = glview("--address", bus.address, WAYLAND_DISPLAY="/no/such/wayland-0")
    assert status == 10
    assert "WAYLAND_DISPLAY" in complaint(lines)


def test_no_egl(display: str) -> None:
    """Where nothing else will do: X shared memory needs none."""
    status, lines = glview(
        *("demo", "--present", "swap"),
        DISPLAY=display,
        LIBGL_DRIVERS_PATH="/no",
        GBM_BACKENDS_PATH="/no",
        EGL_PLATFORM="no-such",
        __EGL_VENDOR_LIBRARY_FILENAMES="/no/such.json",
    )
    assert status == 11
    assert "EGL" in complaint(lines)


def test_no_vm_on_the_bus(display: str, bus: Bus) -> None:
    for args in ([], ["some name"]):
        status, lines = glview("--address", bus.address, *args, DISPLAY=display)
        assert status == 7
        assert "--wait" in complaint(lines)


def test_wrong_and_ambiguous_names(display: str, bus: Bus, start_qemu: Callable[..., Qemu]) -> None:
    names = ("alpha", "beta", "beta")
    uuids = [f"0000000{n}-aaaa-bbbb-cccc-000000000000" for n in range(3)]
    for name, uuid in zip(names, uuids, strict=True):
        start_qemu(display=f"dbus,addr={bus.address}", name=name, options=("-uuid", uuid))
    for args, expected in (([], 8), (["beta"], 8), (["gamma"], 7)):
        status, lines = glview("--address", bus.address, *args, DISPLAY=display)
        assert status == expected
        assert "alpha" in complaint(lines) or args == ["beta"]
        assert all(uuid in complaint(lines) for uuid in uuids[1:])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """A function that makes a server which reads once, says something and hangs up."""
    sockets: list[socket.socket] = []

    def serve(listening: socket.socket, words: bytes) -> None:
        with listening.accept()[0] as client:
            client.recv(4096)
            client.sendall(words)
            client.settimeout(5.0)
            with contextlib.suppress(OSError):
                client.recv(4096)  # until glview has had enough

    def start(words: bytes) -> str:
        path = tmp_path / "server"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        sockets.append(listening)
        threading.Thread(target=serve, args=(listening, words), daemon=True).start()
        return f"unix:path={path}"

    yield start
    for listening in sockets:
        listening.close()


def test_a_web_server_is_no_bus(display: str, server: Callable[[bytes], str]) -> None:
    status, lines = glview(
        "--address", server(b"HTTP/1.1 400 Bad Request\r\n\r\n"), DISPLAY=display
    )
    assert status == 5
    assert "does not speak D-Bus" in complaint(lines)


def test_authentication_refused(display: str, server: Callable[[bytes], str]) -> None:
    status, lines = glview("--address", server(b"REJECTED DBUS_COOKIE_SHA1\r\n"), DISPLAY=display)
    assert status == 6
    assert "DBUS_COOKIE_SHA1" in complaint(lines)
