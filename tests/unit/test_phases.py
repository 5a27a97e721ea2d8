"""Marks by place, the order of folders, and skips that fail on workers, too."""

from __future__ import annotations

import random
from pathlib import PurePath

import pytest

from tests.support import phases, profile

pytest_plugins = ["pytester"]

FILES = {
    "tests/unit/test_pure.py": "def test_codec(): pass\ndef test_window(xvfb): pass",
    "tests/unit/test_everywhere.py": "def test_machine(): pass",
    "tests/vm/test_real.py": "def test_guest(): pass",
    "tests/conftest.py": "import pytest\n@pytest.fixture\ndef xvfb(): pass",
}


@pytest.fixture
def checkout(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a checkout with a few tests, one of them in a file that is run everywhere."""
    monkeypatch.setattr(phases, "EVERYWHERE", {"tests/unit/test_everywhere.py"})
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib")
    for name, text in FILES.items():
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return pytester


def chosen(checkout: pytest.Pytester, marks: str) -> list[str]:
    """Return the names of the tests that these marks choose, in order."""
    result = checkout.runpytest_inprocess(
        "-p", "tests.support.phases", "--collect-only", "-q", "-m", marks
    )
    return [line.rpartition("::")[2] for line in result.outlines if "::" in line]


def test_one_root_proves_what_starts_no_real_program(checkout: pytest.Pytester) -> None:
    assert chosen(checkout, "once") == ["test_codec"]
    assert sorted(chosen(checkout, "not once")) == ["test_guest", "test_machine", "test_window"]


def test_slow_folders_come_first(checkout: pytest.Pytester) -> None:
    assert chosen(checkout, "")[0] == "test_guest"
    names = [f"tests/{folder}/test_x.py" for folder in phases.FOLDERS] + ["tests/new/test_x.py"]
    mixed = random.Random(1).sample(names, len(names))
    assert sorted(mixed, key=lambda name: phases.rank(PurePath(name).parts)) == names


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["serial", "parallel"])
def test_an_unlisted_skip_fails_on_workers_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """The machine's own profile decides here, because workers are other processes."""
    here = profile.current_profile().name
    monkeypatch.setenv("GLVIEW_PROFILE", here)
    pytester.makeini("[pytest]")
    pytester.makepyfile("import pytest\ndef test_it(): pytest.skip('no mood')")
    result = pytester.runpytest_inprocess("-p", "tests.support.profile", "-ra", *workers)
    if here == "other":
        result.assert_outcomes(skipped=1)
    else:
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([f"{here} does not list this skip: Skipped: no mood"])
