"""What a scenario changes, and that it undoes exactly this."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from oxaigen_auth_mock import MockApp, MockControl, MockSettings, Persona, create_app
from oxaigen_auth_mock.faults.kinds import FAULT, Html
from oxaigen_auth_mock.journal.counts import fingerprint

pytestmark = pytest.mark.anyio

ME = "/_oxa_auth/get-me"
GUEST = "mock-guest-token"
FAILS = {"kind": "status", "status": 503}


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings(), clock=lambda: 1000.0)


@pytest.fixture
def mock(app: MockApp) -> MockControl:
    return app.control


def statuses(mock: MockControl) -> list[str]:
    report = mock.scenario()
    return [] if report is None else [step.status for step in report.steps]


def revoked(mock: MockControl) -> list[str]:
    mock.scenario()
    return sorted(mock.state.revoked)


async def test_steps_apply_to_the_calls_from_their_time_on(app: MockApp, mock: MockControl) -> None:
    mock.play([{"at": 10, "revoke": "guest"}, {"at": 20, "until": 25, "fault": FAILS}])
    seen: dict[float, int] = {}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        for time in (0.0, 9.9, 10.0, 19.9, 20.0, 24.9, 25.0, 3600.0):
            mock.state.clock.offset = time  # as time passes: nothing is called
            response = await client.get(ME, headers={"Authorization": f"Bearer {GUEST}"})
            seen[time] = response.status_code
    assert seen == {
        0.0: 200, 9.9: 200, 10.0: 401, 19.9: 401, 20.0: 503, 24.9: 503, 25.0: 401, 3600.0: 401
    }  # fmt: skip
    assert statuses(mock) == ["running", "done"]


def test_the_report_has_the_times_of_the_steps_by_the_mocks_clock(mock: MockControl) -> None:
    mock.play([{"at": 10, "until": 15, "fault": FAILS}, {"at": 30, "revoke": "guest"}])
    mock.advance(17)
    report = mock.scenario()
    assert report is not None
    assert (report.status, report.started_at, report.now, report.elapsed) == (
        "playing", 1000, 1017, 17
    )  # fmt: skip
    first, second = report.steps
    assert (first.began_at, first.ended_at, first.seconds_since) == (1010, 1015, 7)
    assert (second.began_at, second.ended_at, second.seconds_since) == (None, None, None)


def test_each_step_is_in_the_journal_but_is_no_call(mock: MockControl) -> None:
    mock.play([{"at": 1, "until": 2, "fault": FAILS}])
    mock.advance(5)
    entries = mock.calls(endpoint="scenario")
    assert [(each.at, each.verdict, each.fault) for each in entries] == [
        (1001, "began", "unnamed: every call: 503"),
        (1002, "ended", "unnamed: every call: 503"),
    ]
    assert mock.calls() == ()
    assert mock.state.journal.counts.report()["total"] == 0


def test_a_fault_of_the_user_stays_and_those_of_the_scenario_go(mock: MockControl) -> None:
    mock.fault("html")
    mock.play([{"at": 0, "until": 9, "fault": FAILS}, {"at": 0, "fault": {"kind": "html"}}])
    mock.fault("hang")
    assert [each.kind for each in mock.state.faults.faults] == ["html", "status", "html", "hang"]
    mock.remove_fault(2)
    mock.advance(9)
    assert statuses(mock) == ["done", "running"]
    mock.stop_scenario()
    assert [(number, each.kind) for number, each in mock.state.faults.items()] == [
        (1, "html"), (4, "hang")
    ]  # fmt: skip


def test_a_fault_that_was_edited_or_replaced_is_the_users(mock: MockControl) -> None:
    mock.play([{"at": 0, "fault": {"kind": "html"}}])
    mock.replace_faults([Html()])
    mock.stop_scenario()
    assert mock.state.faults.faults == [Html()]
    mock.replace_faults()
    mock.play([{"at": 0, "fault": {"kind": "html"}}])
    (number,) = dict(mock.state.faults.items())
    mock.state.faults.remove_unchanged(number, Html())  # equal, but another one
    assert mock.state.faults.faults == [Html()]


def test_a_token_that_the_user_revoked_or_restored_stays_so(mock: MockControl) -> None:
    mock.revoke("mine")
    tokens = ("mine", "theirs", "later", "back")
    mock.play([{"at": 0, "revoke_token": token} for token in tokens])
    mock.revoke("later")
    mock.restore("back")
    mock.restore("back")
    mock.stop_scenario()
    assert revoked(mock) == sorted([fingerprint("mine"), fingerprint("later")])


def test_a_token_that_two_steps_revoke_is_restored_by_the_last(mock: MockControl) -> None:
    mock.play(
        [{"at": 0, "until": 5, "revoke": "guest"}, {"at": 2, "until": 8, "revoke_token": GUEST}]
    )
    mock.advance(6)
    assert revoked(mock) == [fingerprint(GUEST)]
    mock.advance(2)
    assert revoked(mock) == []


def test_the_state_of_a_persona_returns_unless_the_user_changed_it(mock: MockControl) -> None:
    names = ("guest", "user", "admin")
    steps = [{"at": 0, "persona": {"name": name, "state": "expired"}} for name in names]
    mock.play(steps)
    assert [each.state for each in mock.state.personas][1:] == ["expired"] * 3
    mock.permit("guest", "audit")
    mock.put(Persona(name="user", state="rejected"))
    mock.remove("admin")
    mock.add(Persona(name="admin", state="expired"))
    mock.stop_scenario()
    personas = {each.name: each for each in mock.state.personas}
    assert [personas[name].state for name in names] == ["ok", "rejected", "expired"]
    assert personas["guest"].has_permission("audit")


def test_a_step_whose_persona_is_gone_is_skipped(mock: MockControl) -> None:
    steps = [
        {"at": 5, "until": 6, "revoke": "guest"},
        {"at": 5, "persona": {"name": "guest", "state": "slow"}},
        {"at": 5, "fault": {**FAILS, "persona": "guest"}},
    ]
    mock.play(steps)
    mock.remove("guest")
    mock.advance(10)
    assert statuses(mock) == ["skipped"] * 3
    assert [each.verdict for each in mock.calls(endpoint="scenario")] == ["skipped"] * 3
    assert (revoked(mock), mock.state.faults.faults) == ([], [])
    report = mock.scenario()
    assert report is not None
    assert (report.status, report.elapsed) == ("ended", 6)


async def test_tokens_that_a_persona_got_by_signing_in_are_revoked_too() -> None:
    app = create_app(MockSettings(strict=True))
    provider = app.mock_state.provider
    tokens = [
        provider.exchange_code(ticket, provider.issue_code(ticket, name)).access
        for name in ("guest", "admin")
        for ticket in [provider.start_sign_in()]
    ]
    app.control.play([{"at": 0, "revoke": "guest"}])
    assert [app.mock_state.is_revoked(each) for each in (*tokens, GUEST)] == [True, False, True]


def test_only_one_plays_and_the_next_one_undoes_its_steps(mock: MockControl) -> None:
    mock.play([{"at": 0, "revoke": "guest"}, {"at": 9, "revoke": "admin"}])
    assert mock.play([{"at": 0, "fault": FAILS}]).elapsed == 0
    assert (revoked(mock), len(mock.state.faults.faults)) == ([], 1)
    mock.advance(60)
    assert revoked(mock) == []


def test_a_stopped_scenario_shows_what_it_did(mock: MockControl) -> None:
    mock.stop_scenario()
    assert mock.scenario() is None
    mock.play([{"at": 5, "revoke": "guest"}, {"at": 9, "revoke": "admin"}])
    mock.advance(7)
    mock.stop_scenario()
    mock.advance(60)
    mock.stop_scenario()
    report = mock.scenario()
    assert report is not None
    assert (report.status, report.elapsed) == ("stopped", 7)
    assert [step.status for step in report.steps] == ["done", "skipped"]
    assert [step.ended_at for step in report.steps] == [1007, None]


def test_it_only_moves_forward(mock: MockControl) -> None:
    mock.play([{"at": 5, "until": 8, "revoke": "guest"}])
    mock.advance(6)
    assert statuses(mock) == ["running"]
    mock.advance(-6)
    assert statuses(mock) == ["running"]
    mock.advance(7)
    assert statuses(mock) == ["running"]
    mock.advance(1)
    assert statuses(mock) == ["done"]


def test_a_step_that_ends_leaves_room_for_one_that_begins_then(mock: MockControl) -> None:
    slow, expired = ({"name": "guest", "state": state} for state in ("slow", "expired"))
    mock.play([{"at": 5, "persona": expired}, {"at": 1, "until": 5, "persona": slow}])
    mock.advance(5)
    assert mock.state.personas.require("guest").state == "expired"
    mock.stop_scenario()
    assert mock.state.personas.require("guest").state == "ok"


def test_a_snapshot_leaves_the_scenario_out_and_an_import_stops_it(mock: MockControl) -> None:
    mock.fault("hang")
    mock.revoke("mine")
    before = mock.snapshot()
    guest = {"name": "guest", "state": "expired"}
    steps: list[dict[str, Any]] = [{"fault": FAILS}, {"revoke": "guest"}, {"persona": guest}]
    mock.play([{"at": 0, **step} for step in steps])
    exported = mock.snapshot()
    assert exported == before
    assert len(mock.state.faults.faults) == 2
    mock.load(exported)
    report = mock.scenario()
    assert report is not None
    assert report.status == "stopped"
    mock.advance(5)
    assert mock.snapshot().faults == before.faults


def test_a_reset_stops_it(mock: MockControl) -> None:
    mock.play([{"at": 0, "fault": FAILS}, {"at": 5, "revoke": "guest"}])
    mock.reset()
    assert mock.scenario() is None
    mock.advance(60)
    assert (mock.state.faults.faults, revoked(mock), mock.calls(endpoint="scenario")) == (
        [],
        [],
        (),
    )


NAMES = ("guest", "admin")
TIMES = st.integers(0, 9)
TOKENS = st.sampled_from([GUEST, "mock-admin-token", "other"])
FAULTS = st.sampled_from([FAILS, {"kind": "html", "persona": "guest"}, {"kind": "hang"}])
CHANGES = st.one_of(
    st.builds(lambda fault: {"fault": fault}, FAULTS),
    st.builds(lambda name: {"revoke": name}, st.sampled_from(NAMES)),
    st.builds(lambda token: {"revoke_token": token}, TOKENS),
)
STEPS = st.builds(
    lambda at, length, change: {"at": at, "until": length and at + length, **change},
    TIMES,
    st.none() | st.integers(1, 5),
    CHANGES,
)
EXPIRY = {"at": 2, "until": 6, "persona": {"name": "guest", "state": "expired"}}
ACTIONS = st.one_of(
    st.tuples(st.just("revoke"), TOKENS),
    st.tuples(st.just("restore"), TOKENS),
    st.tuples(st.just("add_fault"), FAULTS.map(FAULT.validate_python)),
    st.tuples(st.just("replace_faults"), st.lists(FAULTS.map(FAULT.validate_python), max_size=2)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(
        st.just("put"),
        st.builds(
            Persona, name=st.sampled_from(NAMES), state=st.sampled_from(["slow", "rejected"])
        ),
    ),
    st.tuples(st.just("advance"), st.sampled_from([1, 1, 3, -2])),
)


def do(mock: MockControl, action: str, argument: Any) -> str | None:
    try:
        getattr(mock, action)(argument)
    except LookupError as error:
        return str(error)
    return None


@given(st.lists(STEPS, max_size=6), st.lists(ACTIONS, max_size=12))
def test_without_the_scenario_the_mock_is_as_if_it_had_never_played(
    steps: list[dict[str, Any]], actions: list[tuple[str, Any]]
) -> None:
    played, plain = (create_app(MockSettings(), clock=lambda: 1000.0).control for _ in range(2))
    played.play([EXPIRY, *steps])
    for action, argument in actions:
        assert do(played, action, argument) == do(plain, action, argument)
        assert played.snapshot() == plain.snapshot()
    played.stop_scenario()
    assert list(played.state.personas) == list(plain.state.personas)
    assert played.state.faults.faults == plain.state.faults.faults
    assert played.state.revoked == plain.state.revoked
