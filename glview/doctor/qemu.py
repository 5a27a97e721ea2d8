"""Facts about the QEMU on PATH: it is started with a display and told to quit.

That is QEMU's own judgement of its modules, of the render nodes and of the
EGL behind them, in its own words, and takes a tenth of a second.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Sequence

from glview.doctor import faults
from glview.doctor.facts import KnownFault, Node, QemuFacts, Start
from glview.qemu.demo import PROGRAMS

_TIMEOUT = 20.0
_QUIT = b'{"execute": "qmp_capabilities"} {"execute": "quit"}'


def examine(nodes: Sequence[Node]) -> QemuFacts | None:
    """Try QEMU without OpenGL and with each render node; None where there is no QEMU."""
    names = (f"qemu-system-{platform.machine()}", *PROGRAMS)
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        return None
    plain = _start(program, "dbus")
    usable = [node.path for node in nodes if not node.problem]
    gl = [_start(program, f"dbus,gl=on,rendernode={node}", node) for node in usable]
    gl = gl or [_start(program, "dbus,gl=on")]
    version = _version(program)
    known = [KnownFault(fault.text, fault.way_out) for fault in faults.known(version)]
    return QemuFacts(program, version, _modules(program), plain, gl, known)


def _version(program: str) -> str:
    found = re.search(r"version ([\d.]+)", _said(program, "--version"))
    return found[1].rstrip(".") if found else "unknown"


def _modules(program: str) -> dict[str, bool]:
    """Which modules can be loaded: QEMU lists a display only then."""
    displays = _said(program, "-display", "help").split()
    devices = _said(program, "-device", "help")
    return {
        "ui-dbus": "dbus" in displays,
        "ui-opengl": "egl-headless" in displays,
        "virtio-gpu-gl": '"virtio-gpu-gl-pci"' in devices,
    }


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def _start(program: str, option: str, node: str = "") -> Start:
    # No machine, and peer to peer, so that no bus is needed.
    argv = [program, "-M", "none", "-nodefaults", "-no-user-config", "-qmp", "stdio"]
    try:
        done = subprocess.run(
            [*argv, "-display", f"{option},p2p=yes"],
            input=_QUIT,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Start(option, node, False, f"no answer in {_TIMEOUT:g} s")
    if done.returncode == 0:
        return Start(option, node, True)
    return Start(option, node, False, _words(done.stderr, done.returncode))


def _words(stderr: bytes, code: int) -> str:
    """What QEMU said, without its name before every line."""
    lines = stderr.decode(errors="replace").splitlines()
    said = [re.sub(r"^\S*qemu\S*: ", "", line).strip() for line in lines]
    return "; ".join(filter(None, said)) or f"exit with code {code}"
