"""The entry point: `glview`, and `python -m glview`.

Importing the rest takes a moment, in which Ctrl+C would be a traceback; so the first
thing that is done is to let SIGINT end the process, as it does with any other program.
"""

import _signal  # type: ignore[import-not-found]  # built in; `signal` takes 1 ms to load

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import os
from typing import NoReturn

# Exit codes of InstallError and ResourceError, where not even `glview.errors` can be loaded.
_MISSING, _SHORT = 20, 18


def main() -> NoReturn:
    """Run glview, and end the process with its exit code (see `glview.errors`)."""
    try:
        from glview import output

        output.keep_descriptors()
        output.take_over()
        from glview import cli

        code = output.finish(cli.main())
    except BaseException as error:
        code = _too_early(error)
    os._exit(code)  # not waiting for threads and libraries, which may hang or crash


def _too_early(error: BaseException) -> int:
    """Say in a line why glview cannot even start; return the exit code."""
    try:
        from glview.errors import describe

        problem = describe(error)
        text, code = str(problem), problem.exit_code
    except BaseException:
        text = f"cannot start: {type(error).__name__} {error}"
        code = _MISSING if isinstance(error, ImportError) else _SHORT
    os.write(2, f"glview: {text}\n".encode("ascii", "backslashreplace"))
    return code


if __name__ == "__main__":
    main()
