"""No thread ends in silence, and none is started where nobody would hear of its end."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from glview.errors import ResourceError
from glview.threads import Thread, describe

GLVIEW = Path(__file__).resolve().parents[2] / "glview"
OF_OUR_OWN = GLVIEW / "threads.py"
WITHOUT_A_THREAD_OF_THEIR_OWN = {"testing"}  # the stand-in for a VM, a process of its own


@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(3), KeyError(), MemoryError()])
def test_an_unforeseen_exception_reaches_the_owner_as_one_line(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def body() -> None:
        raise error

    lines: list[str] = []
    caplog.set_level(logging.INFO)
    thread = Thread("busy", body, lines.append)
    thread.start()
    thread.join(5)
    (line,) = lines
    assert "the busy thread" in line
    assert "\n" not in line
    (record,) = caplog.records
    assert record.levelno == logging.INFO, "the traceback is for -v"
    assert record.exc_info is not None


def test_a_long_text_of_several_lines_is_one_short_line() -> None:
    line = describe("a test", ValueError("one\ntwo\r\n" + "x" * 10_000))
    assert r"one\ntwo\r\n" in line
    assert len(line) < 400
    assert "\n" not in line


def test_an_ordinary_end_tells_nobody() -> None:
    lines: list[str] = []
    thread = Thread("quiet", lambda: None, lines.append)
    thread.start()
    thread.join(5)
    assert lines == []


def test_no_thread_to_be_had_is_an_error_in_words() -> None:
    """The real thing, in a process of its own: no room for the new thread's stack."""
    program = """
import resource, threading
from glview.errors import ResourceError
from glview.threads import Thread
threading.stack_size(1 << 30)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20),) * 2)
thread = Thread("unlucky", print, print)
try:
    thread.start()
except ResourceError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "no new thread could be started (unlucky)" in done.stdout
    assert "ulimit -u" in done.stdout
    assert ResourceError.exit_code == 18


def test_a_second_start_is_still_a_mistake() -> None:
    thread = Thread("once", lambda: None, print)
    thread.start()
    with pytest.raises(RuntimeError, match="once"):
        thread.start()
    thread.join(5)


def test_every_thread_of_glview_is_such_a_thread() -> None:
    """`ThreadPoolExecutor` hands exceptions to whoever asks for the result, which is as good."""
    found = []
    for path in GLVIEW.rglob("*.py"):
        if path == OF_OUR_OWN or path.parent.name in WITHOUT_A_THREAD_OF_THEIR_OWN:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in ("threading.Thread", "threading.Timer", "_thread.start_new_thread"):
                    found.append(f"{path.relative_to(GLVIEW)}:{node.lineno} {name}")
    assert found == []
