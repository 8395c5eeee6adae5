"""How the benchmarks print, save and compare their figures."""

from pathlib import Path

import pytest
from attrs import evolve

from benchmarks import fleet_model
from benchmarks.__main__ import main
from benchmarks.harness import Figure, NotMeasuredError, measured
from benchmarks.record import Record
from benchmarks.table import comparison, markdown, table
from tests.support.paths import ROOT

FAST = Figure("fast", (1.0, 1.1, 1.5), at_most=1.2)
SLOW = Figure("slow", (0.5,), at_least=0.9, note="by hand")
ABSENT = Figure("absent", at_most=2, reason="needs luck")
RECORD = Record((FAST, SLOW, ABSENT), "2026-11-24", "abc1234", "Linux, 2 cores", {"Python": "3.11"})


def test_a_record_survives_json() -> None:
    assert Record.from_json(RECORD.to_json()) == RECORD


def test_the_table_shows_whether_each_figure_met_its_target_or_was_not_measured() -> None:
    assert [line.split() for line in table(RECORD.figures).splitlines()[1:]] == [
        ["fast", "1.10", "1.00-1.50", "≤", "1.2", "met"],
        ["slow", "0.50", "≥", "0.9", "MISSED", "by", "hand"],
        ["absent", "≤", "2", "not", "measured:", "needs", "luck"],
    ]


def test_the_page_names_date_commit_machine_and_versions() -> None:
    page = markdown(RECORD)
    for text in ("2026-11-24", "`abc1234`", "Linux, 2 cores", "Python 3.11", "| fast | 1.10 |"):
        assert text in page


def test_a_comparison_says_whether_the_spreads_overlap() -> None:
    other = evolve(RECORD, figures=(evolve(FAST, values=(1.4, 1.65)), evolve(SLOW, values=(0.6,))))
    fast, slow, absent = comparison(RECORD, other).splitlines()[1:]
    assert fast.endswith("+38.6%  spreads overlap")
    assert slow.endswith("+20.0%  apart")
    assert absent.split() == ["absent", "-", "-"]


def test_a_figure_that_cannot_be_measured_has_the_reason() -> None:
    def measure() -> list[tuple[float, ...]]:
        raise NotMeasuredError("needs luck")

    (figure,) = measured([evolve(ABSENT, reason="")], measure)
    assert figure == ABSENT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rout"], "There is no benchmark rout"),
        (["--saved", "no/such.json"], "no/such.json is not a readable record"),
        (["--compare", "a", "b", "c"], "one record or two"),
    ],
)
def test_a_bad_argument_gets_one_clear_line(arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main(arguments)


def test_strict_fails_when_a_target_was_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    path.write_text(RECORD.to_json())
    main(["--saved", str(path)])
    main(["--saved", str(path), "--markdown", "--compare", str(path)])
    assert "slow" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--saved", str(path), "--strict"])


def test_the_guide_of_fleets_has_the_figures_of_the_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet_model.main()
    assert capsys.readouterr().out in (ROOT / "docs/fleet.md").read_text(encoding="utf-8")
