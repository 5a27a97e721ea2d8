"""`python -m bench.rivals`: real QEMU in glview, the floor, QEMU's windows, by VNC and SPICE."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from bench import contest, report, scores, viewers
from bench.contest import Rival
from tests.support.qemu import BINARY, P2P

VNC, SPICE = "vncviewer", "remote-viewer"

GLVIEW = Rival(
    viewers.GLVIEW, P2P, (sys.executable, "-m", "glview", "-v", "--qmp", "{folder}/viewer.qmp")
)
GTK = Rival("QEMU's gtk window", "gtk,zoom-to-fit=off,show-menubar=off,show-tabs=off")
SDL = Rival("QEMU's sdl window", "sdl")
TIGERVNC = Rival(
    "VNC, TigerVNC",
    "vnc=unix:{folder}/vnc",
    (VNC, "-SecurityTypes=None", "-RemoteResize=0", "-AlertOnFatalError=0", "{folder}/vnc"),
)
REMOTE_VIEWER = Rival(
    "SPICE, remote-viewer",
    "none",
    (SPICE, "spice+unix://{folder}/spice"),
    ("-spice", "unix=on,addr={folder}/spice,disable-ticketing=on"),
    "spice-app",
)


def everybody(folder: Path) -> list[Rival]:
    """Those that are known; the floor is built in `folder`."""
    floor = Rival(viewers.FLOOR, P2P, viewers.floor(folder).command)
    return [floor, GLVIEW, GTK, SDL, TIGERVNC, REMOTE_VIEWER]


def versions() -> dict[str, str]:
    """Of QEMU, and of the viewers of other protocols that there are."""
    names = {"QEMU": BINARY, "VNC viewer": VNC, "SPICE viewer": SPICE}
    return {what: _first_line(name, "--version") for what, name in names.items() if which(name)}


def _first_line(*argv: str) -> str:
    run = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = run.stdout.decode(errors="replace").split("\n")
    return next((line.strip() for line in lines if line.strip()), "?")


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument(
        "--all", action="store_true", help="fail where one of them is not installed"
    )
    parser.add_argument(
        "--viewer",
        action="append",
        default=[],
        type=viewers.Viewer.parse,
        metavar="'NAME=COMMAND {fd}'",
        help="another one; {fd} is the number of a socket to QEMU's D-Bus display",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    parser.add_argument("--log", type=Path, metavar="FILE", help="what the viewers print")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the tables into FILE")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where an update was lost, or a rival shows nothing."""
    args = options().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        folder = Path(text)
        known = everybody(folder) + [Rival(v.name, P2P, v.command) for v in args.viewer]
        gaps = {rival.name: why for rival in known if (why := rival.lacking())}
        log = args.log or folder / "log"
        try:
            there = [rival for rival in known if rival.name not in gaps]
            result = contest.run(there, contest.QUICK if args.quick else contest.FULL, log)
        except (RuntimeError, AssertionError, TimeoutError) as error:
            print(f"{log.read_text() if log.exists() else ''}bench: {error}", file=sys.stderr)
            return 1
        result.machine |= versions()
    result.left_out = gaps
    publish(result, args)
    return int(any(shown.lost for shown in result.shown) or (args.all and bool(gaps)))


def publish(result: scores.Scores, args: argparse.Namespace) -> None:
    """Tables to stdout, files where wanted."""
    text = scores.markdown(result)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text, "rivals")


if __name__ == "__main__":
    sys.exit(main())
