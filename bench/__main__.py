"""`python -m bench`: measure glview beside the bare C viewer, and other viewers if named."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import measure, report, viewers
from bench.viewers import Viewer

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
TRANSPORTS = ("map", "bytes")


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: a minute")
    parser.add_argument(
        "--check",
        nargs="?",
        choices=("all", "basics"),
        const="all",
        help="fail where a limit is exceeded; basics: all but the ratios to the floor",
    )
    parser.add_argument(
        "--viewer",
        action="append",
        default=[],
        type=Viewer.parse,
        metavar="'NAME=COMMAND {fd}'",
        help="another viewer; {fd} is the number of the socket that it inherits",
    )
    parser.add_argument("--size", action="append", choices=SIZES, help="only these screens")
    parser.add_argument("--via", action="append", choices=TRANSPORTS, help="only these ways")
    parser.add_argument("--no-glview", action="store_true", help="leave glview out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    parser.add_argument("--log", type=Path, metavar="FILE", help="what the viewers print")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="put the tables between the marks in FILE"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; 1 where a limit is exceeded."""
    args = options().parse_args(argv)
    cases = [
        measure.Case(*SIZES[size], via)
        for size, via in itertools.product(args.size or SIZES, args.via or TRANSPORTS)
    ]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tested = [viewers.floor(Path(folder))]
        tested += [] if args.no_glview else [viewers.glview()]
        effort = measure.QUICK if args.quick else measure.FULL
        log = args.log or Path(folder, "log")
        try:
            result = measure.run([*tested, *args.viewer], cases, effort, log)
            result.machine["OpenGL"] = viewers.renderer(log)
        except RuntimeError as error:
            print(f"{log.read_text() if log.exists() else ''}bench: {error}", file=sys.stderr)
            return 1
    return publish(result, args)


def publish(result: report.Result, args: argparse.Namespace) -> int:
    """Tables to stdout, files where wanted, and the limits."""
    text = report.markdown(result)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text)
    failures = report.failures(result, ratios=args.check == "all") if args.check else []
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
