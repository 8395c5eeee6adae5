from __future__ import annotations

import pytest

from oxaigen_auth_load.report.table import print_table
from tests.unit.oxaigen_auth_load.report.sample import sample_report


@pytest.mark.parametrize("unfinished", [0, 1234])
def test_lookups_that_were_not_finished_have_a_row_if_there_are_any(
    unfinished: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report = sample_report()
    report["runs"][0]["unfinished"] = unfinished
    print_table(report)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = [row[1:] for row in rows if row[:1] == ["Unfinished"]]
    assert found == ([["1,234", "0"]] if unfinished else [])
