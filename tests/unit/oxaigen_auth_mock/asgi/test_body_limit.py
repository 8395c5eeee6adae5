"""Bodies are limited while they are read: called in the process, which shows how much was read."""

from collections.abc import AsyncIterator, Callable

import pytest
from anyio import fail_after
from httpx import ASGITransport, AsyncByteStream, AsyncClient, Request, Response

from oxaigen_auth_mock import MockSettings, Persona, create_app
from oxaigen_auth_mock.asgi.body_limit import MAX_BODY, MAX_CONTROL_BODY
from tests.support.virtual_time import anyio_backend as anyio_backend  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.anyio

Mock = Callable[..., AsyncClient]
CHUNK = 2**16
ENDLESS = 2**40
EXCHANGE = "/_oxa_auth/token-exchange"


class Body(AsyncByteStream):
    """A chunked body of spaces, which counts what was read of it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.read = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.read >= self.size:
            raise StopAsyncIteration
        self.read += CHUNK
        return b" " * CHUNK


async def send(client: AsyncClient, method: str, path: str, body: Body, **headers: str) -> Response:
    fields = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    return await client.send(Request(method, f"http://mock{path}", headers=fields, stream=body))


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", EXCHANGE, MAX_BODY),
        ("POST", "/_mock/api/personas", MAX_CONTROL_BODY),
        ("PUT", "/_mock/api/snapshot", MAX_CONTROL_BODY),
    ],
)
async def test_an_endless_body_is_refused_once_the_limit_is_reached(
    mock: Mock, method: str, path: str, limit: int
) -> None:
    body = Body(ENDLESS)
    response = await send(mock(), method, path, body)
    assert response.status_code == 413
    assert response.json() == {"detail": f"The body is larger than {limit // 1024} KiB."}
    assert body.read <= limit + CHUNK


async def test_an_announced_body_is_refused_before_it_is_read(mock: Mock) -> None:
    body = Body(ENDLESS)
    response = await send(mock(), "POST", EXCHANGE, body, Content_Length=str(MAX_BODY + 1))
    assert (response.status_code, body.read) == (413, 0)


@pytest.mark.parametrize("size", ["-1", "x", "²"])
async def test_a_size_that_is_no_number_is_not_relied_on(mock: Mock, size: str) -> None:
    for read, status in ((MAX_BODY, 422), (MAX_BODY + 1, 413)):
        response = await send(mock(), "POST", EXCHANGE, Body(read), Content_Length=size)
        assert response.status_code == status


async def test_a_browser_may_read_the_refusal(mock: Mock) -> None:
    origin = "http://localhost:5173"
    response = await send(mock(), "POST", EXCHANGE, Body(ENDLESS), Origin=origin)
    assert response.status_code == 413
    assert response.headers["access-control-allow-origin"] == origin


async def test_a_fault_and_a_persona_that_never_answers_read_no_more() -> None:
    never = Persona(name="never", token="never", state="never-answers")
    app = create_app(MockSettings(), personas=[never])
    app.control.fault("status", status=503, endpoint="token-exchange")
    client = AsyncClient(transport=ASGITransport(app), base_url="http://mock")
    body, other = Body(ENDLESS), Body(ENDLESS)
    with fail_after(5):
        assert (await send(client, "POST", EXCHANGE, body)).status_code == 413
        path = "/_oxa_auth/test-app-token"
        answer = await send(client, "POST", path, other, Authorization="Bearer never")
        assert answer.status_code == 413
    assert max(body.read, other.read) <= MAX_BODY + CHUNK
    assert [call.status for call in app.control.calls()] == [413, 413]


async def test_a_body_that_nobody_reads_does_not_disturb_a_response_that_has_begun() -> None:
    app = create_app(MockSettings())
    app.control.fault("drip", endpoint="get-me")
    client = AsyncClient(transport=ASGITransport(app), base_url="http://mock")
    path, token = "/_oxa_auth/get-me", "Bearer mock-dev-token"
    response = await send(client, "GET", path, Body(2**20), Authorization=token)
    assert (response.status_code, response.json()["id"]) == (200, 1)
