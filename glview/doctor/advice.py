"""What follows from the facts: which ways of showing work, and how to start QEMU."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from glview.doctor.child import OTHER_DRIVER
from glview.doctor.facts import Facts, Failure, Start, Trial
from glview.doctor.machine import render_nodes
from glview.errors import NoGraphicsError
from glview.qemu.launch import NO_DBUS_MODULE

Works = Literal["yes", "slow", "unsure", "no"]

_GL_OFF = "start QEMU with gl=off: its pictures come as shared memory or bytes"
_NEEDS = (
    "gl=on needs a render node (/dev/dri/renderD*) that draws with EGL_KHR_surfaceless_context"
    " and EGL_MESA_image_dma_buf_export"
)
_NO_NODE = "the kernel's driver of a GPU makes one; without a GPU start QEMU with gl=off"
_MAP_SINCE = (9, 2)  # QEMU's version


@dataclass(frozen=True)
class Note:
    """Something to know, and the way out if it is an obstacle."""

    text: str
    way_out: str = ""


@dataclass(frozen=True)
class Way:
    """A way in which pictures come, whether it works, and why (not).

    It is slow where the CPU has to copy what the GPU could have shown.
    """

    name: str
    works: Works
    notes: list[Note]


@dataclass(frozen=True)
class Advice:
    """`display` is the option to start QEMU with, empty where no picture can be shown.

    `exit_code` is 0 where one can.
    """

    ways: list[Way]
    display: str
    exit_code: int


def advise(facts: Facts) -> Advice:
    """Judge the facts."""
    failure = _cannot_show(facts)
    if failure is not None:
        notes = [Note(failure.cause, failure.hint)]
        nothing = [Way(name, "no", notes) for name in ("dma-buf", "map", "bytes")]
        return Advice(nothing, "", failure.code)
    dmabuf = _dmabuf(facts)
    start = _gl_start(facts) if dmabuf.works in ("yes", "unsure") else None
    option = start.option if start else "dbus"
    return Advice([dmabuf, _map(facts), _bytes(facts)], f"-display {option}", 0)


def _cannot_show(facts: Facts) -> Failure | None:
    """Why no picture can be shown, if so."""
    if facts.window.failure is not None:
        return facts.window.failure
    wrong = _of(facts.window.uploads, "wrong")
    if not wrong:
        return None
    cause = f"the OpenGL driver lies: uploaded pixels do not read back as they were: {_list(wrong)}"
    return Failure(cause, OTHER_DRIVER, NoGraphicsError.exit_code)


# -- the ways --------------------------------------------------------------


def _bytes(facts: Facts) -> Way:
    if missing := _no_display(facts):
        return Way("bytes", "no", [missing])
    return Way("bytes", "yes", [Note("with every QEMU that has the D-Bus display")])


def _map(facts: Facts) -> Way:
    if missing := _no_display(facts):
        return Way("map", "no", [missing])
    version = facts.qemu.version if facts.qemu else ""
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    if numbers and numbers < _MAP_SINCE:
        text = f"QEMU {version} does not share its memory"
        return Way("map", "no", [Note(text, "QEMU 9.2 does; until then pictures come as bytes")])
    return Way("map", "yes", [Note("with QEMU 9.2 or later")])


def _no_display(facts: Facts) -> Note | None:
    """What keeps QEMU from having the D-Bus display at all."""
    if facts.qemu is None or facts.qemu.plain.ok:
        return None
    return Note(f"QEMU says: {facts.qemu.plain.words}", NO_DBUS_MODULE)


def _dmabuf(facts: Facts) -> Way:
    """Both sides have to do their part: our driver imports, QEMU's exports."""
    importing, exporting = _importing(facts), _no_display(facts) or _exporting(facts)
    if exporting is None:
        return importing
    notes = importing.notes if importing.works in ("no", "slow") else []
    return Way("dma-buf", "no", [*notes, exporting])


def _importing(facts: Facts) -> Way:
    trials = facts.imports
    if crashed := _of(trials, "crashed"):
        return _dmabuf_way("no", f"the OpenGL driver fails: {_list(crashed)}", _GL_OFF)
    if lies := _of(trials, "wrong") + _of(trials, "stale"):
        text = (
            f"the OpenGL driver lies: imported pixels do not read back as they are: {_list(lies)}"
        )
        return _dmabuf_way("no", text, _GL_OFF)
    if accepted := _of(trials, "exact") + _of(trials, "unread"):
        return _accepted(trials, accepted[0].buffer)
    text = f"{_list(trials)}; the CPU copies buffers instead where it can"
    return _dmabuf_way("slow", text, _GL_OFF)


def _accepted(trials: list[Trial], buffer: str) -> Way:
    """The driver took this kind of buffer, perhaps not in every format."""
    rest = [t for t in trials if t.buffer == buffer and t.result != "exact"]
    if rest:
        return _dmabuf_way("unsure", f"not certain in every format: {_list(rest)}", _GL_OFF)
    return _dmabuf_way("yes", f"the formats of guests are imported exactly, tried with a {buffer}")


def _dmabuf_way(works: Works, text: str, way_out: str = "") -> Way:
    return Way("dma-buf", works, [Note(text, way_out)])


def _exporting(facts: Facts) -> Note | None:
    """What keeps QEMU from gl=on."""
    if _gl_start(facts) is not None:
        return None
    closed = [node for node in render_nodes(facts.nodes) if node.problem]
    said = "; ".join(start.words for start in facts.qemu.gl) if facts.qemu else ""
    words = f"; QEMU says: {said}" if said else ""
    if closed:
        names = ", ".join(f"{node.path} ({node.problem})" for node in closed)
        return Note(f"you may not open {names}{words}", "join the group that owns it (render)")
    return Note(f"{_NEEDS}{words}", _NO_NODE)


def _gl_start(facts: Facts) -> Start | None:
    """How to start QEMU with gl=on: on the GPU that shows the window, if that has one."""
    if facts.qemu is not None:
        good = [start for start in facts.qemu.gl if start.ok]
    else:
        paths = [node.path for node in render_nodes(facts.nodes) if not node.problem]
        good = [Start(f"dbus,gl=on,rendernode={path}", path, True) for path in paths]
    ours = {facts.window.drm_node, facts.window.dri3_node}
    return next((start for start in good if start.node in ours), good[0] if good else None)


# -- trials in words -------------------------------------------------------


def _of(trials: list[Trial], result: str) -> list[Trial]:
    return [trial for trial in trials if trial.result == result]


def _list(trials: list[Trial]) -> str:
    """Each different detail once, with the formats that it is about."""
    formats: dict[str, list[str]] = {}
    for trial in trials:
        formats.setdefault(trial.detail or trial.result, []).append(trial.format)
    everything = len(formats) == 1 and len(trials) > 1
    return "; ".join(
        detail if everything or not any(names) else f"{' '.join(names)}: {detail}"
        for detail, names in formats.items()
    )
