"""Output of glview is fit for a terminal whatever its peers say, and never lost in silence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glview.testing import ConsoleOptions, FakeVm
from tests.support.bus import Bus
from tests.support.qemu import Qemu, on_bus
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

GLVIEW = [sys.executable, "-m", "glview"]
PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UNWRITABLE = 17
ESCAPES = "a\x1b]0;title\x07\x1b[31m\nb\x9b2J\u202egpj\u2066"
WIDE = "日本語 🐧"


def run(
    *args: str | Path,
    env: dict[str, str] | None = None,
    closed: tuple[int, ...] = (),
    **streams: object,
) -> subprocess.CompletedProcess[bytes]:
    """Run glview to its end; stdout and stderr are pipes unless `streams` say otherwise."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        without(closed, *args),
        env={**os.environ, **(env or {})},
        timeout=60,
        check=False,
        **(pipes | streams),  # type: ignore[call-overload]
    )
    return done


def without(closed: tuple[int, ...], *args: str | Path) -> list[str]:
    """A command line that runs glview with these descriptors closed."""
    script = f'exec "$@" {" ".join(f"{fd}>&-" for fd in closed)}'
    return ["sh", "-c", script, "sh", *GLVIEW, *map(str, args)]


def lines(output: bytes) -> list[str]:
    """The lines of an output, which must hold printable characters alone."""
    assert output.endswith(b"\n"), output
    found = output.decode()[:-1].split("\n")
    assert all(line.isprintable() for line in found), found
    return found


# -- names and texts of others ---------------------------------------------


def test_names_of_real_vms(bus: Bus, start_qemu: Callable[..., Qemu]) -> None:
    for name in (ESCAPES, ESCAPES, WIDE, "x" * 300):
        start_qemu(display=on_bus(bus.address), name=name, paused=True)
    done = run("--address", bus.address, "--list")
    table = lines(done.stdout)
    assert len(table) == 5
    starts = [line.index(" :1.") for line in table[1:] if WIDE not in line]
    assert len(set(starts)) == 1, "the columns stand below each other"
    (wide,) = (line for line in table if WIDE in line)
    assert wide.index(" :1.") == starts[0] - 4, "four of its characters are two columns wide"
    assert sum(r"a\x1b]0;title\x07\x1b[31m\nb\x9b2J\u202egpj\u2066" in line for line in table) == 2
    assert max(map(len, table)) < 160
    ascii_only = run("--address", bus.address, "--list", env=PLAIN_C)
    assert ascii_only.returncode == 0
    assert rb"\u65e5\u672c\u8a9e \U0001f427" in ascii_only.stdout
    assert ascii_only.stdout.isascii()


def test_names_in_errors(xvfb: Xvfb, bus: Bus, start_qemu: Callable[..., Qemu]) -> None:
    for _ in range(2):
        start_qemu(display=on_bus(bus.address), name=ESCAPES, paused=True)
    env = xvfb.environment()
    for args in ((ESCAPES,), ("nobody",), ("--console", "7", ":1.0")):
        done = run("--address", bus.address, *args, env=env)
        assert len(lines(done.stderr)) == 1
        assert b"a\\x1b]0;title" in done.stderr


def test_a_stranger_who_claims_to_be_qemu(xvfb: Xvfb, bus: Bus) -> None:
    console = ConsoleOptions(label=ESCAPES)
    with FakeVm(name="\x1b[2J" * 5000, consoles=(console,)) as vm:
        assert vm.join_bus(bus.address)
        done = run("--address", bus.address, "--list")
        assert len(lines(done.stdout)) == 2
        done = run("--address", bus.address, "--console", "3", env=xvfb.environment())
        (line,) = lines(done.stderr)
        assert len(line) < 1000


def test_the_title(
    xvfb: Xvfb, start_qemu: Callable[..., Qemu], start_viewer: Callable[..., Viewer]
) -> None:
    qemu = start_qemu(name=ESCAPES + "x" * 3000)
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path)
    title = until(lambda: viewer.window().name, "the title")
    assert title.startswith(r"a\x1b]0;title\x07")
    assert title.isprintable()
    assert len(title) < 210


ANSWERS = {
    "SASL": ("--address", b"REJECTED \x1b[31m\x07\x9b\r\n"),
    "SASL error": ("--address", b'ERROR "\x1b]0;gotcha\x07"\r\n'),
    "no SASL": ("--address", b"\x1b[2J\x1b[H$ \r\n"),
    "QMP error": (
        "--qmp",
        b'{"QMP": {"version": {}, "capabilities": []}}\n'
        b'{"error": {"class": "\\u001b[31mX", "desc": "no\\u001b]0;t\\u0007\\n\\u202e"}}\n' * 3,
    ),
    "no QMP": ("--qmp", b"\x1b[2J\x07 hello\n"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """A function that makes a server which says something to each client."""
    made: list[socket.socket] = []

    def serve(listening: socket.socket, words: bytes) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client:
                client.sendall(words)
                client.settimeout(5.0)
                try:
                    while client.recv(4096):
                        pass
                except OSError:
                    pass

    def start(words: bytes) -> Path:
        path = tmp_path / "server"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        made.append(listening)
        threading.Thread(target=serve, args=(listening, words), daemon=True).start()
        return path

    yield start
    for listening in made:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_error_texts_of_peers(xvfb: Xvfb, server: Callable[[bytes], Path], name: str) -> None:
    option, words = ANSWERS[name]
    path = server(words)
    where = f"unix:path={path}" if option == "--address" else path
    done = run(option, where, env=xvfb.environment())
    (line,) = lines(done.stderr)
    assert line.startswith("glview: ")
    assert done.returncode not in (0, 1, 19)


# -- streams that cannot be written ----------------------------------------

TO_STDOUT = {
    "help": ("--help",),
    "version": ("--version",),
    "list": ("--list",),
    "doctor": ("doctor", "--json"),
}


@pytest.fixture
def listed(bus: Bus) -> Iterator[tuple[str, ...]]:
    """The options of a viewer on a bus with one VM."""
    with FakeVm(name="vm") as vm:
        assert vm.join_bus(bus.address)
        yield ("--address", bus.address)


@pytest.mark.parametrize("name", TO_STDOUT)
def test_a_full_disk(listed: tuple[str, ...], name: str) -> None:
    args = (*listed, "--list") if name == "list" else TO_STDOUT[name]
    with open("/dev/full", "wb") as full:
        done = run(*args, stdout=full)
    assert lines(done.stderr) == [
        "glview: the standard output cannot be written: No space left on device"
    ]
    assert done.returncode == UNWRITABLE


@pytest.mark.parametrize("name", ["help", "version", "list"])
def test_a_closed_standard_output(listed: tuple[str, ...], name: str) -> None:
    args = (*listed, "--list") if name == "list" else TO_STDOUT[name]
    done = run(*args, closed=(1,))
    assert lines(done.stderr) == ["glview: the standard output is closed"]
    assert done.returncode == UNWRITABLE


@pytest.mark.parametrize("name", ["help", "version", "list"])
def test_a_reader_that_has_had_enough(listed: tuple[str, ...], name: str) -> None:
    args = (*listed, "--list") if name == "list" else TO_STDOUT[name]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = run(*args, stdout=broken)
    assert (done.returncode, done.stderr) == (0, b"")


def test_errors_keep_their_code_where_they_cannot_be_written() -> None:
    with open("/dev/full", "wb") as full:
        assert run("--address", "nonsense", "--list", stderr=full).returncode == 3
        assert run("--no-such-option", stderr=full).returncode == 2
    assert run("--address", "nonsense", "--list", closed=(2,)).returncode == 3


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)], ids=str)
def test_no_socket_takes_the_place_of_a_standard_stream(
    xvfb: Xvfb, closed: tuple[int, ...]
) -> None:
    vm, sock = FakeVm.pair()
    with vm, sock:
        fd = sock.fileno()
        process = subprocess.Popen(
            without(closed, "--fd", str(fd)),
            env=xvfb.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(fd,),
        )
        try:
            vm.console().wait_listener()
            for fd in range(3):
                assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == os.devnull
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()


def test_a_trace_on_a_full_disk(xvfb: Xvfb, tmp_path: Path) -> None:
    """The viewer goes on; its exit code tells."""
    vm, sock = FakeVm.pair()
    with vm, sock:
        fd = sock.fileno()
        args = "--fd", str(fd), "--no-reconnect", "--trace", "/dev/full"
        with Viewer(tmp_path, xvfb, *args, pass_fds=(fd,)) as viewer:
            vm.console().wait_listener().scanout(8, 8, 32, 0x20020888, bytes(256))
            viewer.window()
            assert viewer.close() == UNWRITABLE
    assert viewer.output.count("glview:") == 1
    assert "the trace /dev/full is not complete: No space left" in viewer.output


def test_figures_on_a_full_disk(xvfb: Xvfb) -> None:
    vm, sock = FakeVm.pair()
    with vm, sock, open("/dev/full", "wb") as full:
        fd = sock.fileno()
        process = subprocess.Popen(
            [*GLVIEW, "--fd", str(fd), "--stats"],
            env=xvfb.environment(),
            stderr=full,
            pass_fds=(fd,),
        )
        try:
            vm.console().wait_listener()
            process.terminate()
            assert process.wait(10) in (UNWRITABLE, 128 + 15)
        finally:
            process.kill()
            process.wait()


def test_a_trace_into_a_fifo_that_nobody_reads(xvfb: Xvfb, tmp_path: Path) -> None:
    """Neither start nor end waits for a reader."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    vm, sock = FakeVm.pair()
    with vm, sock:
        fd = sock.fileno()
        args = "--fd", str(fd), "--trace", fifo
        with Viewer(tmp_path, xvfb, *args, pass_fds=(fd,)) as viewer:
            vm.console().wait_listener().scanout(8, 8, 32, 0x20020888, bytes(256))
            viewer.window()
            assert viewer.close() == UNWRITABLE
    assert "is not complete: nobody reads it" in viewer.output
