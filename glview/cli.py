"""The commands, and the end of each: its exit code and its one line of error."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from glview.errors import GlviewError, NoVmError, VmGoneError
from glview.options import parse

if TYPE_CHECKING:
    from glview.qemu.discovery import Vm
    from glview.qemu.launch import QemuProcess
    from glview.qemu.ways import Way

_EXIT_FOLLOWS = 5.0  # seconds from the end of QEMU's display to the end of QEMU


def main(argv: Sequence[str] | None = None) -> int:
    """Run glview; return the exit code (see `glview.errors`)."""
    try:
        line = parse(sys.argv[1:] if argv is None else argv)
        _log(line.options.verbose)
        with _traced(line.options):
            return _COMMANDS[line.command](line.options, line.rest)
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


def _view(options: argparse.Namespace, _: list[str]) -> int:
    from glview.qemu.ways import ByBus, ByQmp, BySocket

    way: Way
    if options.qmp is not None:
        way = ByQmp(options.qmp, options.vm)
    elif options.fd is not None:
        way = BySocket(lambda: _inherited(options.fd), options.vm)
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


def _list(options: argparse.Namespace, _: list[str]) -> int:
    from glview.qemu import discovery

    vms = _found(options)
    print(discovery.format_list(vms))
    return 0 if vms else NoVmError.exit_code


def _found(options: argparse.Namespace) -> list[Vm]:
    """Return the VMs where the options say, asked without taking a display from a viewer."""
    from glview.dbus.peer import PeerConnection
    from glview.qemu import discovery, qmp

    if options.qmp is not None:
        return [qmp.describe(options.qmp)]
    if options.fd is not None:
        peer = PeerConnection.over(_inherited(options.fd))
        with closing(peer):
            return discovery.list_vms(peer)
    from glview.dbus import address
    from glview.dbus.bus import BusConnection

    with closing(BusConnection.connect(options.address or address.session_address())) as bus:
        return discovery.list_vms(bus)


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    from glview.qemu import launch

    return _show_own(launch.start(rest), options)


def _demo(options: argparse.Namespace, _: list[str]) -> int:
    from glview.qemu.demo import start_demo
    from glview.qemu.ways import BySocket
    from glview.testing.child import FakeProcess

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


def _doctor(options: argparse.Namespace, _: list[str]) -> int:
    from glview.doctor import report
    from glview.doctor.advice import advise
    from glview.doctor.examine import examine

    facts = examine(options.gl)
    advice = advise(facts)
    print((report.as_json if options.json else report.as_text)(facts, advice))
    return advice.exit_code


_COMMANDS = {"view": _view, "list": _list, "run": _run, "demo": _demo, "doctor": _doctor}
