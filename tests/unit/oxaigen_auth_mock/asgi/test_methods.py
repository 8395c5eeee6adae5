from collections.abc import MutableMapping
from typing import Any

import pytest
from anyio import fail_after, sleep_forever
from httpx import ASGITransport, AsyncClient, RemoteProtocolError

from oxaigen_auth_mock import MockApp, MockSettings, Persona, create_app, running_mock
from oxaigen_auth_mock.asgi.middleware import outer_middleware
from oxaigen_auth_mock.personas.store import PersonaStore

pytestmark = pytest.mark.anyio

ME = "/_oxa_auth/get-me"
PROFILE_LENGTH = str(len(PersonaStore(MockSettings()).profile(Persona(name="devuser"))))
DEV = {"Authorization": "Bearer mock-dev-token"}
GETS = (
    "/", "/health", "/_mock", "/_mock/", "/_mock/assets/api.js", ME, "/_oxa_auth/login",
    "/_oxa_auth/mock-authorize", "/_oxa_auth/callback", "/_mock/api/faults", "/_mock/api/calls",
    "/_mock/api/journal", "/_mock/api/snapshot", "/_mock/api/openapi.json",
)  # fmt: skip


@pytest.fixture
def app() -> MockApp:
    return create_app(MockSettings(), clock=lambda: 1000.0)


@pytest.fixture
def client(app: MockApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://mock", headers=DEV)


@pytest.mark.parametrize("path", GETS)
async def test_pitfall_59_head_is_get_without_the_body(client: AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    names = ("Content-Length", "Content-Type", "Cache-Control", "Location", "X-Oxaigen-Mock")
    assert [head.headers.get(name) for name in names] == [get.headers.get(name) for name in names]
    assert int(get.headers["Content-Length"]) == len(get.content)


async def test_pitfall_59_head_of_a_stream_of_events_ends() -> None:
    async with running_mock() as mock, AsyncClient(base_url=mock.url) as client:
        with fail_after(5):
            answer = await client.head("/_mock/api/events")
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/health", "GET, HEAD"),
        (ME, "GET, HEAD"),
        ("/_oxa_auth/logout", "POST"),
        ("/_oxa_auth/test-app-permission/audit", "POST"),
        ("/_mock/api/faults", "GET, HEAD, POST, PUT, DELETE"),
        ("/_mock/api/personas", "POST, PUT"),
        ("/_mock/api/faults/1", "DELETE"),
    ],
)
async def test_pitfall_59_what_a_path_does_not_have_is_405_with_all_that_it_has(
    client: AsyncClient, path: str, allowed: str
) -> None:
    answers = [await client.request(method, path) for method in ("PATCH", "OPTIONS", "TRACE")]
    if "HEAD" not in allowed:
        answers.append(await client.head(path))
    assert {(answer.status_code, answer.headers["Allow"]) for answer in answers} == {(405, allowed)}
    assert answers[0].json() == {"detail": "Method Not Allowed"}


async def test_a_head_is_recorded_and_counted_like_a_get(client: AsyncClient, app: MockApp) -> None:
    assert (await client.head(ME)).status_code == 200
    assert (await client.head(ME, headers={"Authorization": "Bearer x"})).status_code == 401
    calls = app.control.calls(endpoint="get-me")
    assert [(call.status, call.verdict) for call in calls] == [(200, "accepted"), (401, "rejected")]
    assert (await client.get("/_mock/api/calls")).json()["total"] == 2


@pytest.mark.parametrize(
    ("kind", "fields", "status", "length"),
    [
        ("status", {"status": 503}, 503, "33"),
        ("drip", {"seconds": 3600}, 200, PROFILE_LENGTH),
        ("oversized", {"size": 4096}, 200, "4096"),
        ("gzip-bomb", {}, 200, None),
        ("truncated-json", {}, 200, PROFILE_LENGTH),
    ],
)
async def test_a_fault_answers_a_head_without_a_body(
    kind: str, fields: dict[str, Any], status: int, length: str | None
) -> None:
    async with running_mock() as mock, AsyncClient(base_url=mock.url, headers=DEV) as client:
        mock.fault(kind, **fields)
        with fail_after(5):
            answer = await client.head(ME)
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers.get("Content-Length") == length
        mock.replace_faults()
        async with AsyncClient(base_url=mock.url) as other:  # the connection may be closing
            assert (await other.get(ME, headers=DEV)).status_code == 200


async def test_a_fault_can_close_the_connection_of_a_head() -> None:
    async with running_mock() as mock, AsyncClient(base_url=mock.url) as client:
        mock.fault("close")
        with pytest.raises(RemoteProtocolError):
            await client.head(ME)


async def test_the_body_of_an_answer_to_head_is_dropped() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["method"] == "GET"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"x", "more_body": more})

    never: Any = sleep_forever
    scope: dict[str, Any] = {"type": "http", "method": "HEAD", "headers": [], "client": None}
    await outer_middleware(app, allow_remote=False)(scope, never, send)
    assert [(each["type"], each.get("body"), each.get("more_body")) for each in sent] == [
        ("http.response.start", None, None),
        ("http.response.body", b"", False),
    ]
    assert scope["method"] == "HEAD"
