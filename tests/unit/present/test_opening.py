"""Whether the CPU draws is known without OpenGL only where it is certain."""

from __future__ import annotations

import os
from fnmatch import fnmatch

import pytest

from glview.present import opening

NODE = "/dev/dri/renderD128"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBGL_ALWAYS_SOFTWARE", raising=False)


def machine(monkeypatch: pytest.MonkeyPatch, *there: str, may_open: bool = True) -> None:
    """Have these device files, and no others."""

    def find(pattern: str) -> list[str]:
        return [path for path in there if fnmatch(path, pattern)]

    monkeypatch.setattr("glview.present.opening.glob.glob", find)
    monkeypatch.setattr(os, "access", lambda path, mode: may_open)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch)
    assert opening.cpu_draws()


def test_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, NODE)
    assert not opening.cpu_draws()


def test_a_gpu_that_is_not_ours_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, NODE, may_open=False)
    assert opening.cpu_draws()


@pytest.mark.parametrize("device", ["/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/mali0"])
def test_a_gpu_without_a_render_node(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Its driver does not look at Mesa's variable either."""
    machine(monkeypatch, device)
    monkeypatch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
    assert not opening.cpu_draws()


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("true", True), ("0", False)])
def test_mesa_s_variable(monkeypatch: pytest.MonkeyPatch, value: str, wanted: bool) -> None:
    machine(monkeypatch, NODE)
    monkeypatch.setenv("LIBGL_ALWAYS_SOFTWARE", value)
    assert opening.cpu_draws() == wanted
