"""The doctor's page holds what this doctor would say, from every machine that it names."""

from __future__ import annotations

import re
from pathlib import Path

from glview.doctor.advice import advise
from glview.doctor.facts import Facts, WindowFacts
from glview.doctor.report import as_text
from tests.support.profile import PROFILES

PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")


def titles(report: str) -> list[str]:
    return [line for line in report.splitlines() if line and not line.startswith(" ")]


def test_every_machine_has_a_report_with_every_section() -> None:
    found = dict(re.findall(r"^### `(.*?)`.*?^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    assert found.keys() >= PROFILES.keys()
    facts = Facts({}, [], WindowFacts(), [], None)
    sections = titles(as_text(facts, advise(facts)))
    assert len(sections) == 8
    for name, report in found.items():
        assert titles(report) == sections, name
