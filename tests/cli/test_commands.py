"""`glview run`, `glview demo` and `glview --list`, as a user types them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glview.dbus.peer import PeerConnection
from glview.errors import NoVmError, QmpError
from glview.qemu.discovery import list_vms
from glview.qemu.qmp import describe, hand_over
from glview.qemu.splash import splash
from glview.qemu.supervisor import command_line, descendants
from tests.support import guests
from tests.support.bus import Bus
from tests.support.qemu import Qemu, on_bus
from tests.support.screen import pattern
from tests.support.viewer import Viewer
from tests.support.wait import until
from tests.support.x11 import Xvfb

StartViewer = Callable[..., Viewer]

QEMU = "qemu-system-x86_64"
PICTURE = pattern(1024, 768)
KILLED = 128 + signal.SIGKILL


def running_qemu(process: int) -> int:
    """Return the process id of the QEMU that a glview has started."""
    (qemu,) = (p.pid for p in descendants(process) if command_line(p.pid)[0].endswith(QEMU))
    return qemu


def ended(process: int) -> bool:
    """Return True once a process is gone for good."""
    return not Path(f"/proc/{process}").exists()


def test_run_shows_qemu_and_passes_its_exit_code_on(
    xvfb: Xvfb, start_viewer: StartViewer, tmp_path: Path
) -> None:
    options = guests.splash(tmp_path, PICTURE)
    viewer = start_viewer(xvfb, "run", "--", QEMU, "-accel", "tcg", "-vga", "std", *options)
    viewer.wait_shows(PICTURE, timeout=20.0)
    qemu = running_qemu(viewer.pid)
    os.kill(qemu, signal.SIGKILL)
    assert viewer.wait() == KILLED


def test_closing_the_window_ends_qemu(
    xvfb: Xvfb, start_viewer: StartViewer, tmp_path: Path
) -> None:
    options = guests.splash(tmp_path, PICTURE)
    viewer = start_viewer(xvfb, "run", "--", QEMU, "-accel", "tcg", "-vga", "std", *options)
    viewer.wait_shows(PICTURE, timeout=20.0)
    qemu = running_qemu(viewer.pid)
    viewer.signal(signal.SIGTERM)
    assert viewer.wait() == 0
    until(lambda: ended(qemu), "QEMU to end")


def test_what_qemu_writes_never_holds_it_up(xvfb: Xvfb, tmp_path: Path) -> None:
    """Nobody reads glview's output: the script goes on to QEMU, and QEMU starts."""
    script, done = tmp_path / "vm", tmp_path / "done"
    flood = "head -c 2000000 /dev/zero | tr '\\0' x | fold -w 100 >&2"
    script.write_text(f'#!/bin/sh\n{flood}\ntouch {done}\nexec {QEMU} -M none "$@"\n')
    script.chmod(0o755)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "glview", "run", str(script)]
    with subprocess.Popen(command, env=xvfb.environment(), stderr=writer) as glview:
        os.close(writer)
        try:
            until(done.exists, "the script to have written everything")
            until(lambda: program_of(glview.pid, QEMU), "QEMU")
        finally:
            glview.terminate()
            until(lambda: glview.poll() is not None, "glview to end", 20)
            os.close(reader)


def program_of(process: int, name: str) -> bool:
    """Return whether a program of that name descends from a process."""
    return any(command_line(p.pid)[:1] == [name] for p in descendants(process))


def test_demo_shows_its_picture_and_takes_keys(xvfb: Xvfb, start_viewer: StartViewer) -> None:
    viewer = start_viewer(xvfb, "demo")
    viewer.wait_shows(splash(), timeout=20.0)
    window = viewer.window()
    xvfb.xdotool("windowfocus", window.id, "key", "Escape")  # SeaBIOS leaves its picture for text
    until(lambda: viewer.window().height == 400, "the boot menu")


def test_demo_without_qemu_shows_a_stand_in(
    xvfb: Xvfb, start_viewer: StartViewer, tmp_path: Path
) -> None:
    setpriv = shutil.which("setpriv")  # by which the viewer is started here
    assert setpriv
    (tmp_path / "setpriv").symlink_to(setpriv)
    viewer = start_viewer(xvfb, "demo", env={"PATH": str(tmp_path)})
    until(lambda: viewer.window() and viewer.picture().any(), "the stand-in's picture")
    assert "QEMU is not installed" in viewer.output


def test_list_names_every_vm(bus: Bus, start_qemu: Callable[..., Qemu]) -> None:
    for name in ("first", "second"):
        start_qemu(display=on_bus(bus.address), name=name)

    def listed() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "glview", "--address", bus.address, "--list"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout if "second" in done.stdout else ""

    table = until(listed, "both VMs on the bus")
    assert "first" in table
    assert "VGA" in table


# -- the VM that is named, and no other ------------------------------------

UUID = "12345678-9abc-def0-1234-56789abcdef0"


@pytest.fixture
def right(start_qemu: Callable[..., Qemu]) -> Qemu:
    """A VM peer to peer, named and with a UUID, two devices and three consoles."""
    return start_qemu(
        name="right",
        devices=("VGA", "virtio-gpu-pci,max_outputs=2,id=heads"),
        options=("-uuid", UUID),
    )


def glview(*args: str | Path, pass_fds: tuple[int, ...] = ()) -> tuple[int, str]:
    """Run glview to its end: exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "glview", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        pass_fds=pass_fds,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["wrong", "87654321", "Right", "righ"])
def test_another_vm_than_the_named_one_is_not_shown(
    xvfb: Xvfb, start_viewer: StartViewer, right: Qemu, name: str
) -> None:
    """Nor is its display taken from whoever shows it."""
    other = PeerConnection.over(hand_over(str(right.qmp_path)))
    viewer = start_viewer(xvfb, "--qmp", right.qmp_path, name)
    assert viewer.wait() == NoVmError.exit_code
    assert f"no VM '{name}'; there is right ({UUID})" in viewer.output
    assert [vm.name for vm in list_vms(other)] == ["right"]
    other.close()
    with hand_over(str(right.qmp_path)) as display:
        viewer = start_viewer(
            xvfb, "--fd", str(display.fileno()), name, pass_fds=(display.fileno(),)
        )
        assert viewer.wait() == NoVmError.exit_code
        assert f"no VM '{name}'; there is right ({UUID})" in viewer.output


@pytest.mark.parametrize("name", ["right", UUID, "1234"])
def test_the_named_vm_is_shown(
    xvfb: Xvfb, start_viewer: StartViewer, right: Qemu, name: str
) -> None:
    with hand_over(str(right.qmp_path)) as display:
        ways = ("--qmp", right.qmp_path), ("--fd", str(display.fileno()))
        viewers = [start_viewer(xvfb, *ways[1], name, pass_fds=(display.fileno(),))]
        assert viewers[0].window()
        viewers[0].close()
        assert start_viewer(xvfb, *ways[0], name).window()


def test_a_vm_without_a_name_has_that_of_its_qemu(start_qemu: Callable[..., Qemu]) -> None:
    """QEMU's display says so, QMP says nothing: both ways give one name."""
    qemu = start_qemu()
    described = describe(str(qemu.qmp_path))
    peer = PeerConnection.over(hand_over(str(qemu.qmp_path)))
    assert [vm.name for vm in list_vms(peer)] == [described.name]
    peer.close()


def test_a_vm_peer_to_peer_is_listed(right: Qemu) -> None:
    """By QMP without taking the display from whoever shows it; as its display says it."""
    other = PeerConnection.over(hand_over(str(right.qmp_path)))
    code, table = glview("--list", "--qmp", right.qmp_path)
    assert code == 0
    assert [vm.name for vm in list_vms(other)] == ["right"]
    other.close()
    with hand_over(str(right.qmp_path)) as display:
        arguments = ("--list", "--fd", str(display.fileno()))
        code, by_display = glview(*arguments, pass_fds=(display.fileno(),))
    assert code == 0
    assert UUID in table
    assert str(right.pid) in table
    labels = ["0: VGA", "1: heads.0", "2: heads.1"]
    assert [label for label in labels if label in table and label in by_display] == labels


def test_a_list_of_nothing_reachable(tmp_path: Path) -> None:
    code, output = glview("--list", "--qmp", tmp_path / "no-such")
    assert code == QmpError.exit_code
    assert "there is no such socket" in output
