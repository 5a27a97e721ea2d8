"""Device files, and probes that end in odd ways."""

from __future__ import annotations

import io
from pathlib import Path

from glview.doctor.child import Teller, ask, read
from glview.doctor.machine import nodes


def test_device_files(tmp_path: Path) -> None:
    for name in ("dri/renderD128", "dri/card0", "dri/by-path", "dma_heap/system", "udmabuf", "sda"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = nodes(tmp_path)
    names = [node.path.removeprefix(f"{tmp_path}/") for node in found]
    assert names == ["dri/renderD128", "dri/card0", "udmabuf", "dma_heap/system"]
    assert {node.problem for node in found} == {""}


def test_a_device_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "udmabuf").mkdir()
    (node,) = nodes(tmp_path)
    assert node.problem == "Is a directory"


def test_a_probe_that_ends_badly_says_so() -> None:
    answer = ask("no-such-probe", "auto", "auto")
    assert answer.crashed
    assert answer.failure is not None
    assert answer.failure.cause.startswith("exit with code 1 while starting: KeyError")


def test_a_line_that_is_cut_off_is_left_out() -> None:
    pipe = io.StringIO()
    tell = Teller(pipe)
    tell.step("this")
    tell.fact("name", 1)
    tell.fact("name", 2)
    tell.step("that")
    said = pipe.getvalue().encode()
    assert read(said + b'{"fact": ["na') == ({"name": 2}, "that")
