"""The pages list each setting and each metric."""

import re

import attrs

from oxaigen_auth import ClientStats, OxaigenAuthSettings
from oxaigen_auth_load.metrics import METRICS
from tests.support.paths import ROOT


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_readme_has_a_row_for_each_setting() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", read("README.md"), re.MULTILINE)
    assert sorted(rows) == sorted(f.name.upper() for f in attrs.fields(OxaigenAuthSettings))


def test_the_guide_of_the_load_tool_lists_each_metric() -> None:
    _, _, expectations = read("docs/load.md").partition("## Expectations")
    assert [name for name in METRICS if f"`{name}`" not in expectations] == []


def test_the_page_about_logs_lists_each_count_of_a_client() -> None:
    _, _, counts = read("docs/observability.md").partition("## Counts")
    assert [f.name for f in attrs.fields(ClientStats) if f"`{f.name}`" not in counts] == []
