from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockApp, MockSettings, create_app
from oxaigen_auth_mock.scenarios.builtin import READY

pytestmark = pytest.mark.anyio

SCENARIO = "/_mock/api/scenario"
FAILS = {"at": 20, "until": 25, "fault": {"kind": "status", "status": 503}}


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings(), clock=lambda: 1000.0)


@pytest.fixture
def client(app: MockApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://mock")


async def test_steps_are_played_reported_and_stopped(client: AsyncClient, app: MockApp) -> None:
    assert (await client.get(SCENARIO)).json() is None
    body = {"name": "outage", "steps": [{"at": 10, "revoke_token": "secret"}, FAILS]}
    started = await client.post(SCENARIO, json=body)
    assert (started.status_code, started.json()["status"]) == (201, "playing")
    app.mock_state.clock.offset = 12.0  # as time passes: nothing is called
    response = await client.get(SCENARIO)
    assert "secret" not in response.text
    assert response.json() == {
        "name": "outage",
        "description": "",
        "status": "playing",
        "started_at": 1000.0,
        "now": 1012.0,
        "elapsed": 12.0,
        "steps": [
            {
                "description": "token 2bb80d537b1d revoked",
                "at": 10.0,
                "until": None,
                "status": "running",
                "began_at": 1010.0,
                "ended_at": None,
                "seconds_since": 2.0,
            },
            {
                "description": "every call: 503",
                "at": 20.0,
                "until": 25.0,
                "status": "coming",
                "began_at": None,
                "ended_at": None,
                "seconds_since": None,
            },
        ],
    }
    assert (await client.delete(SCENARIO)).status_code == 204
    assert (await client.delete(SCENARIO)).status_code == 204
    assert (await client.get(SCENARIO)).json()["status"] == "stopped"
    assert app.mock_state.revoked == set()


async def test_every_response_of_the_api_includes_the_steps_that_are_due(
    client: AsyncClient, app: MockApp
) -> None:
    for path, key in (("state", "faults"), ("faults", None), ("journal", None)):
        app.control.reset()
        app.control.play([{"at": 1, "fault": {"kind": "hang"}}])
        app.mock_state.clock.offset = 1  # as time passes: nothing is called
        response = (await client.get(f"/_mock/api/{path}")).json()
        assert len(response[key] if key else response) == 1


async def test_a_ready_scenario_is_played_by_its_name(client: AsyncClient) -> None:
    listed = (await client.get("/_mock/api/scenarios")).json()
    assert [each["name"] for each in listed] == list(READY)
    for each in listed:
        played = await client.post(SCENARIO, json={"name": each["name"]})
        assert played.json()["description"] == each["description"]
        same = await client.post(SCENARIO, json=each)
        assert same.json()["steps"] == played.json()["steps"]
    state = (await client.get("/_mock/api/state")).json()
    assert [each["name"] for each in state["scenarios"]] == list(READY)
    assert state["scenario"]["name"] == READY[-1]


@pytest.mark.parametrize("name", ["flaping-proxy", "docs/examples/scenario.toml", "/etc/x.json"])
async def test_a_name_that_is_unknown_is_not_found_and_no_file_is_read(
    client: AsyncClient, name: str
) -> None:
    response = await client.post(SCENARIO, json={"name": name})
    assert response.status_code == 404
    assert response.json()["detail"].startswith(f"no scenario is called {name!r}; expected ")


@pytest.mark.parametrize(
    ("steps", "where", "words"),
    [
        ([], ["steps"], "expected at least one step"),
        ([{"at": 1}], ["steps", 0], "expected exactly one of fault, revoke, "),
        ([FAILS, {"at": "x", "revoke": "guest"}], ["steps", 1, "at"], "a number of seconds"),
        ([{"at": 1, "revoke": "gest"}], ["steps", 0, "revoke"], "did you mean 'guest'?"),
        (
            [{"at": 1, "fault": {"kind": "hang", "persona": "gest"}}],
            ["steps", 0, "fault", "persona"],
            "no persona is called 'gest'",
        ),
        (
            [{"at": 1, "fault": {"kind": "status", "status": 42}}],
            ["steps", 0, "fault", "status", "status"],
            "400",
        ),
    ],
)
async def test_an_invalid_step_is_refused_with_its_path(
    client: AsyncClient, steps: list[Any], where: list[Any], words: str
) -> None:
    response = await client.post(SCENARIO, json={"steps": steps})
    assert response.status_code == 422
    (mistake,) = response.json()["detail"]
    assert mistake["loc"] == ["body", *where]
    assert words in mistake["msg"]


async def test_two_states_of_a_persona_at_one_time_are_refused(client: AsyncClient) -> None:
    steps = [{"at": 1, "persona": {"name": "guest", "state": "slow"}}] * 2
    response = await client.post(SCENARIO, json={"steps": steps})
    assert response.status_code == 422
    assert "steps[0] and steps[1]" in response.json()["detail"][0]["msg"]


async def test_pages_of_other_origins_start_none(client: AsyncClient, app: MockApp) -> None:
    headers = {"Origin": "http://evil.example"}
    response = await client.post(SCENARIO, json={"name": READY[0]}, headers=headers)
    assert (response.status_code, app.control.scenario()) == (403, None)
