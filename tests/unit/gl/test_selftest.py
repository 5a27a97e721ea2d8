"""Machines that make no buffer to try imports with: drivers are trusted, which the log says."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from glview.gl import buffers, selftest
from glview.gl.api import GL
from glview.gl.dmabuf import Importer


class Nobody:
    """Fails a test that asks it for anything."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a driver
        raise AssertionError(f"the driver was asked for {name}")


def _no_memory(kind: str, node: str) -> buffers.Buffer:
    raise OSError(f"no {kind}")


@pytest.mark.parametrize("kinds", [[], ["udmabuf", "dma-heap", "memfd"]])
def test_no_buffer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kinds: list[str]
) -> None:
    monkeypatch.setattr(buffers, "available", lambda node: kinds)
    monkeypatch.setattr(buffers, "make", _no_memory)
    caplog.set_level(logging.DEBUG)
    driver, fmt = Nobody(), selftest.GUEST_FORMATS[0]
    assert selftest.distrust(cast(GL, driver), cast(Importer, driver), fmt) == ""
    assert "no import self-test" in caplog.text
    assert all(f"no {kind}" in caplog.text for kind in kinds)
