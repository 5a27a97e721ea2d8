"""`python -m bench.page FILE`: every figure of docs/performance.md, made anew."""

from __future__ import annotations

import argparse
import sys

from bench import __main__ as updates
from bench import block, scaling, table


def main() -> int:
    """Run everything; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("file", metavar="FILE", help="docs/performance.md, or a copy of it")
    args = parser.parse_args()
    words = ["--document", args.file, *(["--quick"] if args.quick else [])]
    return max([part.main(words) for part in (table, block, scaling, updates)])


if __name__ == "__main__":
    sys.exit(main())
