"""The commands, and the end of each: its exit code and its one line of error."""

from __future__ import annotations

import argparse
import errno
import socket
import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from glview import log, output
from glview.errors import NoVmError, OutputError, VmGoneError, describe
from glview.options import parse

if TYPE_CHECKING:
    from glview.qemu.discovery import Vm
    from glview.qemu.launch import QemuProcess
    from glview.qemu.ways import Way
    from glview.stats.trace import Trace

_EXIT_FOLLOWS = 5.0  # seconds from the end of QEMU's display to the end of QEMU


def main(argv: Sequence[str] | None = None) -> int:
    """Run glview; return the exit code (see `glview.errors`)."""
    try:
        return _run_command(sys.argv[1:] if argv is None else argv)
    except SystemExit as end:  # argparse's, after --help and --version
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # whoever read our output has had enough
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        problem = describe(error)
        print(f"glview: {problem}", file=sys.stderr)
        if problem is not error:
            log.traceback_of(error)
        return problem.exit_code


def _run_command(argv: Sequence[str]) -> int:
    """Do what a command line asks for; return the exit code. Raises GlviewError."""
    line = parse(argv)
    log.set_up(line.options.verbose)
    trace = line.options.trace = _trace(line.options)
    with trace or nullcontext():
        code = _COMMANDS[line.command](line.options, line.rest)
    lost = trace is not None and trace.failed
    if line.options.stats and not output.flush():
        lost = True
    return code or (OutputError.exit_code if lost else 0)


def _trace(options: argparse.Namespace) -> Trace | None:
    """Make the trace file, before anything is started. Raises OutputError."""
    if options.trace is None:
        return None
    from glview.stats.trace import Trace

    return Trace(Path(options.trace))


def _view(options: argparse.Namespace, _: list[str]) -> int:
    from glview.qemu.ways import ByBus, ByQmp, BySocket

    way: Way
    if options.qmp is not None:
        way = ByQmp(options.qmp, options.vm)
    elif options.fd is not None:
        way = BySocket(lambda: _inherited(options.fd), options.vm)
    else:
        way = ByBus(options.address, options.vm)
    return _run_app(way, options)


def _run_app(way: Way, options: argparse.Namespace) -> int:
    """Show a VM until the window is closed; return the exit code. Raises GlviewError."""
    from glview.app import App, Settings
    from glview.present.presenter import Wanted

    settings = Settings(
        console=options.console,
        wait=options.wait,
        reconnect=not options.no_reconnect,
        resize_guest=not options.no_resize,
        lock_sync=not options.no_lock_sync,
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
        platform=options.platform,
    )
    return App(way, settings).run()


def _inherited(fd: int) -> socket.socket:
    from glview.errors import ConnectError

    try:
        sock = socket.socket(fileno=fd)
        if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
            raise ConnectError(f"descriptor {fd} is a socket, but no Unix stream socket")
        sock.getpeername()
    except OSError as error:
        what = "not connected" if error.errno == errno.ENOTCONN else "no socket"
        raise ConnectError(f"descriptor {fd} is {what}: {error.strerror}") from None
    except (ValueError, OverflowError):
        raise ConnectError(f"descriptor {fd} is no socket: there is no such number") from None
    return sock


def _list(options: argparse.Namespace, _: list[str]) -> int:
    from glview.qemu import discovery

    vms = _found(options)
    output.write(discovery.format_list(vms) + "\n")
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
    from glview.qemu import command, launch

    if command.only_tells(rest):
        launch.become(rest)
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
        return _run_app(BySocket(fake.take_socket), options)


def _show_own(process: QemuProcess, options: argparse.Namespace) -> int:
    """Show a QEMU of our own until it ends or the window is closed; return its exit code."""
    from glview import ending
    from glview.qemu.launch import QemuEndedError
    from glview.qemu.ways import BySocket

    with process, ending.last(process.stop):
        try:
            _run_app(BySocket(process.open_display), options)
        except VmGoneError:
            code = process.wait(_EXIT_FOLLOWS)
            if code is None:
                raise  # it lives, but does not talk to us any more
            return code
        except QemuEndedError:
            return 0  # it did what it was asked for
        return process.stop()


def _doctor(options: argparse.Namespace, _: list[str]) -> int:
    from glview.doctor import report
    from glview.doctor.advice import advise
    from glview.doctor.examine import examine

    facts = examine(options.gl, options.platform)
    advice = advise(facts)
    output.write((report.as_json if options.json else report.as_text)(facts, advice) + "\n")
    return advice.exit_code


_COMMANDS = {"view": _view, "list": _list, "run": _run, "demo": _demo, "doctor": _doctor}
