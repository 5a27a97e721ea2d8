"""`python -m glview`."""

import sys

from glview.cli import main

if __name__ == "__main__":
    sys.exit(main())
