"""The table of test profiles tells the truth, and no test can be skipped past it."""

from __future__ import annotations

import pytest

from tests.support import probe, profile

pytest_plugins = ["pytester"]


def test_the_machine_lacks_what_its_profile_lists() -> None:
    lacking = {name for name, found in profile.CAPABILITIES.items() if not found()}
    assert lacking == profile.current_profile().lacking


def test_an_unlisted_skip_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(pytester, monkeypatch, "def test_it(): pytest.skip('no mood')")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*debian12 does not list this skip: Skipped: no mood*"])


def test_an_unlisted_skip_of_a_module_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(pytester, monkeypatch, "pytest.importorskip('no_such_module')")
    result.assert_outcomes(errors=1)


def test_what_the_profile_lacks_is_skipped_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "@requires('multitouch', 'linux-kernel')\ndef test_it(): assert False"
    result = _run(pytester, monkeypatch, body)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*debian12 lacks multitouch*"])


def test_other_machines_may_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "def test_it(): pytest.skip('no mood')"
    _run(pytester, monkeypatch, body, name="other").assert_outcomes(skipped=1)


def test_a_named_profile_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLVIEW_PROFILE", "debian12")
    monkeypatch.setattr(probe, "qemu_version", lambda: (6, 0, 1))
    with pytest.raises(pytest.UsageError, match=r"not debian12: .*QEMU is 6\.0\.1, not 7\.2"):
        profile.current_profile()


def test_an_unknown_capability_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such capability: telepathy"):
        profile.requires("telepathy")


def _run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, name: str = "debian12"
) -> pytest.RunResult:
    """Run one test file under a profile, on whichever machine this is."""
    chosen = profile.PROFILES.get(name) or profile.Profile(name, (), (), (), frozenset())
    monkeypatch.setattr(profile, "current_profile", lambda: chosen)
    pytester.makeini("[pytest]")
    pytester.makepyfile(f"import pytest\nfrom tests.support.profile import requires\n{body}")
    return pytester.runpytest_inprocess("-p", "tests.support.profile", "-ra")
