"""Order and marks of a test run: what runs beside other tests, and what in one root only.

- `alone` is a mark that tests give themselves when they assert times, rates or
  ratios of CPU: they run after all others, with nothing beside them.
- `once` is a mark given here, by place: tests below `tests/unit` that start no
  real program depend on our code alone, so one distribution proves them.

The slow folders come first, so that no worker is left with a long test at the end.

This module is a pytest plugin, loaded by tests/conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import pytest

REAL = frozenset({"bus", "own_xvfb", "start_gpu", "start_qemu", "start_viewer", "weston", "xvfb"})
"""Fixtures that start a program of the distribution."""

EVERYWHERE = frozenset({"tests/unit/test_profile.py"})
"""Files below tests/unit that examine the machine without those fixtures."""

FOLDERS = "vm", "cli", "screen", "lab", "unit"
"""Below tests, those with the longest tests first."""


def place(path: PurePath, root: PurePath) -> tuple[str, ...]:
    """Return the parts of a test file's path below the checkout."""
    return path.relative_to(root).parts if path.is_relative_to(root) else ()


def proved_once(parts: tuple[str, ...], fixtures: Iterable[str]) -> bool:
    """Return True for a test that no distribution changes, by its file and its fixtures."""
    pure = parts[:2] == ("tests", "unit") and "/".join(parts) not in EVERYWHERE
    return pure and REAL.isdisjoint(fixtures)


def rank(parts: tuple[str, ...]) -> int:
    """Return the position of a test file's folder in `FOLDERS`; unknown folders come last."""
    folder = parts[1] if parts[:1] == ("tests",) and len(parts) > 2 else ""
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is proved once, and sort; the order within a folder stays."""
    parts = {item: place(item.path, config.rootpath) for item in items}
    for item in items:
        if proved_once(parts[item], getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.once)
    items.sort(key=lambda item: rank(parts[item]))


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    config.addinivalue_line("markers", "alone: measures; runs with nothing beside it")
    config.addinivalue_line("markers", "once: no distribution changes it; given by its place")
