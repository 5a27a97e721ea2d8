"""What the tests of the lab share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.glcount import GlCount
from tests.support.x11 import Xvfb


@pytest.fixture(scope="session")
def count(tmp_path_factory: pytest.TempPathFactory) -> GlCount:
    return GlCount(tmp_path_factory.mktemp("glcount"))
