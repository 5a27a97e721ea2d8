"""An exception that nobody foresaw, on each thread: one line, the right end, no hang."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from glview.dbus.wire import Variant
from glview.testing import FakeVm
from glview.testing.properties import CONSOLE, KEYBOARD, MOUSE
from tests.support import guests
from tests.support.bus import Bus
from tests.support.qemu import BINARY, Qemu, on_bus
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

StartQemu = Callable[..., Qemu]
StartViewer = Callable[..., Viewer]

PICTURE = pattern(1024, 768)
INTERNAL = 19


def line_of(viewer: Viewer, text: str) -> str:
    """Wait for the one line that has `text`, and return it."""
    until(lambda: text in viewer.output, f"'{text}'")
    lines = [line for line in viewer.output.splitlines() if text in line]
    assert len(lines) == 1, viewer.output
    return lines[0]


def splash(start_qemu: StartQemu, folder: Path, **more: object) -> Qemu:
    return start_qemu(options=guests.splash(folder, PICTURE), **more)


def test_in_the_session(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    qemu = splash(start_qemu, tmp_path)
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, mutant="in-session")
    assert viewer.wait() == INTERNAL
    assert "the session thread: RuntimeError: planted" in line_of(viewer, "glview failed in")


def test_the_traceback_comes_with_v(start_qemu: StartQemu, tmp_path: Path, xvfb: Xvfb) -> None:
    qemu = splash(start_qemu, tmp_path)
    module = [sys.executable, "-m", "tests.support.mutants", "in-session"]
    done = subprocess.run(
        [*module, "-v", "--qmp", str(qemu.qmp_path)],
        env=xvfb.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == INTERNAL
    assert "Traceback (most recent call last)" in done.stderr
    assert 'raise RuntimeError("planted")' in done.stderr


def test_in_the_listener(
    bus: Bus, start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """Both ways to a VM: connected again, more and more seldom, until the VM goes."""
    qemu = splash(start_qemu, tmp_path, display=on_bus(bus.address))
    other = splash(start_qemu, tmp_path)
    for way in (("--address", bus.address), ("--qmp", other.qmp_path)):
        viewer = start_viewer(xvfb, *way, "-v", mutant="in-listener")
        until(lambda: viewer.output.count("connecting again") >= 3, "three attempts")  # noqa: B023
        assert "glview failed in the listener thread: RuntimeError: planted" in viewer.output
        assert "another viewer" not in viewer.output
        viewer.signal(signal.SIGTERM)
        viewer.wait()
        viewer.log.write_text("")  # its tracebacks were asked for
    assert qemu.alive
    assert other.alive


def test_in_the_control_reader(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """A size that changes is met by the reader; the viewer comes back, nobody took its place."""
    qemu = splash(start_qemu, tmp_path)
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, mutant="in-changes")
    viewer.wait_shows(PICTURE)
    qemu.send_keys("esc")  # text, of another size
    line = line_of(viewer, "glview failed in")
    assert "connecting again" in line
    assert "the dbus-peer thread: RuntimeError: planted" in line
    until(lambda: qemu.screendump().shape == (400, 720, 3), "text")
    until(lambda: viewer.picture().shape == (400, 720, 3), "the viewer to come back")
    assert "another viewer" not in viewer.output


def test_on_the_bus_connection(bus: Bus, start_viewer: StartViewer, xvfb: Xvfb) -> None:
    viewer = start_viewer(xvfb, "--address", bus.address, "--wait", mutant="in-bus")
    line = line_of(viewer, "glview failed in")
    assert line.startswith("glview: waiting: ")
    assert "RuntimeError: planted" in line
    viewer.signal(signal.SIGTERM)
    assert viewer.wait() in (0, 128 + signal.SIGTERM)


def test_in_the_trace(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    qemu = splash(start_qemu, tmp_path)
    trace = tmp_path / "trace.json"
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, "--trace", trace, mutant="in-trace")
    assert "is not complete" in line_of(viewer, "glview failed in")
    viewer.wait_shows(PICTURE)


def test_where_signals_are_heard(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """A viewer that no signal could end any more ends."""
    qemu = splash(start_qemu, tmp_path)
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, mutant="in-signals")
    viewer.wait_shows(PICTURE)
    viewer.signal(signal.SIGTERM)
    assert viewer.wait() == INTERNAL
    assert "the signals thread: RuntimeError: planted" in line_of(viewer, "glview failed in")


def test_where_output_is_written(
    start_qemu: StartQemu, start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """Without that thread what surely does not wait is written, and nothing else is lost."""
    qemu = splash(start_qemu, tmp_path)
    viewer = start_viewer(xvfb, "--qmp", qemu.qmp_path, "-v", mutant="in-output")
    assert "the output thread: RuntimeError: planted" in line_of(viewer, "glview failed in")
    viewer.wait_shows(PICTURE)
    line_of(viewer, "X shared memory")
    viewer.signal(signal.SIGTERM)
    assert viewer.wait() == 0


def own_qemu(folder: Path) -> tuple[str, ...]:
    """A command line for `glview run`."""
    options = guests.splash(folder, PICTURE)
    return (BINARY, "-nodefaults", "-accel", "tcg", "-m", "64", "-device", "VGA", *options)


def test_in_the_pump_of_qemus_stderr(start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path) -> None:
    viewer = start_viewer(xvfb, "run", "--", *own_qemu(tmp_path), mutant="in-pump")
    assert "RuntimeError: planted" in line_of(viewer, "glview failed in the qemu stderr")
    viewer.wait_shows(PICTURE)
    viewer.signal(signal.SIGTERM)
    viewer.wait(20)


def test_in_the_attendance_of_a_qemu_of_our_own(
    start_viewer: StartViewer, xvfb: Xvfb, tmp_path: Path
) -> None:
    """QEMU ends, too, and the viewer with it."""
    viewer = start_viewer(xvfb, "run", "--", *own_qemu(tmp_path), mutant="in-waiter")
    assert "RuntimeError: planted" in line_of(viewer, "glview failed in the qemu thread")
    assert viewer.wait(20) != 0
    until(lambda: not processes_of(tmp_path), "QEMU to be gone")


def processes_of(folder: Path) -> list[str]:
    """Command lines of the QEMUs that use files of a folder."""
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [
        line for line in done.stdout.splitlines() if f"{BINARY} " in line and str(folder) in line
    ]


# -- what was met in the field -----------------------------------------------------------


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Callable[[Qemu, bytes], Path]]:
    """A QMP socket before QEMU's that kills QEMU as soon as it has passed a command on."""
    path = tmp_path / "relay"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def start(qemu: Qemu, deadly: bytes) -> Path:
            def run() -> None:
                client, _ = server.accept()
                with suppress(OSError), client, socket.socket(socket.AF_UNIX) as beyond:
                    beyond.connect(str(qemu.qmp_path))
                    client.sendall(beyond.recv(65536))
                    while data := client.recv(65536):
                        beyond.sendall(data)
                        if deadly in data:
                            qemu.kill()
                            return
                        client.sendall(beyond.recv(65536))

            threading.Thread(target=run, daemon=True).start()
            return path

        yield start


@pytest.mark.parametrize("command", [b"qmp_capabilities", b"getfd"])
def test_qemu_ends_during_the_qmp_session(
    start_qemu: StartQemu,
    start_viewer: StartViewer,
    xvfb: Xvfb,
    relay: Callable[[Qemu, bytes], Path],
    command: bytes,
) -> None:
    viewer = start_viewer(xvfb, "--qmp", relay(start_qemu(), command))
    assert viewer.wait() == 12
    (line,) = viewer.output.splitlines()
    assert "QMP" in line
    assert "closed" in line or "stopped answering" in line  # on a busy machine


def listening() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("")  # some abstract name
    sock.listen()
    return sock


KINDS: dict[str, Callable[[], int]] = {
    "a file": lambda: os.open(__file__, os.O_RDONLY),
    "a folder": lambda: os.open("/", os.O_RDONLY),
    "a pipe": lambda: os.pipe()[0],
    "a listening socket": lambda: listening().detach(),
    "a socket that is not connected": lambda: socket.socket(socket.AF_UNIX).detach(),
    "a datagram socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(),
    "a socket of the network": lambda: socket.socket(socket.AF_INET).detach(),
    "memory": lambda: os.memfd_create("x"),
    "-1": lambda: -1,
    "a closed one": lambda: 987,
    "no descriptor at all": lambda: 1 << 80,
}


@pytest.mark.parametrize("kind", KINDS)
def test_descriptors_that_lead_to_no_vm(xvfb: Xvfb, kind: str) -> None:
    fd = KINDS[kind]()
    real = 2 < fd < 900
    done = subprocess.run(
        [sys.executable, "-m", "glview", "--fd", str(fd)],
        env=xvfb.environment(), capture_output=True, text=True, timeout=60, check=False,
        pass_fds=(fd,) if real else (),
    )  # fmt: skip
    if real:
        os.close(fd)
    (line,) = done.stderr.splitlines()
    assert f"descriptor {fd} is" in line
    assert done.returncode == 4


def test_no_thread_to_be_had(xvfb: Xvfb, start_qemu: StartQemu) -> None:
    """Stacks larger than the address space: pthread_create fails as at a limit on processes."""
    qemu = start_qemu()
    assert shutil.which("prlimit")
    for args in (["--qmp", str(qemu.qmp_path)], ["run", "--", BINARY, "-nodefaults"]):
        done = subprocess.run(
            ["prlimit", f"--stack={1 << 48}", sys.executable, "-m", "glview", *args],
            env=xvfb.environment(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        (line,) = done.stderr.splitlines()
        assert "no new thread could be started" in line
        assert done.returncode == 18


def fake_on(bus: Bus) -> FakeVm:
    vm = FakeVm()
    vm.join_bus(bus.address)
    return vm


def test_property_values_of_wrong_types_at_connect(
    bus: Bus, xvfb: Xvfb, start_viewer: StartViewer
) -> None:
    """Wrong pointer properties cost the input, wrong console ones the VM its place in the list."""
    with fake_on(bus) as vm:
        console = vm.console()
        console.properties[MOUSE]._values["IsAbsolute"] = Variant("as", ["x"])
        viewer = start_viewer(xvfb, "--address", bus.address)
        assert "IsAbsolute has the type list where 'b' belongs" in line_of(viewer, "IsAbsolute")
        console.wait_listener()
        console.properties[CONSOLE]._values["Width"] = Variant("s", "wide")
        done = subprocess.run(
            [sys.executable, "-m", "glview", "--address", bus.address, "--list"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (7, "")
        other = start_viewer(xvfb, "--address", bus.address)
        assert other.wait() == 7
        assert len(other.output.splitlines()) == 1


def test_property_values_of_wrong_types_in_a_signal(
    bus: Bus, xvfb: Xvfb, start_viewer: StartViewer
) -> None:
    with fake_on(bus) as vm:
        console = vm.console()
        viewer = start_viewer(xvfb, "--address", bus.address)
        listener = console.wait_listener()
        for value in (Variant("s", "x"), Variant("a{sv}", {}), Variant("u", 5)):
            vm.emit(console.path, MOUSE, {"IsAbsolute": value})
            vm.emit(console.path, CONSOLE, {"Width": Variant("d", 1.5), "Height": value})
            vm.emit(console.path, KEYBOARD, {"Modifiers": Variant("x", -1)})
        until(lambda: "Modifiers" in viewer.output, "a line about it")
        assert viewer.alive
        assert not listener.closed.is_set()
        assert "another viewer" not in viewer.output
        assert viewer.output.count("IsAbsolute has the type str") == 1
