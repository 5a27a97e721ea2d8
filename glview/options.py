"""Parse the command line: the table of options, and which command honours which.

A command line is accepted where each of its words has an effect, and refused in one
line otherwise, with the right way: no option is dropped in silence. The refusals follow
from `OPTIONS`, whose rows name the commands that honour an option, and from
`EXCLUSIONS`, the pairs that a command cannot honour together.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from glview import __version__, output
from glview.errors import UsageError

COMMANDS = {
    "view": "glview [NAME]",
    "list": "glview --list",
    "run": "glview run",
    "demo": "glview demo",
    "doctor": "glview doctor",
}
"""Each command, and how it is typed."""

_VERBS = ("run", "demo", "doctor")  # the first word that is no option
_FIND = frozenset({"view", "list"})
_SHOW = frozenset({"view", "run", "demo"})
_DRAW = _SHOW | {"doctor"}
_RUN = "glview run [OPTIONS] -- qemu-system-x86_64 ..."

_DESCRIPTION = "Shows the console of a QEMU virtual machine that runs with -display dbus."
_EPILOG = """\
commands:
  glview demo                    open a small VM of its own, to look at and type at
  glview run -- QEMU OPTIONS     start QEMU with a display for glview, and open it
  glview doctor                  say what this machine can show, and how to start QEMU

Without --address, --qmp or --fd the session bus is searched.
"""


class Option(NamedTuple):
    """One option: its flags, the commands that honour it, and what argparse is told."""

    flags: tuple[str, ...]
    commands: frozenset[str]
    details: dict[str, Any]

    @property
    def name(self) -> str:
        """Return the name of its value in the parsed options."""
        return self.flags[-1].lstrip("-").replace("-", "_")

    @property
    def takes_value(self) -> bool:
        """Return whether the next word belongs to it."""
        return "metavar" in self.details or "choices" in self.details


class Line(NamedTuple):
    """A parsed command line; `rest` is QEMU's part of it, for `run`."""

    command: str
    options: argparse.Namespace
    rest: list[str]


def _value(metavar: str, help: str, type: Callable[[str], object] = str) -> dict[str, Any]:
    return {"metavar": metavar, "help": help, "type": type, "action": _Once}


def _choice(default: str, *others: str, help: str) -> dict[str, Any]:
    return {"choices": (default, *others), "default": default, "help": help, "action": _Once}


def _switch(help: str) -> dict[str, Any]:
    return {"action": "store_true", "help": help}


class _Once(argparse.Action):
    """Store a value that is given once, and not empty."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if hasattr(namespace, self.dest):
            raise UsageError(f"{option_string} is given twice", "one of them would be ignored")
        if values == "":
            raise UsageError(f"{option_string} has an empty value", "is a variable not set?")
        setattr(namespace, self.dest, values)


OPTIONS = (
    Option(
        ("--address",),
        _FIND,
        _value("ADDR", "D-Bus address of the VM's bus, e.g. unix:path=/run/vm/bus"),
    ),
    Option(
        ("--qmp",),
        _FIND,
        _value("PATH", "QMP socket of a VM started with -display dbus,p2p=yes"),
    ),
    Option(
        ("--fd",), _FIND, _value("N", "inherited socket that leads to a VM's display", type=int)
    ),
    Option(("--list",), _FIND, _switch("list the VMs that are found there, and exit")),
    Option(
        ("--console",),
        _SHOW,
        _value("N", "console number (default: the first graphic one)", type=int),
    ),
    Option(("--wait",), frozenset({"view"}), _switch("wait for the VM to appear")),
    Option(
        ("--no-reconnect",),
        frozenset({"view"}),
        _switch("exit when the VM goes, instead of waiting for it"),
    ),
    Option(
        ("--no-lock-sync",),
        _SHOW,
        _switch("leave the guest's Caps and Num Lock alone when the window gets the focus"),
    ),
    Option(("--no-resize",), _SHOW, _switch("do not ask the guest to follow the window's size")),
    Option(
        ("--gl",),
        _DRAW,
        _choice(
            *("auto", "es", "core"),
            help="OpenGL ES 3.0, OpenGL 3.3 core, or whichever works (default)",
        ),
    ),
    Option(
        ("--platform",),
        _DRAW,
        _choice(
            *("auto", "wayland", "x11"),
            help="the window system: Wayland, X11, or the first that answers (default)",
        ),
    ),
    Option(
        ("--present",),
        _SHOW,
        _choice(
            *("auto", "swap", "shm"),
            help="EGL's buffer swap, X shared memory, or whichever is faster (default)",
        ),
    ),
    Option(
        ("--no-pacing",),
        _SHOW,
        _switch("draw before the screen is through with the last frame"),
    ),
    Option(("--vsync",), _SHOW, _switch("swap between two refreshes: no tearing, but later")),
    Option(("--no-map",), _SHOW, _switch("have byte-array pictures sent, not shared memory")),
    Option(("--stats",), _SHOW, _switch("print a line of figures a second to stderr")),
    Option(("--hud",), _SHOW, _switch("show figures in the window (Ctrl+Alt+Shift+F12)")),
    Option(("--trace",), _SHOW, _value("FILE", "write what becomes of each update, for Perfetto")),
    Option(("--json",), frozenset({"doctor"}), _switch("doctor only: say it as JSON")),
    Option(("--no-dmabuf2",), _SHOW, _switch("have dma-bufs announced by QEMU's older call")),
    Option(
        ("-v", "--verbose"),
        frozenset(COMMANDS),
        {"action": "count", "help": "say more; twice: even more"},
    ),
    Option(
        ("--version",),
        frozenset(COMMANDS),
        {"action": "version", "version": f"glview {__version__}"},
    ),
    Option(
        ("vm",),
        frozenset({"view"}),
        {"nargs": "?", "metavar": "NAME|UUID", "help": "which VM, where there are several"},
    ),
)
"""Every option; a row of its own for each."""

EXCLUSIONS: dict[tuple[str, str], str] = {
    ("address", "qmp"): "each leads to a VM: keep one",
    ("address", "fd"): "each leads to a VM: keep one",
    ("qmp", "fd"): "each leads to a VM: keep one",
    ("fd", "wait"): "a socket is inherited or not: leave --wait out",
    ("present=shm", "vsync"): "shared memory is put at any time: --vsync goes with --present swap",
}
"""Pairs of options that contradict each other, by name or by name and value, with the way out."""


def parse(argv: Sequence[str]) -> Line:
    """Return the command, its options and QEMU's part of a command line.

    Raises `UsageError` for what no command honours.
    """
    command, own, names, rest = _split(argv)
    try:
        given = vars(parser().parse_args(own))
        if names:
            given["vm"] = names[0]
        if len(names) > 1:
            raise UsageError(f"one VM at a time, not {' and '.join(names[:2])}")
        if "" in names:
            raise UsageError("the name of the VM is empty", "is a variable not set?")
    except UsageError as error:
        if any(map(_is_qemu, names)):  # its options were taken for ours
            raise UsageError(str(error.args[0]), f"to start QEMU: {_RUN}") from error
        raise
    if given.get("list") and command == "view":
        command = "list"
    _refuse_dropped(command, given)
    _refuse_excluded(given)
    _check_rest(command, rest)
    return Line(command, argparse.Namespace(**_defaults() | given), rest)


def parser() -> argparse.ArgumentParser:
    """Return argparse's parser of every option; those not given are absent from its result."""
    made = _Parser("glview", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_formatter)
    for option in OPTIONS:
        details = {**option.details, "default": argparse.SUPPRESS}
        made.add_argument(*option.flags, **details)
    return made


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: object = None) -> None:
        output.write(message)  # of --help and --version; argparse ignores a full disk

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "glview --help lists the options")


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Return one as wide as the terminal, for whose width argparse would load half a library."""
    try:
        width = os.get_terminal_size().columns
    except OSError:
        width = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=width - 2)


# -- splitting -------------------------------------------------------------


def _split(argv: Sequence[str]) -> tuple[str, list[str], list[str], list[str]]:
    """Return the command, glview's options, names of VMs, and the words for QEMU.

    Options may stand before the command and after it. QEMU's words begin after ``--``,
    or with the first word after ``run`` that is no option.
    """
    command = "view"
    own: list[str] = []
    names: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            if command != "view":
                return command, own, names, list(words)
            names += words
        elif word.startswith("-") and word != "-":
            own.append(word)
            if _takes_next(word):
                own += itertools.islice(words, 1)
        elif command == "view" and not names and word in _VERBS:
            command = word
        elif command == "run":
            return command, own, names, [word, *words]
        else:
            names.append(word)
    return command, own, names, []


def _takes_next(word: str) -> bool:
    """Return whether an option's value is the next word: ``--qmp PATH``, ``--qm PATH``."""
    exact = [option for option in OPTIONS if word in option.flags]
    begun = [option for option in OPTIONS if option.flags[-1].startswith(word)]
    meant = exact or (begun if word.startswith("--") else [])
    return bool(meant) and all(option.takes_value for option in meant)


def _is_qemu(name: str) -> bool:
    return os.path.basename(name).startswith("qemu-")


# -- refusals --------------------------------------------------------------


def flag(name: str) -> str:
    """Return how the option of that name is typed; ``name=value`` stands for one value of it."""
    name, _, value = name.partition("=")
    if name == "vm":
        return "NAME"
    (option,) = (option for option in OPTIONS if option.name == name)
    return f"{option.flags[-1]} {value}".strip()


def is_given(name: str, given: Mapping[str, object]) -> bool:
    """Return whether the parsed options hold `name`, which may be ``name=value``."""
    name, _, value = name.partition("=")
    return name in given and (not value or given[name] == value)


def _refuse_dropped(command: str, given: Mapping[str, object]) -> None:
    for option in OPTIONS:
        if option.name in given and command not in option.commands:
            ways = [typed for name, typed in COMMANDS.items() if name in option.commands]
            raise UsageError(
                f"{flag(option.name)} means nothing to {COMMANDS[command]}",
                f"it goes with {', '.join(ways)}",
            )


def _refuse_excluded(given: Mapping[str, object]) -> None:
    for (one, other), way_out in EXCLUSIONS.items():
        if is_given(one, given) and is_given(other, given):
            raise UsageError(f"{flag(one)} and {flag(other)} exclude each other", way_out)


def _check_rest(command: str, rest: Sequence[str]) -> None:
    if command == "run" and not rest:
        raise UsageError("run needs a QEMU command line", _RUN)
    if command != "run" and rest:
        raise UsageError(f"{COMMANDS[command]} takes no QEMU options", f"{_RUN} does")


def _defaults() -> dict[str, Any]:
    """Return the value of each option that is not given."""
    of_action = {"store_true": False, "count": 0}
    return {
        option.name: option.details.get("default", of_action.get(option.details.get("action", "")))
        for option in OPTIONS
    }
