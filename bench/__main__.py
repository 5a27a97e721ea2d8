"""`python -m bench`: measure glview beside the bare C viewer, and other viewers if named."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import measure, recorded, report, viewers
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
        help="fail where a limit is exceeded; basics: all but the recorded ratios to the floor",
    )
    parser.add_argument(
        "--record", action="store_true", help="these ratios are what --check compares with"
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
    try:
        result = run(args)
        publish(result, args)
        if args.record:
            recorded.write(result)
        failures = found(result, args)
        if failures and args.check == "all":  # once more: only what fails again counts
            print("bench: a second run, as these failed:", *failures.values(), sep="\n  ")
            again = found(run(args), args)
            failures = {name: again[name] for name in failures if name in again}
    except RuntimeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for failure in failures.values():
        print(f"bench: {failure}", file=sys.stderr)
    return bool(failures)


def run(args: argparse.Namespace) -> report.Result:
    """Measure. Raises RuntimeError, with what the viewers printed, where one shows nothing."""
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
            words = log.read_text() if log.exists() else ""
            raise RuntimeError(f"{words}{error}") from None
    return result


def publish(result: report.Result, args: argparse.Namespace) -> None:
    """Tables to stdout, files where wanted."""
    text = report.markdown(result)
    print(text)
    if args.json:
        args.json.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    if args.document:
        report.write_into(args.document, text)


def found(result: report.Result, args: argparse.Namespace) -> dict[str, str]:
    """Limits that are exceeded, as far as that matters: words by name."""
    failures: dict[str, str] = {}
    if args.check:
        failures.update((text, text) for text in report.failures(result))
    if args.check == "all":
        failures.update(recorded.failures(result, recorded.read()))
    return failures


if __name__ == "__main__":
    sys.exit(main())
