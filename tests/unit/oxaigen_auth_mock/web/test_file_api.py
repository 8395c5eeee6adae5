"""The part of the control API that takes the content of files."""

import pytest
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockConfigurationError, MockSettings, create_app
from oxaigen_auth_mock.app import MockApp
from oxaigen_auth_mock.config.files import (
    load_faults,
    load_personas,
    load_scenario,
    parse_faults,
    parse_personas,
    parse_scenario,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.anyio

API = "http://mock/_mock/api"
EXAMPLES = ROOT / "docs/examples"


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings())


@pytest.fixture
def client(app: MockApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app=app, client=("127.0.0.1", 1)))


async def test_the_example_files_are_loaded(client: AsyncClient, app: MockApp) -> None:
    for kind in ("personas", "faults"):
        content = (EXAMPLES / f"{kind}.toml").read_bytes()
        path = f"{API}/{kind}/file"
        response = await client.put(path, params={"name": "a.toml"}, content=content)
        assert response.status_code == 200, response.text
        assert response.json()["loaded"] > 0
    personas = load_personas(EXAMPLES / "personas.toml")
    assert [app.mock_state.personas.named(each.name) for each in personas] == personas
    assert app.mock_state.faults.faults == load_faults(EXAMPLES / "faults.toml")


async def test_a_scenario_is_played(client: AsyncClient, app: MockApp) -> None:
    file = EXAMPLES / "scenario.toml"
    path = f"{API}/scenario/file"
    response = await client.put(path, params={"name": file.name}, content=file.read_bytes())
    steps = load_scenario(file).steps
    assert (response.status_code, response.json()) == (200, {"loaded": len(steps)})
    playing = app.control.scenario()
    assert playing is not None
    assert (playing.status, len(playing.steps)) == ("playing", len(steps))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("personas", '{"personas": [{"name": "ada", "tokn": "x"}, {"name": "ada"}]}'),
        ("personas", '{"personas": [{"name": "ada", "token": "mock-guest-token"}]}'),
        ("faults", '{"faults": [{"kind": "hang", "persona": "nobody"}]}'),
        ("faults", "["),
        ("scenario", '{"steps": [{"at": 1, "revoke": "nobody"}, {"at": -1}]}'),
    ],
)
async def test_errors_are_those_of_the_start(
    client: AsyncClient, app: MockApp, kind: str, text: str
) -> None:
    before = app.control.snapshot()
    name = "plan.json"
    response = await client.put(f"{API}/{kind}/file", params={"name": name}, content=text)
    assert response.status_code == 422
    store = app.mock_state.personas
    with pytest.raises(MockConfigurationError) as caught:
        if kind == "personas":
            parse_personas(name, text.encode(), store.blocking_holder)
        parse = {"faults": parse_faults, "scenario": parse_scenario}[kind]
        parse(name, text.encode(), store.names)
    messages = [each["msg"] for each in response.json()["detail"]]
    assert messages == list(caught.value.problems)
    assert app.control.snapshot() == before
    assert app.control.scenario() is None


async def test_a_snapshot_with_one_token_twice_is_refused(
    client: AsyncClient, app: MockApp
) -> None:
    before = app.control.snapshot()
    people = [{"name": "ada", "token": "hush"}, {"name": "bob", "token": "hush"}]
    response = await client.put(f"{API}/snapshot", json={"personas": people})
    (error,) = response.json()["detail"]
    assert error["loc"] == ["body", "personas", 1, "token"]
    assert error["msg"] == "is the same as personas[0].token; expected a unique token"
    assert app.control.snapshot() == before


async def test_a_snapshot_of_settings_that_share_a_token_can_be_loaded_again() -> None:
    app = create_app(MockSettings(access_token_value="mock-guest-token"))
    exported = app.control.snapshot().model_dump(mode="json")
    async with AsyncClient(transport=ASGITransport(app=app, client=("127.0.0.1", 1))) as client:
        assert (await client.put(f"{API}/snapshot", json=exported)).status_code == 204
