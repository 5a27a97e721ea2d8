"""The command line: every option in one table."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glview import __version__
from glview.errors import GlviewError, NoVmError, VmGoneError

if TYPE_CHECKING:
    from glview.qemu.launch import QemuProcess
    from glview.qemu.ways import Way

_EXIT_FOLLOWS = 5.0  # seconds from the end of QEMU's display to the end of QEMU

_DESCRIPTION = "Shows the console of a QEMU virtual machine that runs with -display dbus."
_EPILOG = """\
commands:
  glview demo                    open a small VM of its own, to look at and type at
  glview run -- QEMU OPTIONS     start QEMU with a display for glview, and open it
  glview doctor                  say what this machine can show, and how to start QEMU

Without --address, --qmp or --fd the session bus is searched.
"""

# flags, and what argparse is told about each
OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--address",),
        {"metavar": "ADDR", "help": "D-Bus address of the VM's bus, e.g. unix:path=/run/vm/bus"},
    ),
    (
        ("--qmp",),
        {"metavar": "PATH", "help": "QMP socket of a VM started with -display dbus,p2p=yes"},
    ),
    (
        ("--fd",),
        {"metavar": "N", "type": int, "help": "inherited socket that leads to a VM's display"},
    ),
    (("--list",), {"action": "store_true", "help": "list the VMs on the bus, and exit"}),
    (
        ("--console",),
        {"metavar": "N", "type": int, "help": "console number (default: the first graphic one)"},
    ),
    (("--wait",), {"action": "store_true", "help": "wait for the VM to appear"}),
    (
        ("--no-reconnect",),
        {"action": "store_true", "help": "exit when the VM goes, instead of waiting for it"},
    ),
    (
        ("--no-resize",),
        {"action": "store_true", "help": "do not ask the guest to follow the window's size"},
    ),
    (
        ("--gl",),
        {
            "choices": ("auto", "es", "core"),
            "default": "auto",
            "help": "OpenGL ES 3.0, OpenGL 3.3 core, or whichever works (default)",
        },
    ),
    (
        ("--present",),
        {
            "choices": ("auto", "swap", "shm"),
            "default": "auto",
            "help": "EGL's buffer swap, X shared memory, or whichever is faster (default)",
        },
    ),
    (
        ("--no-pacing",),
        {"action": "store_true", "help": "draw before the screen is through with the last frame"},
    ),
    (
        ("--vsync",),
        {"action": "store_true", "help": "swap between two refreshes: no tearing, but later"},
    ),
    (
        ("--no-map",),
        {"action": "store_true", "help": "have byte-array pictures sent, not shared memory"},
    ),
    (("--stats",), {"action": "store_true", "help": "print a line of figures a second to stderr"}),
    (
        ("--hud",),
        {"action": "store_true", "help": "show figures in the window (Ctrl+Alt+Shift+F12)"},
    ),
    (
        ("--trace",),
        {"metavar": "FILE", "help": "write what becomes of each update, for Perfetto"},
    ),
    (("--json",), {"action": "store_true", "help": "doctor only: say it as JSON"}),
    (
        ("--no-dmabuf2",),
        {"action": "store_true", "help": "have dma-bufs announced by QEMU's older call"},
    ),
    (
        ("-v", "--verbose"),
        {"action": "count", "default": 0, "help": "say more; twice: even more"},
    ),
    (("--version",), {"action": "version", "version": f"glview {__version__}"}),
    (("vm",), {"nargs": "?", "metavar": "NAME|UUID", "help": "which VM, where there are several"}),
)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal; to find that out itself, argparse would load half a library."""
    try:
        width = os.get_terminal_size().columns
    except OSError:
        width = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=width - 2)


def parser() -> argparse.ArgumentParser:
    """The parser of the plain command line."""
    made = argparse.ArgumentParser(
        "glview",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_formatter,
    )
    for flags, details in OPTIONS:
        made.add_argument(*flags, **details)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run glview; returns the exit code (see `glview.errors`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = "view"
    rest: list[str] = []
    if arguments and arguments[0] in ("demo", "run", "doctor"):
        command = arguments.pop(0)
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    options = parser().parse_args(arguments)
    if options.json and command != "doctor":
        parser().error("--json goes with glview doctor")
    _log(options.verbose)
    try:
        with _traced(options):
            return _COMMANDS[command](options, rest)
    except GlviewError as error:
        print(f"glview: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has had enough
        return 0
    except KeyboardInterrupt:
        return 130


def _traced(options: argparse.Namespace) -> AbstractContextManager[object]:
    """Make the trace file, before anything is started. Raises OutputError."""
    if options.trace is None:
        return nullcontext()
    from glview.stats.trace import Trace

    trace = options.trace = Trace(Path(options.trace))
    return trace


def _log(verbose: int) -> None:
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="glview: %(message)s")
    for library in ("OpenGL", "asyncio"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _view(options: argparse.Namespace, rest: list[str]) -> int:
    from glview.qemu.ways import ByBus, ByQmp, BySocket

    if rest:
        parser().error(f"unexpected: -- {' '.join(rest)}")
    chosen = [o for o in ("address", "qmp", "fd") if getattr(options, o) is not None]
    if len(chosen) > 1:
        parser().error(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    if options.list:
        return _list(options)
    way: Way
    if options.qmp is not None:
        way = ByQmp(options.qmp)
    elif options.fd is not None:
        way = BySocket(lambda: _inherited(options.fd))
    else:
        way = ByBus(options.address, options.vm)
    _run_app(way, options)
    return 0


def _run_app(way: Way, options: argparse.Namespace) -> None:
    from glview.app import App, Settings
    from glview.present.presenter import Wanted

    settings = Settings(
        console=options.console,
        wait=options.wait,
        reconnect=not options.no_reconnect,
        resize_guest=not options.no_resize,
        offer_map=not options.no_map,
        offer_dmabuf2=not options.no_dmabuf2,
        show=Wanted(
            present=options.present,
            api=None if options.gl == "auto" else options.gl,
            pacing=not options.no_pacing,
            vsync=options.vsync,
        ),
        stats=options.stats,
        hud=options.hud,
        trace=options.trace,
    )
    App(way, settings).run()


def _inherited(fd: int) -> socket.socket:
    from glview.errors import ConnectError

    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise ConnectError(f"descriptor {fd} is no socket: {error.strerror}") from None


def _list(options: argparse.Namespace) -> int:
    from glview.dbus import address
    from glview.dbus.bus import BusConnection
    from glview.qemu import discovery

    bus = BusConnection.connect(options.address or address.session_address())
    try:
        vms = discovery.list_vms(bus)
    finally:
        bus.close()
    print(discovery.format_list(vms))
    return 0 if vms else NoVmError.exit_code


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    from glview.qemu import launch

    if not rest:
        parser().error("run needs a QEMU command line: glview run -- qemu-system-x86_64 ...")
    return _show_own(launch.start(rest), options)


def _demo(options: argparse.Namespace, rest: list[str]) -> int:
    from glview.qemu.demo import start_demo
    from glview.qemu.ways import BySocket
    from glview.testing.child import FakeProcess

    if rest:
        parser().error("demo takes no QEMU options; glview run does")
    process = start_demo()
    if process is not None:
        return _show_own(process, options)
    print("glview: QEMU is not installed; this is a stand-in for a VM", file=sys.stderr)
    with FakeProcess() as fake:
        _run_app(BySocket(fake.take_socket), options)
    return 0


def _show_own(process: QemuProcess, options: argparse.Namespace) -> int:
    """Show a QEMU of our own until it ends or the window is closed; its exit code."""
    from glview.qemu.ways import BySocket

    with process:
        try:
            _run_app(BySocket(process.open_display), options)
        except VmGoneError:
            code = process.wait(_EXIT_FOLLOWS)
            if code is None:
                raise  # it lives, but does not talk to us any more
            return code
        return process.stop()


def _doctor(options: argparse.Namespace, rest: list[str]) -> int:
    from glview.doctor import report
    from glview.doctor.advice import advise
    from glview.doctor.examine import examine

    if rest:
        parser().error(f"unexpected: -- {' '.join(rest)}")
    facts = examine(options.gl)
    advice = advise(facts)
    print((report.as_json if options.json else report.as_text)(facts, advice))
    return advice.exit_code


_COMMANDS = {"view": _view, "run": _run, "demo": _demo, "doctor": _doctor}
