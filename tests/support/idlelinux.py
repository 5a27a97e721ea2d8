"""A Linux that boots in memory and then does nothing: its console takes keys and sets lights."""

from __future__ import annotations

import subprocess
from pathlib import Path

MEMORY = 256
"""MiB that the guest needs."""

READY = "idle"
"""The guest writes this to its serial port once it runs."""

_PROGRAM = f"""
#include <unistd.h>
int main(void) {{ write(1, "{READY}\\n", {len(READY) + 1}); for (;;) pause(); }}
"""


def idle_linux(folder: Path, vmlinuz: Path, serial: Path) -> list[str]:
    """Return words for QEMU's command line; the serial port's output goes to the file `serial`."""
    init = folder / "init"
    compiler = ["gcc", "-static", "-w", "-O2", "-x", "c", "-o", str(init), "-"]
    subprocess.run(compiler, input=_PROGRAM, text=True, check=True, timeout=60)
    archive = folder / "initrd"
    files = _entry("dev", 0o040755) + _entry("init", 0o100755, init.read_bytes())
    archive.write_bytes(files + _entry("TRAILER!!!", 0))
    command_line = "console=tty0 console=ttyS0 quiet nokaslr mitigations=off no_timer_check"
    return [
        *("-kernel", str(vmlinuz), "-initrd", str(archive), "-append", command_line),
        *("-serial", f"file:{serial}"),
    ]


def _entry(name: str, mode: int, data: bytes = b"") -> bytes:
    """A file in a cpio archive of the kind `newc`. (cpio(5))"""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    header = "070701" + "".join(f"{field:08x}" for field in fields) + name + "\0"
    head = header.encode()
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
