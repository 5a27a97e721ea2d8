"""`glview doctor`: what it finds on real displays, and with drivers that are broken on purpose."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from glview.doctor import child
from tests.support.liar import Liar
from tests.support.process import Child
from tests.support.profile import requires
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

FORMATS = ["XR24", "AR24", "XB24", "AB24"]
NO_EGL = {
    "LIBGL_DRIVERS_PATH": "/no",
    "GBM_BACKENDS_PATH": "/no",
    "EGL_PLATFORM": "no-such",
    "__EGL_VENDOR_LIBRARY_FILENAMES": "/no/such.json",
}


def doctor(*args: str, env: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and what it says, none of which is a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "glview", "doctor", *args],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert done.stdout, done.stderr
    return done.returncode, done.stdout


Examination = tuple[int, dict[str, Any], dict[str, Any]]


def examined(env: Mapping[str, str]) -> Examination:
    """Exit code, facts and advice of `glview doctor --json`."""
    code, text = doctor("--json", env=env)
    said = json.loads(text)
    assert said["advice"]["exit_code"] == code
    return code, said["facts"], said["advice"]


def way(advice: dict[str, Any], name: str) -> tuple[str, str]:
    """Whether a way works, and why (not)."""
    (found,) = (way for way in advice["ways"] if way["name"] == name)
    return found["works"], "; ".join(note["text"] for note in found["notes"])


def plain(text: str) -> str:
    """With every run of blanks one blank."""
    return " ".join(text.split())


def leaves(value: object) -> Iterator[str]:
    """Every text inside of a JSON value."""
    match value:
        case dict():
            for inner in value.values():
                yield from leaves(inner)
        case list():
            for inner in value:
                yield from leaves(inner)
        case str():
            yield value


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """A function: the environment in which drivers tell that lie (see liar.c)."""
    return Liar(tmp_path_factory.mktemp("liar")).environment


@pytest.fixture(scope="module")
def examination(xvfb: Xvfb) -> Examination:
    """On the X server, with the machine's own driver."""
    return examined(xvfb.environment())


# -- working displays ------------------------------------------------------


def test_an_x_server(xvfb: Xvfb, examination: Examination) -> None:
    code, facts, advice = examination
    window = facts["window"]
    assert code == 0
    assert window["failure"] is None
    assert window["platform"] == "x11"
    assert window["display"] == f"DISPLAY={xvfb.display}"
    assert window["shm"] == ""
    assert "llvmpipe" in window["gl_renderer"]
    assert [(t["format"], t["result"]) for t in window["uploads"]] == [
        (f, "exact") for f in FORMATS
    ]
    assert way(advice, "bytes")[0] == "yes"
    assert advice["display"].startswith("-display dbus")


def test_a_compositor(weston: Weston) -> None:
    code, facts, advice = examined(weston.environment())
    window = facts["window"]
    assert code == 0
    assert window["platform"] == "wayland"
    assert window["display"] == f"WAYLAND_DISPLAY={weston.socket.name}"
    assert "Wayland" in window["glfw_version"]
    assert {t["result"] for t in window["uploads"]} == {"exact"}
    assert way(advice, "bytes")[0] == "yes"


@pytest.mark.parametrize("gl", ["es", "core"])
def test_the_kind_of_opengl_can_be_chosen(xvfb: Xvfb, gl: str) -> None:
    code, text = doctor("--gl", gl, env=xvfb.environment())
    assert code == 0
    assert ("OpenGL ES 3" in text) is (gl == "es")
    assert "upload XR24 AR24 XB24 AB24 exact" in plain(text)


def test_text_and_json_say_the_same(xvfb: Xvfb, examination: Examination) -> None:
    _, facts, advice = examination
    text = plain(doctor(env=xvfb.environment())[1])
    assert [leaf for leaf in leaves([facts, advice]) if plain(leaf) not in text] == []
    window = facts["window"]
    for name, there in (window["extensions"] | window["gl_extensions"]).items():
        assert f"{'yes' if there else 'no'} {name}" in text
    for name, modifiers in (window["formats"] or {}).items():
        assert f"{name} modifiers {', '.join(modifiers)}" in text
    for name, version in facts["versions"].items():
        assert f"{name} {version}" in text


def test_the_window_is_never_shown(own_xvfb: Xvfb, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "glview", "doctor"]
    seen, looks = [], 0
    with Child(argv, tmp_path / "log", env=own_xvfb.environment()) as doctor:
        while doctor.alive:
            seen += own_xvfb.windows()
            looks += 1
    assert doctor.process.returncode == 0
    assert looks > 3
    assert seen == []


def test_qemu_is_asked_itself(examination: Examination) -> None:
    _, facts, advice = examination
    assert re.match(r"\d+\.\d+", facts["qemu"]["version"])
    assert facts["qemu"]["modules"] == {"ui-dbus": True, "ui-opengl": True, "virtio-gpu-gl": True}
    assert facts["qemu"]["plain"]["ok"]
    (start, *_) = facts["qemu"]["gl"]
    if list(Path("/dev/dri").glob("renderD*")):
        assert start["ok"]
        assert advice["display"] == f"-display {start['option']}"
    else:
        assert not start["ok"]
        assert "render node" in start["words"]
        assert start["words"] in way(advice, "dma-buf")[1]
        assert advice["display"] == "-display dbus"


def test_without_qemu(xvfb: Xvfb, tmp_path: Path) -> None:
    code, facts, advice = examined(xvfb.environment(PATH=str(tmp_path)))
    assert code == 0
    assert facts["qemu"] is None
    assert way(advice, "bytes")[0] == "yes"


def test_a_qemu_without_the_display(xvfb: Xvfb, tmp_path: Path) -> None:
    for name in (f"qemu-system-{os.uname().machine}", "qemu-system-x86_64"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "$0: -display dbus: no such thing" >&2\nexit 1\n')
        program.chmod(0o755)
    code, _, advice = examined(xvfb.environment(PATH=f"{tmp_path}:/bin"))
    assert code == 0  # another QEMU may have it
    assert way(advice, "bytes") == ("no", "QEMU says: -display dbus: no such thing")
    assert way(advice, "map")[0] == way(advice, "dma-buf")[0] == "no"


def test_run_points_to_the_doctor(xvfb: Xvfb) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "glview", "run", "--"),
            *("qemu-system-x86_64", "-display", "dbus,gl=on,rendernode=/dev/no-such-node"),
        ],
        env=xvfb.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 14
    assert "glview doctor tells" in done.stderr


# -- dma-bufs --------------------------------------------------------------


@requires("dmabuf-import")
def test_imports_are_exact(examination: Examination) -> None:
    _, facts, _ = examination
    assert [(t["format"], t["result"]) for t in facts["imports"]] == [(f, "exact") for f in FORMATS]
    assert facts["window"]["formats"].keys() >= set(FORMATS)
    software = not facts["window"]["drm_node"]
    kind = "udmabuf" if Path("/dev/udmabuf").exists() else "memfd"
    assert {t["buffer"] for t in facts["imports"]} == {kind if software else "gbm"}


@requires("dmabuf-import")
@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("gbm", "/dev/dri/card0"),  # the lab's device makes none through its render node
        ("udmabuf", "/dev/udmabuf"),
        ("dma-heap", "/dev/dma_heap/system"),
        ("memfd", "/proc"),
    ],
)
def test_each_kind_of_buffer(
    xvfb: Xvfb, monkeypatch: pytest.MonkeyPatch, kind: str, needs: str
) -> None:
    """Imported exactly where it is there; otherwise said to be missing."""
    monkeypatch.setenv("DISPLAY", xvfb.display)
    answer = child.ask("import", "auto", "auto", kind, needs)
    if Path(needs).exists():
        assert answer.failure is None
        assert [(t["buffer"], t["result"]) for t in answer.facts["trials"]] == [
            (kind, "exact") for _ in FORMATS
        ]
    else:
        assert answer.failure is not None
        assert not answer.crashed
        assert answer.failure.cause.startswith(f"no {kind}: ")


@requires("dmabuf-import")
@pytest.mark.parametrize(
    ("lie", "result", "words"),
    [
        ("import-blackens", "wrong", "lies"),
        ("import-copies", "stale", "lies"),
        ("import-crashes", "crashed", "crash (SIGSEGV) while importing XR24"),
    ],
)
def test_imports_that_do_not_hold(
    xvfb: Xvfb, liar: Callable[[str], dict[str, str]], lie: str, result: str, words: str
) -> None:
    """Pictures can be shown all the same, but not out of dma-bufs."""
    code, facts, advice = examined(xvfb.environment(**liar(lie)))
    assert code == 0
    assert {t["result"] for t in facts["imports"]} == {result}
    works, why = way(advice, "dma-buf")
    assert works == "no"
    assert words in why
    assert way(advice, "bytes")[0] == "yes"
    assert "gl=on" not in advice["display"]


@requires("dmabuf-import")
def test_an_import_that_hangs(
    xvfb: Xvfb, liar: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in xvfb.environment(**liar("import-hangs")).items():
        monkeypatch.setenv(name, value)
    causes = []
    for seconds in (5.0, 20.0, 60.0):  # a slow machine needs longer to get there
        answer = child.ask("import", "auto", "auto", "memfd", "", timeout=seconds)
        assert answer.crashed
        causes.append(answer.failure.cause if answer.failure else "")
        if "importing" in causes[-1]:
            break
    assert causes[-1] == f"no answer in {seconds:g} s while importing XR24"


# -- what cannot show anything ---------------------------------------------


def test_no_display(xvfb: Xvfb) -> None:
    env = xvfb.environment()
    del env["DISPLAY"]
    code, facts, advice = examined(env)
    assert code == 10
    assert "DISPLAY" in facts["window"]["failure"]["hint"]
    assert way(advice, "bytes")[0] == "no"
    assert advice["display"] == ""
    assert "no picture could be shown" in doctor(env=env)[1]


def test_a_display_that_is_not_there(xvfb: Xvfb) -> None:
    code, facts, _ = examined(xvfb.environment(DISPLAY=":9999"))
    assert code == 10
    assert ":9999" in facts["window"]["failure"]["cause"]


def test_no_egl(xvfb: Xvfb) -> None:
    code, facts, _ = examined(xvfb.environment(**NO_EGL))
    assert code == 11
    assert "EGL" in facts["window"]["failure"]["cause"]
    assert facts["window"]["glfw_version"]


def test_read_back_that_lies(xvfb: Xvfb, liar: Callable[[str], dict[str, str]]) -> None:
    code, facts, advice = examined(xvfb.environment(**liar("read-swaps")))
    assert code == 11
    assert {t["result"] for t in facts["window"]["uploads"]} == {"wrong"}
    assert "lies" in way(advice, "bytes")[1]


def test_a_driver_that_crashes(xvfb: Xvfb, liar: Callable[[str], dict[str, str]]) -> None:
    """What was found out before is still said."""
    code, facts, _ = examined(xvfb.environment(**liar("upload-crashes")))
    assert code == 11
    assert facts["window"]["failure"]["cause"].startswith("crash (SIGSEGV) while uploading XR24")
    assert "llvmpipe" in facts["window"]["gl_renderer"]
    assert facts["imports"] == []


def test_the_liar_is_silent_without_a_lie(
    xvfb: Xvfb, liar: Callable[[str], dict[str, str]], examination: Examination
) -> None:
    assert examined(xvfb.environment(**liar(""))) == examination


@pytest.mark.parametrize("args", [["doctor", "--", "x"], ["doctor", "--no-such"], ["--json"]])
def test_wrong_command_lines(args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "glview", *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("glview: ")
