"""`python -m bench.page FILE`: every figure of docs/performance.md, made anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from bench import __main__ as updates
from bench import block, consoles, scaling, stages, table

PARTS: tuple[Callable[[Sequence[str]], int], ...] = (
    table.main,
    stages.main,
    block.main,
    lambda words: scaling.main([*words, "--swap"]),
    consoles.main,
    updates.main,
)


def main() -> int:
    """Run everything; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("file", metavar="FILE", help="docs/performance.md, or a copy of it")
    args = parser.parse_args()
    words = ["--document", args.file, *(["--quick"] if args.quick else [])]
    return max([run(words) for run in PARTS])


if __name__ == "__main__":
    sys.exit(main())
