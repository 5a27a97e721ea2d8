"""The examination: every fact in turn."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from glview.doctor import child, machine, qemu
from glview.doctor.facts import Facts, Trial, WindowFacts
from glview.gl import buffers
from glview.gl.selftest import Result


def examine(api: str = "auto", platform: str = "auto") -> Facts:
    """Look at everything; arguments as the options --gl and --platform. Takes a second or two."""
    nodes = machine.nodes()
    window = _window(child.ask("window", api, platform))
    return Facts(
        versions=machine.versions(),
        nodes=nodes,
        window=window,
        imports=[] if window.failure else _imports(api, platform, window.drm_node),
        qemu=qemu.examine(machine.render_nodes(nodes)),
    )


def _window(answer: child.Answer) -> WindowFacts:
    known: dict[str, Any] = dict(answer.facts)
    known["uploads"] = [Trial(**trial) for trial in known.get("uploads", [])]
    names = {field.name for field in fields(WindowFacts)}
    return WindowFacts(
        **{name: value for name, value in known.items() if name in names}, failure=answer.failure
    )


def _imports(api: str, platform: str, node: str) -> list[Trial]:
    """The import self-test in the first kind of buffer that is not refused."""
    trials: list[Trial] = []
    for kind in buffers.available(node):
        answer = child.ask("import", api, platform, kind, node)
        latest = [Trial(**trial) for trial in answer.facts.get("trials", [])]
        if answer.failure is not None:
            result: Result = "crashed" if answer.crashed else "refused"
            latest.append(Trial(kind, "", result, answer.failure.cause))
        trials += latest
        if any(trial.result != "refused" for trial in latest):
            break
    return trials
