"""The viewers that the tests of a file share: starting one takes as long as dozens of cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stage import Stage
from tests.support.x11 import Xvfb


@pytest.fixture(scope="module", params=["es-swap", "core-swap", "es-auto"])
def stage(
    request: pytest.FixtureRequest, xvfb: Xvfb, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A viewer with that kind of OpenGL and of presenting, for all tests of a file in turn.

    Not paced where that would have each of many changes wait for the next refresh.
    """
    gl, present = request.param.split("-")
    folder = tmp_path_factory.mktemp("viewer")
    options = ["--no-pacing"] if present == "swap" else []
    with Stage(folder, xvfb, "--gl", gl, "--present", present, *options) as stage:
        yield stage
