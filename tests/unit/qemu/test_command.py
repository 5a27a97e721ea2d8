"""What `glview run` makes of a QEMU command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from glview.errors import LaunchError
from glview.qemu import command
from glview.qemu.command import with_display

QEMU = "qemu-system-x86_64"
MONITOR = ["-chardev", "socket,id=glview-qmp,fd=9", "-qmp", "chardev:glview-qmp"]


def display(argv: list[str], dri: Path = Path("/nonexistent")) -> str:
    """The value of the one -display in the completed command line."""
    words = with_display([QEMU, *argv], 9, dri)
    assert words.count("-display") == 1
    return words[words.index("-display") + 1]


def test_options_are_kept_in_order() -> None:
    argv = [QEMU, "-m", "64", "-qmp", "unix:q,server=on", "-monitor", "stdio", "disk.img"]
    assert with_display(argv, 9) == [*argv, "-display", "dbus,p2p=yes", *MONITOR]


@pytest.mark.parametrize("spelling", ["-display", "--display"])
def test_a_dbus_display_is_completed(spelling: str) -> None:
    given = [spelling, "dbus,p2p=on,gl=es,audiodev=snd", "-m", "64"]
    assert display(given) == "dbus,p2p=yes,gl=es,audiodev=snd"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["-display", "gtk,gl=on"], "-display gtk,gl=on"),
        (["-display", "none"], "-display none"),
        (["--display", "sdl"], "-display sdl"),
        (["-display", "dbus,addr=unix:path=/run/bus"], "addr="),
        (["-display"], "-display"),
        (["-nographic"], "-serial mon:stdio"),
        (["--nographic"], "-serial mon:stdio"),
        (["-daemonize"], "-daemonize"),
        (["-curses"], "-curses"),
    ],
)
def test_a_conflict_is_refused_in_words(argv: list[str], named: str) -> None:
    with pytest.raises(LaunchError) as caught:
        display(["-m", "64", *argv])
    assert named in str(caught.value)


@pytest.mark.parametrize("option", ["-vnc", "-spice", "-serial", "-append"])
def test_other_outputs_are_no_conflict(option: str) -> None:
    assert display([option, "value"]) == "dbus,p2p=yes"


GL_SPELLINGS = [
    "virtio-vga-gl",
    "virtio-gpu-gl-pci,xres=800",
    "driver=virtio-vga-gl,id=gpu",
    '{"driver": "virtio-gpu-gl"}',
]


@pytest.mark.parametrize("device", GL_SPELLINGS)
def test_a_gl_device_brings_gl(device: str, tmp_path: Path) -> None:
    (tmp_path / "renderD129").touch()
    assert display(["-device", device], tmp_path) == (
        f"dbus,p2p=yes,gl=on,rendernode={tmp_path}/renderD129"
    )


@pytest.mark.parametrize("device", ["virtio-vga", "virtio-gpu-pci", "e1000,id=x-gl-y", "{broken"])
def test_other_devices_do_not(device: str, tmp_path: Path) -> None:
    (tmp_path / "renderD128").touch()
    assert display(["-device", device], tmp_path) == "dbus,p2p=yes"


def test_the_boot_gpu_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (128, 129):
        (tmp_path / f"renderD{number}").touch()
    monkeypatch.setattr(command, "_is_boot_gpu", lambda node: node.name == "renderD129")
    assert display(["-device", "virtio-vga-gl"], tmp_path).endswith("renderD129")


def test_gl_chosen_by_the_user_is_left_alone(tmp_path: Path) -> None:
    given = ["-device", "virtio-vga-gl", "-display", "dbus,gl=core"]
    assert display(given, tmp_path) == "dbus,p2p=yes,gl=core"


def test_a_gl_device_without_gpu_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"no GPU.*use virtio-gpu-pci instead"):
        display(["-device", "virtio-gpu-gl-pci"], tmp_path)


def test_a_render_node_that_may_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "renderD128").touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(LaunchError, match=r"may not open .*/renderD128.*render.*use virtio-vga "):
        display(["-device", "virtio-vga-gl"], tmp_path)
