"""A VM whose name and label are of megabytes is shown like any other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from glview.testing import FakeVm
from glview.testing.pictures import XRGB8888, pack, unique
from tests.support.process import Child
from tests.support.viewer import Viewer
from tests.support.x11 import Xvfb

NAME = "n\u00e9" * 6_000_000
"""17 MB, more than one request to an X server may have."""


def test_a_name_of_17_megabytes(xvfb: Xvfb, tmp_path: Path) -> None:
    vm, sock = FakeVm.pair(name=NAME)
    vm.console().properties["org.qemu.Display1.Console"].change(Label=NAME)
    with vm, sock:
        fd = sock.fileno()
        with Viewer(tmp_path, xvfb, "--fd", str(fd), "-v", pass_fds=(fd,)) as viewer:
            listener = vm.console().wait_listener(timeout=60.0)  # each name takes the fake a while
            picture = unique(64, 32)
            listener.scanout(64, 32, 256, XRGB8888, pack(picture, XRGB8888).tobytes())
            viewer.wait_shows(picture)
            command = ["xprop", "-id", str(viewer.window().id), "_NET_WM_NAME"]
            title = subprocess.run(
                command, env=xvfb.environment(), capture_output=True, check=True
            ).stdout
            assert b"n\xc3\xa9n\xc3\xa9" in title
            assert len(title) < 1000
            assert len(viewer.output) < 10_000
            assert most_memory(viewer) < 200.0


def most_memory(process: Child) -> float:
    """The most memory that a process had, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024
