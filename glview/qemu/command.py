"""Adding a private D-Bus display to a QEMU command line that somebody else wrote."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from glview.errors import LaunchError
from glview.qemu.supervisor import MONITOR_ID

DRI = Path("/dev/dri")

_OWN_DISPLAY = "glview run gives QEMU a display of its own"
_CONFLICTS = {
    "-nographic": "leave -nographic out; for the serial console here add -serial mon:stdio",
    "-curses": "leave -curses out",
    "-sdl": "leave -sdl out",
    "-daemonize": "leave -daemonize out: QEMU ends with its window",
}
_VERSION_OR_HELP = ("-h", "-help", "-version")
_LISTS = frozenset(  # options whose value may be help: QEMU lists what there is, and ends
    "-" + name
    for name in (
        *("machine", "M", "cpu", "accel", "device", "netdev", "net", "nic", "object", "chardev"),
        *("audiodev", "audio", "soundhw", "display", "vga", "trace", "d", "drive", "global"),
        *("tpmdev", "smp", "boot", "rtc", "L", "watchdog"),
    )
)
_HELP = re.compile(r"(^|,)((format|model|driver|type)=)?(help|\?)(,|$)")
_CLOSE_DESCRIPTORS = {
    "sudo": "sudo -C {number} keeps it where sudoers has closefrom_override; else ",
    "doas": "",
    "pkexec": "",
}
APART = (
    "start QEMU apart, with -display dbus,p2p=yes -qmp unix:PATH,server=on,wait=off, and use "
    "glview --qmp PATH"
)
"""The way out where QEMU cannot inherit a descriptor."""

_GL_DEVICE = re.compile(r"-gl(-|$)")


def with_display(argv: Sequence[str], monitor_fd: int, dri: Path = DRI) -> list[str]:
    """Return `argv` with a peer-to-peer display and a QMP monitor on `monitor_fd` added.

    A ``-display dbus,...`` of the user's is kept and completed, so that
    ``gl=``, ``rendernode=`` and ``audiodev=`` can be chosen; any other display
    is a `LaunchError`. ``gl=on`` comes in by itself with a device that cannot
    do without it, such as virtio-vga-gl. The user's own monitors are left alone.
    """
    _refuse_closing(argv, monitor_fd)
    words, settings = _take_displays(argv)
    if "gl" not in {setting.partition("=")[0] for setting in settings}:
        settings += _gl_settings(_gl_devices(words), dri)
    return [
        *words,
        *("-display", ",".join(["dbus", "p2p=yes", *settings])),
        *("-chardev", f"socket,id={MONITOR_ID},fd={monitor_fd}"),
        *("-qmp", f"chardev:{MONITOR_ID}"),  # -mon is deprecated in QEMU 11
    ]


def only_tells(argv: Sequence[str]) -> bool:
    """Return whether QEMU would print its help, its version or a list, and end.

    So for ``-h`` or ``-version``, and for ``help`` or ``?`` as the value of an option that
    takes it, or as a part of that: ``-device VGA,help``, ``-nic model=help``.
    """
    words = [_option(word) for word in argv]
    return any(word in _VERSION_OR_HELP for word in words[1:]) or any(
        option in _LISTS and _HELP.search(value) for option, value in itertools.pairwise(words)
    )


def _refuse_closing(argv: Sequence[str], fd: int) -> None:
    """Raise `LaunchError` for a program that runs QEMU, but closes descriptors before."""
    name = os.path.basename(argv[0])
    if name not in _CLOSE_DESCRIPTORS:
        return
    own = itertools.takewhile(lambda word: word.startswith("-"), argv[1:])
    if name == "sudo" and any(word.startswith(("-C", "--close-from")) for word in own):
        return
    raise LaunchError(
        f"{name} closes descriptor {fd}, by which glview reaches QEMU",
        _CLOSE_DESCRIPTORS[name].format(number=fd + 1) + APART,
    )


def _take_displays(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the command line into all but its displays, and their D-Bus settings."""
    words: list[str] = []
    settings: list[str] = []
    rest = iter(argv)
    for word in rest:
        option = _option(word)
        if option in _CONFLICTS:
            raise LaunchError(f"{word} conflicts: {_OWN_DISPLAY}", _CONFLICTS[option])
        if option == "-display":
            settings += _dbus_settings(next(rest, ""))
        else:
            words.append(word)
    return words, settings


def _option(word: str) -> str:
    """QEMU takes ``--name`` for ``-name``."""
    return word[1:] if word.startswith("--") else word


def _dbus_settings(display: str) -> list[str]:
    """Return the settings of a ``-display dbus,...`` that can be kept."""
    kind, *settings = display.split(",")
    if kind != "dbus":
        raise LaunchError(f"-display {display} conflicts: {_OWN_DISPLAY}", "leave -display out")
    if any(setting.startswith("addr=") for setting in settings):
        raise LaunchError(
            f"-display {display} conflicts: {_OWN_DISPLAY}, not on a bus",
            "leave addr= out, or start QEMU yourself and use glview --address",
        )
    return [setting for setting in settings if not setting.startswith("p2p=")]


def _gl_devices(words: Sequence[str]) -> list[str]:
    return [name for name in _devices(words) if _GL_DEVICE.search(name)]


def _devices(words: Sequence[str]) -> Iterator[str]:
    """Yield the driver name of each ``-device``, in any of its three spellings."""
    for word, value in itertools.pairwise(words):
        if _option(word) != "-device":
            continue
        if value.startswith("{"):
            yield _json_driver(value)
        else:
            yield value.split(",")[0].removeprefix("driver=")


def _json_driver(value: str) -> str:
    try:
        return str(json.loads(value).get("driver", ""))
    except json.JSONDecodeError:
        return ""  # QEMU will say so itself


def _gl_settings(devices: Sequence[str], dri: Path) -> list[str]:
    if not devices:
        return []
    return ["gl=on", f"rendernode={_render_node(devices[0], dri)}"]


def _render_node(device: str, dri: Path) -> Path:
    """Return the render node of the machine's first GPU. QEMU refuses `device` without one."""
    nodes = sorted(dri.glob("renderD*"), key=lambda node: (not _is_boot_gpu(node), node.name))
    for node in nodes:
        if os.access(node, os.R_OK | os.W_OK):
            return node
    software = _GL_DEVICE.sub(r"\1", device)
    plain = f"use {software} instead, which draws in software"
    if nodes:
        raise LaunchError(
            f"{device} needs OpenGL, and you may not open {nodes[0]}",
            f"join the group that owns it (render), or {plain}",
        )
    raise LaunchError(f"{device} needs OpenGL, and there is no GPU ({dri}/renderD*)", plain)


def _is_boot_gpu(node: Path) -> bool:
    """Whether the firmware chose that GPU for the screen, as compositors then do."""
    try:
        return Path(f"/sys/class/drm/{node.name}/device/boot_vga").read_bytes().strip() == b"1"
    except OSError:
        return False
