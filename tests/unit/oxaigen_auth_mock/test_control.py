from collections.abc import Callable
from typing import Any

import anyio
import pytest
from httpx import ASGITransport, AsyncClient, Response
from pydantic import ValidationError

from oxaigen_auth_mock import (
    MockApp,
    MockSettings,
    Persona,
    Snapshot,
    TokenTakenError,
    UnknownPersonaError,
    create_app,
)
from oxaigen_auth_mock.faults.kinds import Hang
from oxaigen_auth_mock.journal.counts import fingerprint

pytestmark = pytest.mark.anyio

API = "/_mock/api"
ME = "/_oxa_auth/get-me"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


DEV = bearer("mock-dev-token")
GUEST = bearer("mock-guest-token")


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings(), clock=lambda: 1000.0)


@pytest.fixture
def client(app: MockApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://mock")


Ask = Callable[..., Any]


async def status(client: AsyncClient, token: str = "mock-dev-token") -> int:
    return (await client.get(ME, headers=bearer(token))).status_code


def paths(response: Response) -> list[list[str | int]]:
    assert response.status_code == 422
    return [mistake["loc"] for mistake in response.json()["detail"]]


async def test_a_persona_that_is_added_can_call_at_once(client: AsyncClient) -> None:
    ada = {"name": "ada", "token": "t", "permissions": ["audit"], "extra": {"floor": 3}}
    response = await client.put(f"{API}/personas", json=ada)
    assert (response.status_code, response.json()["name"]) == (200, "ada")
    me = (await client.get(ME, headers=bearer("t"))).json()
    assert (me["user_name"], me["floor"]) == ("ada", 3)


async def test_putting_a_persona_again_changes_it(client: AsyncClient) -> None:
    await client.put(f"{API}/personas", json={"name": "ada", "token": "t"})
    await client.put(f"{API}/personas", json={"name": "ada", "token": "t", "state": "rejected"})
    assert await status(client, "t") == 401
    state = (await client.get(f"{API}/state")).json()
    assert [each["name"] for each in state["personas"]].count("ada") == 1


async def test_adding_a_persona_replaces_none(client: AsyncClient, app: MockApp) -> None:
    before = app.control.snapshot()
    for body, field, words in (
        ({"name": " guest "}, "name", "a persona called 'guest' already exists"),
        ({"name": "guest", "token": "t"}, "name", "a persona called 'guest' already exists"),
        ({"name": "ada", "token": "mock-guest-token"}, "token", "'guest' already has the token"),
        ({"name": "ada", "token": "mock-dev-token"}, "token", "'devuser' already has the token"),
    ):
        response = await client.post(f"{API}/personas", json=body)
        assert (response.status_code, response.json()["field"]) == (409, field)
        assert words in response.json()["detail"]
        assert app.control.snapshot() == before
    added = await client.post(f"{API}/personas", json={"name": "ada", "token": "t"})
    assert (added.status_code, added.json()["name"]) == (201, "ada")
    assert await status(client, "t") == 200


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("ok", (200, None)),
        ("rejected", (401, "Invalid token")),
        ("expired", (401, "Token expired")),
        ("not-allowed", (403, "Not allowed for this application.")),
    ],
)
async def test_a_state_determines_the_answer_to_the_token(
    client: AsyncClient, state: str, expected: tuple[int, str | None]
) -> None:
    await client.put(f"{API}/personas", json={"name": "ada", "token": "t", "state": state})
    response = await client.get(ME, headers=bearer("t"))
    assert (response.status_code, response.json().get("detail")) == expected


async def test_two_personas_cannot_have_one_token(client: AsyncClient) -> None:
    response = await client.put(
        f"{API}/personas", json={"name": "ada", "token": "mock-guest-token"}
    )
    assert (response.status_code, response.json()["field"]) == (409, "token")
    assert "'guest' already has the token of 'ada'" in response.json()["detail"]


async def test_a_persona_that_is_deleted_is_unknown(client: AsyncClient) -> None:
    await client.put(f"{API}/personas", json={"name": "a/b <i>", "token": "t"})
    deleted = await client.delete(f"{API}/personas/a%2Fb%20%3Ci%3E")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert await status(client, "t") == 401
    again = await client.delete(f"{API}/personas/nobody")
    assert (again.status_code, again.json()) == (404, {"detail": "no persona is called 'nobody'"})


async def test_a_permission_is_flipped_in_checks_and_in_the_profile(client: AsyncClient) -> None:
    async def check() -> tuple[int, list[str]]:
        permission = await client.post("/_oxa_auth/test-app-permission/export", headers=DEV)
        profile = (await client.get(ME, headers=DEV)).json()
        return permission.status_code, [each["name"] for each in profile["workspace_permissions"]]

    assert await check() == (403, ["audit"])
    flip = {"persona": "devuser", "permission": "Export"}
    await client.put(f"{API}/permissions", json={**flip, "granted": True})
    await client.put(f"{API}/permissions", json={**flip, "granted": True})
    assert await check() == (200, ["audit", "export"])
    flip["permission"] = "EXPORT"
    answer = await client.put(f"{API}/permissions", json={**flip, "granted": False})
    assert answer.json()["permissions"] == ["audit"]
    assert await check() == (403, ["audit"])


async def test_permissions_of_an_unknown_persona_are_not_found(client: AsyncClient) -> None:
    body = {"persona": "nobody", "permission": "x", "granted": True}
    assert (await client.put(f"{API}/permissions", json=body)).status_code == 404


async def test_a_token_is_revoked_and_restored_by_itself_or_by_its_fingerprint(
    client: AsyncClient,
) -> None:
    name = fingerprint("mock-dev-token")
    for body in ({"token": "mock-dev-token"}, {"fingerprint": name}):
        assert (await client.post(f"{API}/revocations", json=body)).status_code == 204
        assert await status(client) == 401
        assert (await client.get(f"{API}/state")).json()["revoked"] == [name]
        assert (await client.delete(f"{API}/revocations/{name}")).status_code == 204
        assert await status(client) == 200
    assert await status(client, "mock-guest-token") == 200


async def test_the_next_sign_in_must_be_an_existing_persona(
    client: AsyncClient, app: MockApp
) -> None:
    for name in ("guest", "deny", None):
        response = await client.put(f"{API}/auto-login", json={"persona": name})
        assert (response.status_code, app.mock_state.auto_login) == (204, name)
    response = await client.put(f"{API}/auto-login", json={"persona": "nobody"})
    assert (response.status_code, app.mock_state.auto_login) == (404, None)


async def test_the_clock_moves_forth_and_back(client: AsyncClient) -> None:
    await client.post(f"{API}/clock", json={"advance": 90})
    await client.post(f"{API}/clock", json={"advance": -30.5})
    state = (await client.get(f"{API}/state")).json()
    assert state["clock"] == {"now": 1059.5, "offset": 59.5}


async def test_a_fault_is_added_applied_and_removed(client: AsyncClient) -> None:
    fault = {"kind": "status", "status": 503, "endpoint": "get-me", "every": 2}
    placed = await client.post(f"{API}/faults", json=fault)
    assert (placed.status_code, placed.json()) == (201, {"id": 1})
    assert [await status(client) for _ in range(4)] == [200, 503, 200, 503]
    (listed,) = (await client.get(f"{API}/faults")).json()
    assert (listed["id"], listed["matched"], listed["hits"]) == (1, 4, 2)
    assert (await client.delete(f"{API}/faults/1")).status_code == 204
    assert [await status(client) for _ in range(2)] == [200, 200]
    gone = await client.delete(f"{API}/faults/1")
    assert (gone.status_code, gone.json()) == (404, {"detail": "There is no fault 1."})


async def test_a_plan_replaces_all_faults_and_clearing_removes_them(
    client: AsyncClient,
) -> None:
    await client.post(f"{API}/faults", json={"kind": "status", "status": 500})
    plan = [{"kind": "status", "status": 502, "times": 1}, {"kind": "html"}]
    assert (await client.put(f"{API}/faults", json=plan)).status_code == 204
    assert await status(client) == 502
    assert (await client.get(ME, headers=DEV)).headers["Content-Type"].startswith("text/html")
    assert (await client.delete(f"{API}/faults")).status_code == 204
    assert await status(client) == 200


async def test_a_fault_can_be_limited_to_a_persona(client: AsyncClient) -> None:
    fault = {"kind": "status", "status": 500, "persona": "guest"}
    await client.post(f"{API}/faults", json=fault)
    assert await status(client, "mock-guest-token") == 500
    assert await status(client) == 200


UNKNOWN = (
    "no persona is called 'gest'; there are devuser, guest, user, admin; did you mean 'guest'?"
)
GEST = {"kind": "hang", "persona": "gest"}


@pytest.mark.parametrize(
    ("call", "body", "where", "words"),
    [
        ("POST /faults", GEST, ["body", "hang", "persona"], UNKNOWN),
        ("PUT /faults", [{"kind": "html"}, GEST], ["body", 1, "hang", "persona"], UNKNOWN),
        (
            "PUT /snapshot",
            {"personas": [{"name": "ada"}], "faults": [GEST]},
            ["body"],
            "faults[0].persona: no persona is called 'gest'; there are ada",
        ),
        (
            "PUT /snapshot",
            {"personas": [], "faults": [GEST]},
            ["body"],
            "faults[0].persona: no persona is called 'gest'; there are none",
        ),
    ],
)
async def test_a_fault_for_an_unknown_persona_is_refused_and_changes_nothing(
    client: AsyncClient, call: str, body: Any, where: list[str | int], words: str
) -> None:
    await client.post(f"{API}/faults", json={"kind": "html", "persona": "guest"})
    before = (await client.get(f"{API}/snapshot")).json()
    method, path = call.split()
    response = await client.request(method, API + path, json=body)
    assert paths(response) == [where]
    assert words in response.json()["detail"][0]["msg"]
    assert (await client.get(f"{API}/snapshot")).json() == before


def test_the_handle_refuses_a_fault_for_an_unknown_persona(app: MockApp) -> None:
    with pytest.raises(UnknownPersonaError, match="did you mean 'guest'"):
        app.control.fault("hang", persona="gest")
    with pytest.raises(UnknownPersonaError, match="did you mean 'guest'"):
        app.control.replace_faults([Hang(), Hang(persona="gest")])
    assert app.control.snapshot().faults == []


async def test_deleting_a_persona_removes_its_faults(client: AsyncClient, app: MockApp) -> None:
    for name in ("guest", None, "admin", "guest"):
        app.control.fault("html", persona=name)
    await client.delete(f"{API}/personas/guest")
    assert [fault["id"] for fault in (await client.get(f"{API}/faults")).json()] == [2, 3]
    exported = (await client.get(f"{API}/snapshot")).json()
    assert (await client.put(f"{API}/snapshot", json=exported)).status_code == 204


async def test_a_fault_shows_in_the_journal(client: AsyncClient, app: MockApp) -> None:
    app.control.fault("status", status=503, retry_after=5)
    await client.get(ME, headers=DEV)
    (call,) = app.control.calls()
    assert (call.status, call.verdict, call.fault) == (503, "failed", "503, Retry-After 5")


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("PUT", "/personas", {"token": "t"}, ["body", "name"]),
        ("PUT", "/personas", {"name": "ada", "state": "sleepy"}, ["body", "state"]),
        ("PUT", "/personas", {"name": "a", "permissions": ["a b"]}, ["body", "permissions", 0]),
        ("PUT", "/permissions", {"persona": "a", "permission": "x"}, ["body", "granted"]),
        ("PUT", "/auto-login", {}, ["body", "persona"]),
        ("POST", "/revocations", {}, ["body"]),
        ("POST", "/revocations", {"token": "t", "fingerprint": "8b6eec6e51ae"}, ["body"]),
        ("POST", "/revocations", {"fingerprint": "xyz"}, ["body", "fingerprint"]),
        ("POST", "/clock", {"advance": "soon"}, ["body", "advance"]),
        ("POST", "/clock", {"move": 3}, ["body", "advance"]),
        ("POST", "/faults", {"kind": "nonsense"}, ["body"]),
        ("POST", "/faults", {"kind": "status", "status": 42}, ["body", "status", "status"]),
        ("PUT", "/faults", [{"kind": "html", "every": 0}], ["body", 0, "html", "every"]),
        ("PUT", "/snapshot", {"personas": [{}]}, ["body", "personas", 0, "name"]),
    ],
)
async def test_a_body_of_the_wrong_shape_is_refused_with_the_path(
    client: AsyncClient, method: str, path: str, body: Any, where: list[str | int]
) -> None:
    assert where in paths(await client.request(method, API + path, json=body))


NO_NUMBERS = ("true", "false", '"1"', "null", "[]", "NaN", "Infinity", "-Infinity", "1e999")
ISSUED = '{"kind": "code", "value": "v", "session": "s", "persona": "ada", "ends": NUMBER}'


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("POST /clock", '{"advance": NUMBER}'),
        ("PUT /personas", '{"name": "ada", "delay": NUMBER}'),
        ("POST /personas", '{"name": "ada", "delay": NUMBER}'),
        ("PUT /personas", '{"name": "ada", "id": [NUMBER]}'),
        ("POST /faults", '{"kind": "status", "status": NUMBER}'),
        ("POST /faults", '{"kind": "latency", "distribution": "fixed", "seconds": NUMBER}'),
        ("POST /faults", '{"kind": "html", "probability": NUMBER}'),
        ("PUT /faults", '[{"kind": "html", "every": NUMBER}]'),
        ("PUT /snapshot", '{"personas": [], "clock_offset": NUMBER}'),
        ("PUT /snapshot", f'{{"personas": [], "issued": [{ISSUED}]}}'),
    ],
)
async def test_values_that_look_like_numbers_are_refused(
    client: AsyncClient, number: str, call: str, body: str
) -> None:
    before = (await client.get(f"{API}/snapshot")).json()
    method, path = call.split()
    headers = {"Content-Type": "application/json"}
    content = body.replace("NUMBER", number)
    response = await client.request(method, API + path, content=content, headers=headers)
    assert paths(response)[0][0] == "body"
    assert (await client.get(f"{API}/snapshot")).json() == before


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("PUT /personas", {"name": "ada", "id": True}),
        ("PUT /personas", {"name": "ada", "id": "7"}),
        ("PUT /personas", {"name": "ada", "id": 7.5}),
        ("PUT /personas", {"name": "ada", "id": -7}),
        ("PUT /personas", {"name": "ada", "delay": -1}),
        ("PUT /personas", {"name": "ada", "delay": 10**400}),
        ("PUT /personas", {"name": "ada", "enabled": 1}),
        ("PUT /personas", {"name": "ada", "enabled": "yes"}),
        ("PUT /personas", {"name": 7}),
        ("PUT /permissions", {"persona": "guest", "permission": "x", "granted": "yes"}),
        ("PUT /permissions", {"persona": "guest", "permission": "x", "granted": 1}),
        ("PUT /auto-login", {"persona": False}),
        ("POST /clock", {"advance": 10**400}),
        ("POST /faults", {"kind": "html", "times": True}),
        ("POST /faults", {"kind": "html", "times": -1}),
        ("POST /faults", {"kind": "html", "persona": True}),
        ("POST /revocations", {"token": 1}),
    ],
)
async def test_values_of_another_type_are_refused(
    client: AsyncClient, call: str, body: dict[str, Any]
) -> None:
    before = (await client.get(f"{API}/snapshot")).json()
    method, path = call.split()
    assert paths(await client.request(method, API + path, json=body))[0][0] == "body"
    assert (await client.get(f"{API}/snapshot")).json() == before


@pytest.mark.parametrize("seconds", [True, "5", None, float("nan"), float("inf"), 2e9])
def test_the_clock_is_moved_by_numbers_alone(app: MockApp, seconds: Any) -> None:
    with pytest.raises(ValidationError):
        app.control.advance(seconds)
    assert app.mock_state.clock.offset == 0


@pytest.mark.parametrize("body", [b'{"advance": NaN}', b'{"\\ud800": "\\ud800"}'])
async def test_values_that_json_cannot_represent_are_not_repeated_in_the_error(
    client: AsyncClient, body: bytes
) -> None:
    response = await client.post(
        f"{API}/clock", content=body, headers={"Content-Type": "application/json"}
    )
    assert paths(response)[0][0] == "body"


async def test_calls_are_listed_with_a_fingerprint_and_cleared(
    client: AsyncClient, app: MockApp
) -> None:
    await client.get(ME, headers={**DEV, "User-Agent": "mine/1.0"})
    await client.post("/_oxa_auth/test-app-permission/x", headers=GUEST)
    response = await client.get(f"{API}/journal")
    assert "mock-dev-token" not in response.text
    first, second = response.json()
    assert first == {
        "number": 1,
        "at": 1000.0,
        "warning": None,
        "endpoint": "get-me",
        "token": "8b6eec6e51ae",
        "persona": "devuser",
        "user_agent": "mine/1.0",
        "status": 200,
        "verdict": "accepted",
        "fault": None,
        "seconds": pytest.approx(0, abs=1),
    }
    assert (second["persona"], second["verdict"]) == ("guest", "denied")
    assert [call.number for call in app.control.calls(endpoint="get-me")] == [1]
    assert [call.number for call in app.control.calls(persona="guest")] == [2]
    assert [call.number for call in app.control.calls(token="mock-guest-token")] == [2]
    await client.delete(f"{API}/calls")
    assert app.control.calls() == ()
    assert (await client.get(f"{API}/calls")).json()["total"] == 0


async def test_the_journal_forgets_the_oldest_calls(client: AsyncClient, app: MockApp) -> None:
    for _ in range(1001):
        await client.get(ME)
    calls = app.control.calls()
    assert (len(calls), calls[0].number, app.mock_state.journal.oldest) == (1000, 2, 2)


async def test_a_snapshot_restores_everything_in_another_mock(
    client: AsyncClient, app: MockApp
) -> None:
    app.control.put(Persona(name="ada", token="t"))
    app.control.remove("guest")
    app.control.revoke("mock-dev-token")
    app.control.fault("status", status=418, persona="ada")
    app.control.sign_in_as("ada")
    app.control.advance(5)
    exported = (await client.get(f"{API}/snapshot")).json()
    other = create_app(MockSettings())
    async with AsyncClient(transport=ASGITransport(other), base_url="http://mock") as visitor:
        assert (await visitor.put(f"{API}/snapshot", json=exported)).status_code == 204
        assert (await visitor.get(f"{API}/snapshot")).json() == exported
        assert await status(visitor, "mock-guest-token") == 401
        assert await status(visitor) == 401
        assert await status(visitor, "t") == 418


async def test_a_reset_undoes_everything(client: AsyncClient, app: MockApp) -> None:
    before = (await client.get(f"{API}/snapshot")).json()
    app.control.put(Persona(name="ada"))
    app.control.revoke("mock-dev-token")
    app.control.fault("html")
    app.control.sign_in_as("deny")
    app.control.advance(5)
    await client.get(ME, headers=DEV)
    assert (await client.post(f"{API}/reset")).status_code == 204
    assert (await client.get(f"{API}/snapshot")).json() == before
    assert app.control.calls() == ()
    assert await status(client) == 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"personas": [Persona(name="a"), Persona(name="a")]}, "same name: a"),
        ({"personas": [], "auto_login": "a"}, "auto_login is 'a'"),
    ],
)
def test_a_snapshot_that_contradicts_itself_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Snapshot(**fields)


def test_the_handle_raises_for_unknown_personas_taken_tokens_and_invalid_faults(
    app: MockApp,
) -> None:
    with pytest.raises(UnknownPersonaError, match="'nobody'"):
        app.control.permit("nobody", "audit")
    with pytest.raises(TokenTakenError):
        app.control.put(Persona(name="ada", token="mock-dev-token"))
    with pytest.raises(ValidationError):
        app.control.fault("nonsense")
    assert not app.control.remove_fault(7)


def test_the_handle_restores_what_it_revoked(app: MockApp) -> None:
    app.control.revoke("mock-dev-token")
    assert app.mock_state.is_revoked("mock-dev-token")
    app.control.restore("mock-dev-token")
    assert not app.mock_state.is_revoked("mock-dev-token")


def test_without_personas_there_is_no_default_sign_in(app: MockApp) -> None:
    app.control.load(Snapshot(personas=[]))
    assert anyio.run(_default_of, app) is None


async def _default_of(app: MockApp) -> Any:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        return (await client.get(f"{API}/state")).json()["default"]


async def test_deleting_the_persona_of_the_automatic_sign_in_switches_it_off(
    client: AsyncClient, app: MockApp
) -> None:
    app.control.sign_in_as("guest")
    await client.delete(f"{API}/personas/user")
    assert app.mock_state.auto_login == "guest"
    await client.delete(f"{API}/personas/guest")
    assert (await client.get(f"{API}/snapshot")).json()["auto_login"] is None


@pytest.mark.parametrize("path", ["/state", "/snapshot", "/journal"])
async def test_a_host_name_that_resolves_to_the_mock_does_not_control_it(
    client: AsyncClient, path: str
) -> None:
    site = {"Host": "rebound.example:8765"}
    response = await client.get(API + path, headers=site)
    assert response.status_code == 403
    assert response.json()["detail"].startswith("rebound.example may not control this mock")
    own = {**site, "Origin": "http://rebound.example:8765"}
    assert (await client.post(f"{API}/reset", headers=own)).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "[::1]:8765", "localhost", "mock.localhost"])
async def test_the_mock_is_controlled_by_its_address_and_by_local_names(
    client: AsyncClient, host: str
) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert (await client.post(f"{API}/reset", headers=headers)).status_code == 204


@pytest.mark.parametrize("settings", [{"host": "mock.test"}, {"allow_remote": True}])
async def test_the_mock_is_controlled_by_the_name_it_was_given(settings: dict[str, Any]) -> None:
    app = create_app(MockSettings(**settings))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock.test") as visitor:
        assert (await visitor.get(f"{API}/state")).status_code == 200


@pytest.mark.parametrize("path", ["/state", "/snapshot", "/journal", "/events"])
async def test_pages_of_other_origins_may_not_read(client: AsyncClient, path: str) -> None:
    response = await client.get(API + path, headers={"Origin": "http://evil.example"})
    assert response.status_code == 403
    assert response.json()["detail"].startswith("Pages of http://evil.example may not control")
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://mock"])
async def test_pages_of_other_origins_may_not_change_anything(
    client: AsyncClient, app: MockApp, origin: str
) -> None:
    app.control.revoke("mock-dev-token")
    response = await client.post(f"{API}/reset", headers={"Origin": origin})
    assert response.status_code == 403
    assert app.mock_state.revoked


async def test_the_mocks_own_page_and_listed_origins_may_read_and_change(
    client: AsyncClient,
) -> None:
    own = await client.post(f"{API}/reset", headers={"Origin": "http://mock"})
    assert own.status_code == 204
    listed = create_app(MockSettings(cors_origins=("http://tests.example",)))
    async with AsyncClient(transport=ASGITransport(listed), base_url="http://mock") as visitor:
        headers = {"Origin": "http://tests.example"}
        reset = await visitor.post(f"{API}/reset", headers=headers)
        assert reset.status_code == 204
        assert reset.headers["Access-Control-Allow-Origin"] == "http://tests.example"
        asked = {**headers, "Access-Control-Request-Method": "PUT"}
        assert (await visitor.options(f"{API}/faults", headers=asked)).status_code == 200
