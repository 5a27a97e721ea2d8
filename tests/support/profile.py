"""Test profiles: what each machine we test on cannot do, and that nothing else is skipped.

A test that needs more than every machine offers says so:

    @requires("dmabuf-import")
    def test_...

and is skipped where the profile lists that capability as lacking. Any other
skip is a failure, so that a test cannot fall silent. The profile is named by
GLVIEW_PROFILE or found by its versions; a machine that is none of them has the
profile `other`: there the capabilities are probed and every skip is allowed.

This module is a pytest plugin, loaded by tests/conftest.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import pytest

from tests.support import probe
from tests.support.probe import Version

CAPABILITIES: dict[str, Callable[[], bool]] = {
    # EGL takes a memfd as the plane of a dma-buf, in a window or off screen.
    "dmabuf-import": probe.imports_memfd("x11"),
    "dmabuf-import-surfaceless": probe.imports_memfd("surfaceless"),
    # QEMU runs with gl=on and exports real dma-bufs.
    "dmabuf-export": probe.exports_dmabuf,
    # There it can do so for QEMU's GPU in a process of its own.
    "vhost-user-gpu": probe.exports_from_outside,
    # QEMU offers org.qemu.Display1.Listener.Unix.Map, ScanoutDMABUF2, MultiTouch.
    "listener-map": probe.qemu_at_least(9, 2),
    "scanout-dmabuf2": probe.qemu_at_least(10, 1),
    "multitouch": probe.qemu_at_least(8, 1),
    # QEMU takes a second listener of one client on one console.
    "several-listeners": probe.qemu_at_least(9, 2),
    # QEMU forgets a listener whose viewer has gone.
    "listener-release": probe.qemu_unlike((10, 0), (11, 0)),
    # There is a Linux kernel for a guest to boot.
    "linux-kernel": lambda: probe.kernel_image() is not None,
}


@dataclass(frozen=True)
class Profile:
    """A kind of machine: its versions, as far as they matter, and what it lacks."""

    name: str
    python: Version
    mesa: Version
    qemu: Version
    lacking: frozenset[str]

    def contradictions(self) -> list[str]:
        """What differs on this machine, in words."""
        expected = {
            "Python": (self.python, probe.python_version()),
            "Mesa": (self.mesa, probe.mesa_version()),
            "QEMU": (self.qemu, probe.qemu_version()),
        }
        differing = [
            f"{what} is {_text(found)}, not {_text(wanted)}"
            for what, (wanted, found) in expected.items()
            if (found or ())[: len(wanted)] != wanted
        ]
        exports = "dmabuf-export" not in self.lacking
        if probe.exports_dmabuf() != exports:
            differing.append(f"there is {'no' if exports else 'a'} render node with udmabuf")
        return differing


# Only the lab has a render node (scripts/lab), and so runs QEMU with gl=on.
_GPU = "dmabuf-export", "vhost-user-gpu"
_LACKING = {
    "debian12": {
        *("dmabuf-import", "dmabuf-import-surfaceless", *_GPU, "listener-map"),
        *("scanout-dmabuf2", "multitouch", "several-listeners"),
    },
    "debian13": {"dmabuf-import", *_GPU, "scanout-dmabuf2", "listener-release"},
    "debian13-backports": {*_GPU},
    "lab": set(),
}

PROFILES = {
    name: Profile(name, python, mesa, qemu, frozenset(_LACKING[name]))
    for name, python, mesa, qemu in (
        ("debian12", (3, 11), (22, 3), (7, 2)),
        ("debian13", (3, 13), (25, 0), (10, 0)),
        ("debian13-backports", (3, 13), (26,), (11,)),
        ("lab", (3, 13), (26,), (11,)),
    )
}


def requires(*capabilities: str) -> pytest.MarkDecorator:
    """Mark a test, or a parameter's `marks`, as needing capabilities of the machine."""
    unknown = set(capabilities) - CAPABILITIES.keys()
    if unknown:
        raise ValueError(f"no such capability: {', '.join(sorted(unknown))}")
    return pytest.mark.requires(*capabilities)


def current_profile() -> Profile:
    """The profile GLVIEW_PROFILE names, else the one this machine fits, else `other`.

    Raises `pytest.UsageError` if the machine is not what the named profile says.
    """
    name = os.environ.get("GLVIEW_PROFILE", "")
    if not name:
        fitting = (p for p in PROFILES.values() if not p.contradictions())
        return next(fitting, None) or _other()
    if name == "other":
        return _other()
    if name not in PROFILES:
        raise pytest.UsageError(f"GLVIEW_PROFILE={name}: there are {', '.join(PROFILES)}, other")
    contradictions = PROFILES[name].contradictions()
    if contradictions:
        raise pytest.UsageError(f"this machine is not {name}: {'; '.join(contradictions)}")
    return PROFILES[name]


def _other() -> Profile:
    lacking = frozenset(name for name, found in CAPABILITIES.items() if not found())
    return Profile("other", (), (), (), lacking)


def _text(version: Version | None) -> str:
    return ".".join(map(str, version)) if version else "missing"


class _Rule:
    """Skips what the profile cannot run, and turns every other skip into a failure."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.allowed: set[str] = set()

    def pytest_report_header(self) -> list[str]:
        versions = f"Mesa {_text(probe.mesa_version())}, QEMU {_text(probe.qemu_version())}"
        lacking = ", ".join(sorted(self.profile.lacking)) or "nothing"
        return [f"profile: {self.profile.name} ({versions})", f"lacking: {lacking}"]

    def pytest_collection_modifyitems(self, items: Iterable[pytest.Item]) -> None:
        for item in items:
            needed = {name for mark in item.iter_markers("requires") for name in mark.args}
            missing = needed & self.profile.lacking
            if missing:
                reason = f"{self.profile.name} lacks {', '.join(sorted(missing))}"
                item.add_marker(pytest.mark.skip(reason=reason))
                self.allowed.add(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            self._judge(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.skipped:
            self._judge(report)
        return report

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if self.profile.name == "other" or report.nodeid in self.allowed:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{self.profile.name} does not list this skip: {reason}"


def pytest_configure(config: pytest.Config) -> None:
    """Find the profile and apply its rule."""
    config.addinivalue_line("markers", "requires(*capabilities): see tests/support/profile.py")
    config.pluginmanager.register(_Rule(current_profile()))
