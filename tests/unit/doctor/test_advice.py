"""What follows from facts that our machines do not have: GPUs, render nodes, rights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glview.doctor.advice import Advice, advise
from glview.doctor.facts import (
    Facts,
    Failure,
    Node,
    QemuFacts,
    Start,
    Trial,
    WindowFacts,
)
from glview.doctor.report import as_text
from glview.gl.selftest import Result

FORMATS = ("XR24", "AR24", "XB24", "AB24")
FIRST, SECOND = "/dev/dri/renderD128", "/dev/dri/renderD129"


def trials(result: Result, buffer: str = "gbm", detail: str = "") -> list[Trial]:
    return [Trial(buffer, name, result, detail) for name in FORMATS]


def start(node: str, words: str = "") -> Start:
    option = f"dbus,gl=on,rendernode={node}" if node else "dbus,gl=on"
    return Start(option, node, not words, words)


def qemu(*gl: Start, plain: str = "", version: str = "11.1.3") -> QemuFacts:
    modules = {"ui-dbus": not plain, "ui-opengl": True, "virtio-gpu-gl": True}
    return QemuFacts("qemu", version, modules, Start("dbus", "", not plain, plain), list(gl))


GPU = Facts(
    versions={"glview": "1"},
    nodes=[Node(FIRST, "amdgpu"), Node(SECOND, "i915")],
    window=WindowFacts(
        platform="wayland",
        egl_version="1.5",
        formats={"XR24": ["LINEAR"]},
        drm_node=SECOND,
        uploads=trials("exact", "upload"),
    ),
    imports=trials("exact"),
    qemu=qemu(start(FIRST), start(SECOND)),
)
"""A machine with two GPUs, of which the second one shows the window."""


def works(advice: Advice) -> dict[str, str]:
    return {way.name: way.works for way in advice.ways}


def words(advice: Advice, name: str) -> str:
    (way,) = (way for way in advice.ways if way.name == name)
    return " | ".join(f"{note.text} -> {note.way_out}" for note in way.notes)


def test_qemu_draws_on_the_gpu_that_shows_the_window() -> None:
    advice = advise(GPU)
    assert advice.display == f"-display dbus,gl=on,rendernode={SECOND}"
    assert works(advice) == {"dma-buf": "yes", "map": "yes", "bytes": "yes"}
    assert advice.exit_code == 0


def test_the_x_servers_gpu_counts_as_well() -> None:
    window = replace(GPU.window, drm_node="", dri3_node=SECOND)
    assert SECOND in advise(replace(GPU, window=window)).display


def test_a_software_window_takes_the_first_node_that_works() -> None:
    window = replace(GPU.window, drm_node="")
    facts = replace(GPU, window=window, qemu=qemu(start(FIRST, "egl: no"), start(SECOND)))
    assert SECOND in advise(facts).display


def test_without_qemu_the_nodes_that_may_be_opened_count() -> None:
    facts = replace(GPU, qemu=None, nodes=[Node(FIRST, "", "Permission denied"), Node(SECOND)])
    assert advise(facts).display == f"-display dbus,gl=on,rendernode={SECOND}"


def test_a_node_that_may_not_be_opened() -> None:
    node = Node(FIRST, "", "Permission denied; group render may")
    facts = replace(GPU, nodes=[node], qemu=qemu(start("", "no render node")))
    advice = advise(facts)
    assert advice.display == "-display dbus"
    assert works(advice) == {"dma-buf": "no", "map": "yes", "bytes": "yes"}
    assert "group render may" in words(advice, "dma-buf")
    assert "join the group" in words(advice, "dma-buf")


def test_both_sides_obstacles_are_said() -> None:
    imports = trials("refused", "memfd", "this OpenGL driver cannot")
    facts = replace(GPU, nodes=[], imports=imports, qemu=qemu(start("", "no drm render node")))
    said = words(advise(facts), "dma-buf")
    assert "this OpenGL driver cannot" in said
    assert "no drm render node" in said


@pytest.mark.parametrize("result", ["wrong", "stale", "crashed"])
def test_a_driver_that_fails_rules_dmabufs_out(result: Result) -> None:
    imports = [*trials("exact")[:3], Trial("gbm", "AB24", result, "so it went")]
    advice = advise(replace(GPU, imports=imports))
    assert works(advice)["dma-buf"] == "no"
    assert "AB24: so it went" in words(advice, "dma-buf")
    assert advice.display == "-display dbus"
    assert advice.exit_code == 0


def test_one_format_less_is_said() -> None:
    imports = [*trials("exact")[:3], Trial("gbm", "AB24", "refused", "no such format")]
    advice = advise(replace(GPU, imports=imports))
    assert works(advice)["dma-buf"] == "unsure"
    assert "AB24: no such format" in words(advice, "dma-buf")
    assert "gl=on" in advice.display


def test_a_driver_that_imports_nothing_is_slow() -> None:
    advice = advise(replace(GPU, imports=trials("refused", detail="cannot")))
    assert works(advice) == {"dma-buf": "slow", "map": "yes", "bytes": "yes"}
    assert advice.display == "-display dbus"


def test_a_refused_kind_of_buffer_does_not_count_against_the_next() -> None:
    imports = [Trial("gbm", "", "refused", "no gbm"), *trials("exact", "udmabuf")]
    assert works(advise(replace(GPU, imports=imports)))["dma-buf"] == "yes"


def test_what_cannot_be_read_back_is_not_called_right() -> None:
    advice = advise(replace(GPU, imports=trials("unread", detail="not to be read")))
    assert works(advice)["dma-buf"] == "unsure"
    assert "gl=on" in advice.display


@pytest.mark.parametrize(("version", "shared"), [("7.2.22", "no"), ("9.1", "no"), ("9.2", "yes")])
def test_memory_is_shared_by_new_qemus(version: str, shared: str) -> None:
    facts = replace(GPU, qemu=qemu(start(FIRST), version=version))
    assert works(advise(facts))["map"] == shared


def test_a_qemu_without_the_display_module() -> None:
    advice = advise(replace(GPU, qemu=qemu(start("", "dbus"), plain="dbus is not available")))
    assert set(works(advice).values()) == {"no"}
    assert "qemu-system-modules-opengl" in words(advice, "bytes")


def test_no_window_no_picture() -> None:
    window = WindowFacts(failure=Failure("no display", "set DISPLAY", 10))
    advice = advise(replace(GPU, window=window, imports=[]))
    assert set(works(advice).values()) == {"no"}
    assert (advice.display, advice.exit_code) == ("", 10)


def test_the_report_names_everything() -> None:
    text = " ".join(as_text(GPU, advise(GPU)).split())
    for part in (f"{SECOND} (i915): may be opened", "gbm XR24 AR24 XB24 AB24 exact", "dma-buf yes"):
        assert part in text
    assert text.endswith(f"-display dbus,gl=on,rendernode={SECOND}")
