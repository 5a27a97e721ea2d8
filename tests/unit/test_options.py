"""Every word of a command line has an effect or is refused: all commands, options and pairs.

The effect of a line is what its command would do: the way to a VM, the settings of its
viewer, what a list or an examination would ask. All that a command touches is
replaced here; the other tests of the command line have real VMs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

import glview.app
import glview.qemu.demo
import glview.stats.trace
from glview import cli, log
from glview.app import Settings
from glview.dbus import address
from glview.dbus.bus import BusConnection
from glview.dbus.peer import PeerConnection
from glview.doctor import advice, examine, report
from glview.errors import UsageError
from glview.options import COMMANDS, EXCLUSIONS, OPTIONS, parse
from glview.qemu import discovery, launch, qmp
from glview.qemu.ways import ByBus, ByQmp, BySocket

BASES: dict[str, list[str]] = {
    "view": [],
    "list": ["--list"],
    "run": ["run"],
    "demo": ["demo"],
    "doctor": ["doctor"],
}
QEMU = ["qemu-system-x86_64", "-m", "64", "--", "-v"]
SAMPLES = {
    "address": ["--address", "unix:path=/bus"],
    "qmp": ["--qmp", "/qmp"],
    "fd": ["--fd", "7"],
    "list": ["--list"],
    "console": ["--console", "3"],
    "present=shm": ["--present", "shm"],
    "trace": ["--trace", "/trace"],
    "verbose": ["-v"],
    "vm": ["name"],
}
ORDINARY = [option.name for option in OPTIONS if option.name not in ("list", "version")] + [
    "present=shm"
]
COMBINATIONS = [
    names for names in itertools.combinations(ORDINARY, 2) if names != ("present", "present=shm")
]
RUN_AND_NAME = "run", "vm"  # that word would be QEMU's program
CASES = [(command, name) for command in BASES for name in ORDINARY]
CASES.remove(RUN_AND_NAME)
PAIRS = [
    (command, *names)
    for command in BASES
    for names in COMBINATIONS
    if not (command == "run" and "vm" in names)
]


def words(name: str) -> list[str]:
    """Return the words that give an option, with a value that is not its default."""
    (option,) = (option for option in OPTIONS if option.name == name.partition("=")[0])
    typed = [option.flags[0]]
    if choices := option.details.get("choices"):
        typed.append(choices[1])
    return SAMPLES.get(name, typed)


def line(command: str, *names: str) -> list[str]:
    """Return a command line with these options."""
    own = [word for name in names for word in words(name)]
    return [*BASES[command], *own, *(["--", *QEMU] if command == "run" else [])]


def honours(command: str, name: str) -> bool:
    """Return whether the table says that a command honours an option."""
    (option,) = (option for option in OPTIONS if option.name == name.partition("=")[0])
    return command in option.commands


class Double:
    """Stands for a program, a connection or a file: nothing happens, all is well."""

    exit_code = 0
    failed = False

    def __enter__(self) -> Double:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self) -> int:
        return 0

    def close(self) -> None: ...

    def open_display(self) -> None: ...

    def stop(self) -> int:
        return 0


def told(value: object) -> object:
    """Return what two command lines can be compared by."""
    match value:
        case ByBus():
            return "bus", value._addresses, value._wanted
        case ByQmp():
            return "qmp", value._path, value._wanted
        case BySocket():
            value._get()  # notes which descriptor it is
            return "socket", value._wanted
        case Settings():
            return value._replace(trace=None)
        case Double() | None:
            return None
    return value


class Commands:
    """glview's commands with all that they would touch replaced; notes how that is called."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._seen: list[object] = []
        results: list[tuple[object, str, object]] = [
            (glview.app, "App", Double()),
            (glview.stats.trace, "Trace", Double()),
            (launch, "start", Double()),
            (glview.qemu.demo, "start_demo", Double()),
            (BusConnection, "connect", Double()),
            (PeerConnection, "over", Double()),
            (address, "session_address", "session"),
            (discovery, "list_vms", []),
            (qmp, "describe", discovery.Vm("")),
            (cli, "_inherited", Double()),
            (examine, "examine", Double()),
            (advice, "advise", Double()),
            (report, "as_text", "text"),
            (report, "as_json", "json"),
            (log, "set_up", None),
        ]
        for owner, name, result in results:
            patch.setattr(owner, name, self._noting(name, result))

    def effect(self, argv: list[str]) -> list[object]:
        """Return what a command line does. Raises `UsageError`."""
        self._seen = []
        parse(argv)
        assert cli.main(argv) in (0, 7)
        return self._seen

    def _noting(self, name: str, result: object) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            noted = [told(arg) for arg in args], {key: told(named[key]) for key in named}
            self._seen.append((name, noted))
            return result

        return call


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)


@pytest.mark.parametrize(("command", "name"), CASES)
def test_an_option_has_an_effect_or_is_refused(commands: Commands, command: str, name: str) -> None:
    if honours(command, name):
        assert commands.effect(line(command, name)) != commands.effect(line(command))
        return
    with pytest.raises(UsageError) as caught:
        commands.effect(line(command, name))
    message = str(caught.value)
    assert "\n" not in message
    assert ("NAME" if name == "vm" else words(name)[0]) in message
    ways = [typed for other, typed in COMMANDS.items() if honours(other, name)]
    assert [way for way in ways if way in message] == ways != []


def test_every_pair_has_both_effects_or_is_refused(commands: Commands) -> None:
    """For each command; together with what either option does alone."""
    excluded = set()
    for command, one, other in PAIRS:
        both = line(command, one, other)
        if not (honours(command, one) and honours(command, other)):
            with pytest.raises(UsageError):
                commands.effect(both)
        elif rule := exclusion(one, other):
            with pytest.raises(UsageError, match="exclude each other") as caught:
                commands.effect(both)
            assert EXCLUSIONS[rule] in str(caught.value)
            excluded.add(rule)
        else:
            effect = commands.effect(both)
            assert effect != commands.effect(line(command, one)), both
            assert effect != commands.effect(line(command, other)), both
            assert effect == commands.effect(line(command, other, one)), both
    assert excluded == EXCLUSIONS.keys()
    assert len(PAIRS) > 800


def exclusion(one: str, other: str) -> tuple[str, str] | None:
    """Return the rule that excludes two options, whichever comes first."""
    names = {one, other}
    return next((rule for rule in EXCLUSIONS if set(rule) == names), None)


@pytest.mark.parametrize("name", [name for name in ORDINARY if len(words(name)) == 2])
def test_a_value_that_is_given_twice_or_empty(name: str) -> None:
    command = "doctor" if name == "gl" else "view"
    with pytest.raises(UsageError, match="given twice"):
        parse([*BASES[command], *words(name), *words(name)])
    with pytest.raises(UsageError, match=r"empty value|invalid"):
        parse([*BASES[command], words(name)[0], ""])


@pytest.mark.parametrize("command", ["run", "demo", "doctor"])
def test_options_may_stand_before_the_command(commands: Commands, command: str) -> None:
    given = [name for name in ("gl", "stats", "console", "verbose") if honours(command, name)]
    after = line(command, *given)
    before = [word for name in given for word in words(name)] + line(command)
    assert commands.effect(before) == commands.effect(after) != commands.effect(line(command))


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "--console", "3", "--", *QEMU],
        ["run", "--console", "3", *QEMU],
        ["run", "--console=3", *QEMU],
        ["run", "--cons", "3", *QEMU],
        ["--console", "3", "run", *QEMU],
        ["--console", "3", "run", "--", *QEMU],
    ],
    ids=" ".join,
)
def test_where_qemu_s_words_begin(argv: list[str]) -> None:
    """All of them are QEMU's from there on, whatever they look like."""
    parsed = parse(argv)
    assert (parsed.command, parsed.options.console, parsed.rest) == ("run", 3, QEMU)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["qemu-system-x86_64", "-m", "64"], "glview run [OPTIONS] -- qemu-system-x86_64"),
        (["--", "/usr/bin/qemu-system-arm", "x"], "glview run [OPTIONS] -- qemu-system-x86_64"),
        (["run"], "glview run [OPTIONS] -- qemu-system-x86_64"),
        (["run", "-m", "64"], "glview --help"),
        (["demo", "--", "-m", "1"], "glview run [OPTIONS] --"),
        (["doctor", "--", "x"], "takes no QEMU options"),
        (["demo", "name"], "NAME means nothing to glview demo"),
        (["one", "two"], "one VM at a time"),
        (["one", "run", "x"], "one VM at a time"),
        ([""], "empty"),
        (["--qmp"], "expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_right_way_is_named(argv: list[str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv)
    assert named in str(caught.value)


@pytest.mark.parametrize("name", ["run", "demo", "-v", "--list", "qemu-system-x86_64"])
def test_any_name_can_be_said(name: str) -> None:
    parsed = parse(["--", name])
    assert (parsed.command, parsed.options.vm) == ("view", name)
