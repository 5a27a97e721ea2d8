"""``python -m glview.testing``: open a VM that is no VM, on a message bus or a passed socket."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
from types import FrameType

from glview.errors import GlviewError
from glview.testing.console import ConsoleOptions
from glview.testing.guest import FakeGuest
from glview.testing.output import Transport
from glview.testing.vm import FakeVm


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    size = int(width), int(height)
    if min(size) < 1:
        raise ValueError
    return size


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m glview.testing",
        description="A VM without QEMU, with something to see and to touch.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--address", metavar="ADDR", help="own org.qemu on the bus at this address")
    where.add_argument("--fd", type=int, help="serve one client on this inherited socket")
    parser.add_argument("--name", default="glview demo", help="the VM's name")
    parser.add_argument("--size", type=_size, default=(1024, 768), metavar="WxH")
    parser.add_argument(
        "--transport",
        choices=[transport.value for transport in Transport],
        default=Transport.MAP.value,
        help="how the picture travels (dmabuf: memory files, for software Mesa 25.1 or later)",
    )
    parser.add_argument("--relative", action="store_true", help="a mouse instead of a tablet")
    parser.add_argument("--fps", type=float, default=30.0, help="frames a second (default: 30)")
    return parser


def _open(arguments: argparse.Namespace) -> FakeVm:
    width, height = arguments.size
    options = ConsoleOptions(
        label="fake",
        width=width,
        height=height,
        resizable=True,
        absolute=not arguments.relative,
        transport=Transport(arguments.transport),
    )
    vm = FakeVm(arguments.name, consoles=(options,))
    if arguments.fd is None:
        vm.join_bus(arguments.address)
    else:
        vm.serve(socket.socket(fileno=arguments.fd))
    return vm


def _end(number: int, frame: FrameType | None) -> None:
    """End at once, as there is nothing to tidy up; a signal's handler."""
    os._exit(0)


def main(argv: list[str] | None = None) -> int:
    """Run until the control connection ends, or SIGTERM or SIGINT; the process's exit code."""
    arguments = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        vm = _open(arguments)
    except (GlviewError, OSError) as error:
        print(f"python -m glview.testing: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    with vm, contextlib.closing(FakeGuest(vm.console(), arguments.fps)):
        vm.disconnected.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
