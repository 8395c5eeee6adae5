from collections.abc import MutableMapping
from typing import Any

import pytest
from anyio import create_task_group, current_time, move_on_after, sleep_forever
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.asgi.middleware import is_remote
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414

pytestmark = pytest.mark.anyio

ME = "/_oxa_auth/get-me"
DEV = {"Authorization": "Bearer mock-dev-token"}


def visitor(address: str = "127.0.0.1", **settings: Any) -> AsyncClient:
    transport = ASGITransport(create_app(MockSettings(**settings)), client=(address, 1234))
    return AsyncClient(transport=transport, base_url="http://mock")


@pytest.mark.parametrize("path", [ME, "/health", "/_mock/api/state", "/nowhere", "/_oxa_auth/x"])
async def test_every_answer_has_the_mock_header(path: str) -> None:
    async with visitor() as client:
        assert (await client.get(path)).headers.get_list("X-Oxaigen-Mock") == ["1"]
        preflight = {"Origin": "http://a.example", "Access-Control-Request-Method": "GET"}
        answer = await client.options(path, headers=preflight)
        assert answer.headers.get_list("X-Oxaigen-Mock") == ["1"]


async def test_an_answer_of_a_fault_has_the_mock_header() -> None:
    app = create_app(MockSettings())
    app.control.fault("status", status=500)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        response = await client.get(ME, headers={"Origin": "http://a.example"})
    assert (response.status_code, response.headers["X-Oxaigen-Mock"]) == (500, "1")
    assert response.headers["Access-Control-Allow-Origin"] == "http://a.example"


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7", "fe80::1%e0"])
async def test_pitfall_33_another_machine_is_refused_unless_it_is_let_in(address: str) -> None:
    async with visitor(address) as client:
        response = await client.get(ME, headers=DEV)
        assert response.status_code == 403
        assert "--allow-remote" in response.json()["detail"]
        assert response.headers["X-Oxaigen-Mock"] == "1"
        assert (await client.get("/_mock/api/state")).status_code == 403
    async with visitor(address, allow_remote=True) as client:
        assert (await client.get(ME, headers=DEV)).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "client"])
def test_loopback_callers_are_not_other_machines(host: str) -> None:
    assert not is_remote(host)


async def test_any_origin_is_echoed_so_that_its_page_may_send_cookies() -> None:
    async with visitor() as client:
        response = await client.get(ME, headers={"Origin": "http://a.example:5173"})
    assert response.headers["Access-Control-Allow-Origin"] == "http://a.example:5173"
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert response.headers["Vary"] == "Origin"


async def test_a_list_of_origins_keeps_others_out() -> None:
    async with visitor(cors_origins=("http://a.example",)) as client:
        good = await client.get(ME, headers={"Origin": "http://a.example"})
        bad = await client.get(ME, headers={"Origin": "http://b.example"})
    assert good.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert "Access-Control-Allow-Origin" not in bad.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_preflight_is_answered_and_not_recorded(method: str) -> None:
    app = create_app(MockSettings())
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        response = await client.options(
            ME,
            headers={
                "Origin": "http://a.example",
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "Authorization",
            },
        )
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
    assert app.control.calls() == ()


PUBLIC_PAGE = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Private-Network": "true",
}
ALLOW = "Access-Control-Allow-Private-Network"


@pytest.mark.parametrize("path", [ME, "/_mock/api/state"])
async def test_a_public_page_of_a_listed_origin_may_reach_this_machine(path: str) -> None:
    async with visitor(cors_origins=("https://app.example",)) as client:
        answer = await client.options(path, headers=PUBLIC_PAGE)
        assert (answer.status_code, answer.headers[ALLOW]) == (200, "true")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        unasked = {name: text for name, text in PUBLIC_PAGE.items() if "Private" not in name}
        answer = await client.options(path, headers=unasked)
        assert (answer.status_code, answer.headers.get(ALLOW)) == (200, None)


@pytest.mark.parametrize("origins", [("https://other.example",), ("*",)])
async def test_a_public_page_of_another_origin_may_not_reach_this_machine(
    origins: tuple[str, ...],
) -> None:
    async with visitor(cors_origins=origins) as client:
        for path in (ME, "/_mock/api/state"):
            assert ALLOW not in (await client.options(path, headers=PUBLIC_PAGE)).headers


async def test_a_slow_persona_is_answered_after_its_delay() -> None:
    app = create_app(
        MockSettings(), personas=[Persona(name="ada", token="t", state="slow", delay=7)]
    )
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        start = current_time()
        answer = await client.get(ME, headers={"Authorization": "Bearer t"})
    assert answer.status_code == 200
    assert current_time() - start == pytest.approx(7, abs=0.1)
    (call,) = app.control.calls()
    assert call.seconds == pytest.approx(7, abs=0.1)


async def test_a_persona_that_is_never_answered_runs_until_its_caller_leaves() -> None:
    app = create_app(
        MockSettings(), personas=[Persona(name="ada", token="t", state="never-answers")]
    )
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        with move_on_after(60) as patience:
            await client.get(ME, headers={"Authorization": "Bearer t"})
    assert patience.cancelled_caught
    (call,) = app.control.calls()
    assert (call.status, call.verdict) == (None, "no answer")
    assert call.seconds == pytest.approx(60, abs=0.1)


async def test_a_running_call_is_in_the_journal_already() -> None:
    app = create_app(MockSettings(latency=5))
    async with (
        AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client,
        create_task_group() as tasks,
    ):
        tasks.start_soon(lambda: client.get(ME, headers=DEV))
        await app.mock_state.changes.wait_past(0)
        (call,) = app.control.calls()
        assert (call.verdict, call.status, call.seconds) == ("running", None, None)
    assert (call.verdict, call.status) == ("accepted", 200)


@pytest.mark.parametrize(
    ("method", "path", "headers", "verdict"),
    [
        ("GET", "/_oxa_auth/get-me", DEV, "accepted"),
        ("GET", "/_oxa_auth/get-me", {}, "rejected"),
        ("GET", "/_oxa_auth/get-me", {"Authorization": "Bearer no"}, "not allowed"),
        ("POST", "/_oxa_auth/test-app-permission/audit", DEV, "granted"),
        ("POST", "/_oxa_auth/test-app-permission/x", DEV, "denied"),
        ("POST", "/_oxa_auth/test-app-permission/a.b", DEV, "refused"),
    ],
)
async def test_the_journal_shows_the_verdict_of_an_answer(
    method: str, path: str, headers: dict[str, str], verdict: str
) -> None:
    app = create_app(MockSettings(forbidden_token="no"))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://mock") as client:
        await client.request(method, path, headers=headers)
    assert [call.verdict for call in app.control.calls()] == [verdict]


async def test_other_scopes_than_http_pass_without_the_header() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    never: Any = sleep_forever
    scope = {"type": "websocket", "path": ME, "headers": [], "query_string": b"", "root_path": ""}
    await create_app(MockSettings())(scope, never, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
