"""Fixtures of the laboratory: each test gets processes and a folder of its own."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import pytest

from tests.support.bus import Bus
from tests.support.process import Child
from tests.support.qemu import Qemu
from tests.support.vgpu import GpuVm
from tests.support.viewer import Viewer
from tests.support.weston import Weston
from tests.support.x11 import Xvfb

pytest_plugins = ["tests.support.phases", "tests.support.profile"]

P = ParamSpec("P")
C = TypeVar("C", bound=Child)


def pytest_configure() -> None:
    """Have programs that tests start heed SIGINT and SIGHUP, also in a run in the background.

    A shell starts those with the signals ignored, which programs inherit; a handler they do not.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def xvfb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Xvfb]:
    """One X server of 1920x1200 for the whole run, its pointer parked bottom right."""
    with Xvfb(tmp_path_factory.mktemp("xvfb")) as server:
        server.park_pointer()
        yield server


@pytest.fixture
def own_xvfb(tmp_path: Path) -> Iterator[Xvfb]:
    """An X server for one test alone, to be stopped or to have its pointer moved."""
    folder = tmp_path / "own-xvfb"
    folder.mkdir()
    with Xvfb(folder) as server:
        server.park_pointer()
        yield server


@pytest.fixture
def weston(own_xvfb: Xvfb, tmp_path: Path) -> Iterator[Weston]:
    """A compositor for one test alone, in `own_xvfb`."""
    folder = tmp_path / "weston"
    folder.mkdir()
    with Weston(own_xvfb, folder) as compositor:
        yield compositor


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    """A message bus for one test alone."""
    folder = tmp_path / "bus"
    folder.mkdir()
    with Bus(folder) as daemon:
        yield daemon


@pytest.fixture
def start_qemu(tmp_path: Path) -> Iterator[Callable[..., Qemu]]:
    """A function that starts a VM: keywords as of `Qemu`. All end with the test."""
    with ExitStack() as stack:
        yield _starter(Qemu, stack, tmp_path)


@pytest.fixture
def start_gpu(tmp_path: Path) -> Iterator[Callable[..., GpuVm]]:
    """A function that starts a VM which is only a GPU: keywords as of `GpuVm`."""
    with ExitStack() as stack:
        yield _starter(GpuVm, stack, tmp_path)


@pytest.fixture
def start_viewer(tmp_path: Path) -> Iterator[Callable[..., Viewer]]:
    """A function that starts glview: arguments as of `Viewer`, without the folder.

    All end with the test, which fails if one left a traceback. A test names the
    fixtures that its viewers stand on (`weston`, `bus`) first, so that they outlive them.
    """
    with ExitStack() as stack:
        yield _starter(Viewer, stack, tmp_path)


def _starter(
    make: Callable[Concatenate[Path, P], C], stack: ExitStack, base: Path
) -> Callable[P, C]:
    """`make` with a new folder as its first argument; `stack` ends what it made."""
    number = itertools.count()

    def start(*args: P.args, **kwargs: P.kwargs) -> C:
        folder = base / f"{make.__name__.lower()}{next(number)}"
        folder.mkdir()
        child = make(folder, *args, **kwargs)
        stack.enter_context(child)
        return child

    return start
