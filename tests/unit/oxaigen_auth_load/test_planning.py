from __future__ import annotations

import os
import resource

import pytest

from oxaigen_auth_load.options import parse_options
from oxaigen_auth_load.plan import Plan, PlanError
from oxaigen_auth_load.planning import MAX_CONNECTIONS, OPENED, make_plan, target_addresses
from oxaigen_auth_load.servers import Servers

APP = Servers("http://proxy", "http://app/me", "http://mock")


def planned(words: str, tokens: list[str] | None = None) -> Plan:
    return make_plan(parse_options(words.split()), tokens)


@pytest.mark.parametrize(
    ("words", "fewest", "most"),
    [
        ("burst --callers 7", 7, 7),
        ("steady --rate 100 --seconds 5", 400, 600),
        ("ramp --from 0 --to 200 --seconds 5", 400, 600),
        ("stages --stage 1s:0 --stage 2s:100 --stage 3s:0-200", 400, 600),
    ],
)
def test_the_options_describe_a_plan(words: str, fewest: int, most: int) -> None:
    plan = planned(words)
    assert plan.scenario == words.split(maxsplit=1)[0]
    assert plan.lookups is not None
    assert fewest <= plan.lookups <= most


@pytest.mark.parametrize("stage", ["10:5", "10s", "s:5", "10s:5-", "10s:-5", "0s:5", "10s:1e3"])
def test_a_wrong_stage_gets_a_line_that_shows_a_right_one(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        planned(f"stages --stage {stage}")
    assert "argument --stage: " in capsys.readouterr().err.splitlines()[-1]


def test_every_given_token_is_used() -> None:
    assert planned("burst --invalid 1", ["a", "b"]).distinct == 3
    assert planned("burst --tokens 1", ["a", "b"]).distinct == 1


@pytest.mark.parametrize("words", ["burst --warmup 1", "steady --seconds 2 --warmup 2"])
def test_a_warmup_as_long_as_the_load_is_refused(words: str) -> None:
    with pytest.raises(PlanError, match="leaves no lookup"):
        planned(words)
    assert planned("closed --seconds 2 --warmup 1").warmup == 1


def addresses(words: str, servers: Servers = APP) -> dict[str, list[tuple[int, int]]]:
    """Return the connections of each process, and those that it opens in advance."""
    options = parse_options(words.split())
    targets = target_addresses(options, make_plan(options, None), servers)
    return {
        name: [(each.max_connections, each.connections) for each in processes]
        for name, processes in targets.items()
    }


@pytest.mark.parametrize(
    ("words", "connections"),
    [
        ("burst --callers 300 --workers 1", [(300, 300)]),
        ("burst --callers 300 --workers 3", [(100, 100)] * 3),
        ("burst --callers 300 --workers 1 --connections 50", [(50, 50)]),
        ("burst --callers 300 --workers 1 --cold-connections", [(300, 0)]),
        ("steady --workers 2 --connections 5", [(3, 3)] * 2),
        ("closed --workers 1", [(10, 10)]),
        ("closed --connections 2 --workers 8", [(1, 1)] * 2),
        ("burst --callers 2 --workers 8", [(1, 1)] * 2),
    ],
)
def test_each_process_has_its_part_of_the_connections(
    words: str, connections: list[tuple[int, int]]
) -> None:
    assert addresses(f"{words} --target app http://app/me") == {"app": connections}


def test_an_open_load_may_use_as_many_connections_as_it_needs() -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        ((most, opened),) = addresses("steady --workers 1 --target app http://app")["app"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
    assert OPENED == opened < most <= MAX_CONNECTIONS


def test_the_client_has_one_process_and_an_app_all_cores_but_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert len(addresses("burst", Servers("http://proxy"))["client"]) == 1
    assert len(addresses("burst --target app http://app")["app"]) == 3
    both = addresses("burst --compare naive --workers 2", Servers("http://proxy"))
    assert {name: len(each) for name, each in both.items()} == {"client": 2, "naive": 2}


def test_only_one_process_counts_the_calls_at_the_mock() -> None:
    options = parse_options(["burst", "--workers", "2", "--target", "app", "http://app"])
    (app,) = target_addresses(options, make_plan(options, None), APP).values()
    assert [each.mock_url for each in app] == ["http://mock", ""]
