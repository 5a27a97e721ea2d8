"""A VM to look at and to type at, from nothing but an installed QEMU: `glview demo`.

No disk, no download, no root: SeaBIOS shows a picture of ours and has a boot
menu behind Esc; then iPXE, in the network card's ROM, has a shell behind
Ctrl+B; then the machine starts over.
"""

from __future__ import annotations

import os
import shutil

from glview.qemu.launch import QemuProcess, start
from glview.qemu.splash import bmp, splash

PROGRAMS = ("qemu-system-x86_64", "qemu-system-i386", "/usr/libexec/qemu-kvm")

_PICTURE_MS = 20_000
_AGAIN_MS = 10_000


def demo_command(splash_path: str) -> list[str] | None:
    """Return the QEMU command line of the demo, None where no QEMU is installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        return None
    boot = f"menu=on,splash={splash_path},splash-time={_PICTURE_MS},reboot-timeout={_AGAIN_MS}"
    return [
        *(program, "-nodefaults", "-no-user-config", "-name", "glview demo"),
        *("-accel", "tcg", "-machine", "pc", "-m", "64", "-vga", "std"),
        *("-nic", "user,model=e1000,restrict=on", "-boot", boot),
    ]


def start_demo() -> QemuProcess | None:
    """Start the demo's VM; None where no QEMU is installed. Raises as `start` does."""
    file = os.memfd_create("splash.bmp")  # nothing to tidy up, however we end
    try:
        command = demo_command(f"/proc/self/fd/{file}")
        if command is None:
            return None
        with open(file, "wb", closefd=False) as out:
            out.write(bmp(splash()))
        return start(command, pass_fds=[file])
    finally:
        os.close(file)
