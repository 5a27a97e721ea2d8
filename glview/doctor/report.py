"""The facts and the advice, for people and as JSON. Both say the same."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict

from glview.doctor.advice import Advice
from glview.doctor.facts import Facts, Node, QemuFacts, Start, Trial, WindowFacts

_WIDTH = 96
_LABEL = 12
_MODULES = {"ui-dbus": "the D-Bus display", "ui-opengl": "gl=on", "virtio-gpu-gl": "virgl"}


def as_json(facts: Facts, advice: Advice) -> str:
    """`facts` and `advice` as in their classes, indented."""
    return json.dumps({"facts": asdict(facts), "advice": asdict(advice)}, indent=2)


def as_text(facts: Facts, advice: Advice) -> str:
    """The report."""
    sections = {
        "Versions": (_line(name, version) for name, version in facts.versions.items()),
        "Display": _display(facts.window),
        "OpenGL": _opengl(facts.window),
        "Device files": _nodes(facts.nodes),
        "QEMU": _qemu(facts.qemu),
        "Self-test": _trials([*facts.window.uploads, *facts.imports]),
        "What works": _ways(advice),
        "Start QEMU with": _start(advice),
    }
    parts = ["\n".join((title, *lines)) for title, lines in sections.items()]
    return "\n\n".join(parts)


def _line(label: str, text: str) -> str:
    return _wrap(f"  {label:{_LABEL}} {text}".rstrip(), " " * (_LABEL + 3))


def _wrap(line: str, indent: str) -> str:
    return textwrap.fill(
        *(line, _WIDTH),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _display(window: WindowFacts) -> Iterator[str]:
    yield _line("window on", f"{window.platform or 'nothing'} {window.display}")
    if window.glfw_version:
        yield _line("GLFW", window.glfw_version)
        yield _line("", window.glfw_library)
    if window.platform == "x11" and window.egl_version:
        yield _line("X server", f"GPU (DRI3): {window.dri3_node or 'none'}")
        yield _line("", f"shared memory: {window.shm or 'usable'}")
    if window.failure:
        yield _line("FAILED", window.failure.cause)
        if window.failure.hint:
            yield _line("", f"-> {window.failure.hint}")


def _opengl(window: WindowFacts) -> Iterator[str]:
    if not window.egl_version:
        yield _line("none", "")
        return
    yield _line("EGL", f"{window.egl_version}, {window.egl_vendor}, driver {window.egl_driver}")
    yield _line(window.api, f"{window.gl_version}")
    yield _line("renderer", window.gl_renderer)
    yield _line("GPU", window.drm_node or "none, or not told")
    for name, there in (window.extensions | window.gl_extensions).items():
        yield _line("yes" if there else "no", name)
    if window.formats is None:
        yield _line("dma-bufs", "formats not told")
    for name, modifiers in (window.formats or {}).items():
        yield _line(name, f"modifiers {', '.join(modifiers) or 'not told'}")


def _nodes(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        driver = f" ({node.driver})" if node.driver else ""
        yield f"  {node.path}{driver}: {node.problem or 'may be opened'}"
    if not nodes:
        yield "  no /dev/dri/*, /dev/udmabuf, /dev/dma_heap/*"


def _qemu(qemu: QemuFacts | None) -> Iterator[str]:
    if qemu is None:
        yield _line("none", "on PATH")
        return
    yield _line(qemu.version, qemu.program)
    for name, there in qemu.modules.items():
        yield _line("yes" if there else "no", f"{name}, for {_MODULES[name]}")
    for start in (qemu.plain, *qemu.gl):
        yield _wrap(f"  -display {start.option}: {_verdict(start)}", " " * 4)
    for fault in qemu.faults:
        yield _line("known fault", fault.text)
        yield _line("", f"-> {fault.way_out}")


def _verdict(start: Start) -> str:
    return "works" if start.ok else f"does not start: {start.words}"


def _trials(trials: list[Trial]) -> Iterator[str]:
    """A line for each buffer and what became of it, with the formats that share it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        ending = f"{trial.result}: {trial.detail}" if trial.detail else trial.result
        groups.setdefault((trial.buffer, ending), []).append(trial.format)
    for (buffer, ending), formats in groups.items():
        yield _line(buffer, f"{' '.join(formats)} {ending}".strip())
    if not trials:
        yield _line("none", "without a window")


def _ways(advice: Advice) -> Iterator[str]:
    for (works, notes), ways in itertools.groupby(advice.ways, lambda w: (w.works, w.notes)):
        yield _line(", ".join(way.name for way in ways), works)
        for note in notes:
            yield _line("", note.text)
            if note.way_out:
                yield _line("", f"-> {note.way_out}")


def _start(advice: Advice) -> Iterator[str]:
    yield f"  {advice.display or 'nothing yet: no picture could be shown'}"
    if advice.display and "gl=on" not in advice.display:
        verdict = "would be slow" if advice.ways[0].works == "slow" else "cannot work here"
        yield f"  gl=on {verdict}; what works says why, at dma-buf"
