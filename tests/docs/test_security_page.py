"""The page about security names the tests of each known fault, and they exist."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.support.paths import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
KNOWN_FAULTS = range(1, 60)
NUMBERED = r"(test_pitfalls?((?:_and)?_\d+(?:(?:_and)?_\d+)*)_\w+)"


def test_every_known_fault_has_its_tests_in_the_suite_and_on_the_page() -> None:
    suite = defaultdict(set)
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name, numbers in re.findall(rf"def {NUMBERED}\(", file.read_text()):
            for number in re.findall(r"\d+", numbers):
                suite[int(number)].add(name)
    assert sorted(suite) == list(KNOWN_FAULTS)
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (.+) \|$", PAGE, re.MULTILINE)
    assert {int(number): set(re.findall(r"test_pitfall\w+", row)) for number, row in rows} == suite


def test_every_file_that_the_page_names_exists() -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    assert files
    assert not [file for file in files if not (ROOT / file).exists()]
