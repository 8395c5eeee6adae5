"""The tables and lists of the pages have a row for each setting, fault and metric."""

import re
from typing import get_args

import attrs

from oxaigen_auth import OxaigenAuthSettings
from oxaigen_auth_load.metrics import METRICS
from oxaigen_auth_mock.faults.kinds import Fault
from tests.support.paths import ROOT


def names_in(page: str, start: str, end: str) -> set[str]:
    """Return what a page has between backticks, from the line `start` to the line `end`."""
    _, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(start)
    return set(re.findall(r"`([^`\n]+)`", rest.partition(end)[0]))


def test_the_readme_has_a_row_for_each_setting() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(rows) == sorted(f.name.upper() for f in attrs.fields(OxaigenAuthSettings))


def test_the_guide_of_the_mock_has_a_row_for_each_kind_of_fault() -> None:
    kinds, _ = get_args(Fault)
    named = {kind.model_fields["kind"].default for kind in get_args(kinds)}
    assert named <= names_in("docs/mock.md", "| kind |", "\n\n")


def test_the_guide_of_the_load_tool_lists_each_metric() -> None:
    assert METRICS.keys() <= names_in("docs/load.md", "## Expectations", "| exit status |")
