"""Probes run in processes of their own: a driver that crashes takes only a probe with it.

The probe writes lines of JSON: ``{"step": text}`` before it does something
that may end it, ``{"fact": [name, value]}`` for what it has found. So what was
known before a crash is not lost, and the crash has a name.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from glview.doctor.facts import Failure
from glview.errors import GlviewError, NoGraphicsError

OTHER_DRIVER = "update or change the driver; LIBGL_ALWAYS_SOFTWARE=1 has Mesa draw without a GPU"

TIMEOUT = 60.0
"""Seconds after which a driver is taken to hang."""


class Answer(NamedTuple):
    """What a probe found, and how it ended if not well; `crashed` if not by its own will."""

    facts: dict[str, Any]
    failure: Failure | None
    crashed: bool


class Teller:
    """The probe's side of the pipe."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe

    def step(self, text: str) -> None:
        """Say what is about to be done: "while ..."."""
        self._tell({"step": text})

    def fact(self, name: str, value: object) -> None:
        """Say what was found; the same name again replaces it."""
        self._tell({"fact": [name, value]})

    def _tell(self, line: Mapping[str, object]) -> None:
        print(json.dumps(line), file=self._pipe, flush=True)


def ask(*probe: str, timeout: float = TIMEOUT) -> Answer:
    """Run a probe, named as on the command line of `main`, to its end."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "glview.doctor", *probe],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        facts, step = read(late.stdout or b"")
        return Answer(facts, _driver_failure(f"no answer in {timeout:g} s while {step}"), True)
    facts, step = read(done.stdout)
    if "failure" in facts:
        return Answer(facts, Failure(**facts.pop("failure")), False)
    if done.returncode == 0:
        return Answer(facts, None, False)
    cause = f"{_ending(done.returncode)} while {step}{_last_words(done.stderr)}"
    return Answer(facts, _driver_failure(cause), True)


def _driver_failure(cause: str) -> Failure:
    return Failure(cause, OTHER_DRIVER, NoGraphicsError.exit_code)


def read(output: bytes) -> tuple[dict[str, Any], str]:
    """The facts and the latest step of what a probe wrote, its last line perhaps cut off."""
    facts: dict[str, Any] = {}
    step = "starting"
    for line in output.split(b"\n")[:-1]:
        said = json.loads(line)
        step = said.get("step", step)
        if "fact" in said:
            name, value = said["fact"]
            facts[name] = value
    return facts, step


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit with code {code}"
    return f"crash ({signal.Signals(-code).name})"


def _last_words(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1]}" if said else ""


def main() -> None:
    """The probe's process."""
    from glview.doctor import probes

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tell = Teller(os.fdopen(os.dup(sys.stdout.fileno()), "w"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # drivers may write there
    name, api, platform, *rest = sys.argv[1:]
    table: dict[str, Callable[..., None]] = {"window": probes.window, "import": probes.importing}
    try:
        table[name](tell, probes.API[api], platform, *rest)
    except GlviewError as error:
        tell.fact("failure", vars(Failure(str(error.args[0]), error.hint, error.exit_code)))
    os._exit(0)  # without the driver's own end, which may hang or crash
