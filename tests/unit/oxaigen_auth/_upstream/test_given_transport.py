"""`ProxyAuthClient(transport=…)` sends its calls through a transport that a user made."""

from __future__ import annotations

import logging
import re
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import TYPE_CHECKING, Any

import anyio
import httpx as old_httpx
import pytest

from oxaigen_auth import (
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)

# The library in use, whichever is installed, and the certificates of the SDK's own transports.
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._upstream.proxy import default_ssl_context
from oxaigen_auth._upstream.response import MAX_BODY
from oxaigen_auth_mock import MockSettings, create_app
from tests.support.raw_server import PROFILE, answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "https://app.example.com"
TOKEN = "a-token-of-this-file"

pytestmark = pytest.mark.anyio


def client_of(handler: Callable[[Any], Any], **settings: Any) -> ProxyAuthClient:
    transport = httpx.MockTransport(handler)
    return ProxyAuthClient(BASE, settings=OxaigenAuthSettings(**settings), transport=transport)


async def test_a_handler_answers_the_calls(caplog: pytest.LogCaptureFixture) -> None:
    requests: list[Any] = []

    def handle(request: Any) -> Any:
        requests.append(request)
        return httpx.Response(200, content=PROFILE if request.method == "GET" else b"true")

    async with client_of(handle) as client:
        assert await client.test_permission(TOKEN, "audit")
    assert [str(request.url) for request in requests] == [
        f"{BASE}/_oxa_auth/get-me",
        f"{BASE}/_oxa_auth/test-app-permission/audit",
    ]
    assert requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert client.stats().upstream_calls == 2
    assert not [it for it in caplog.records if it.levelno >= logging.WARNING]


async def test_the_mock_answers_the_calls_without_a_socket() -> None:
    transport = httpx.ASGITransport(create_app(MockSettings()))
    async with ProxyAuthClient("http://127.0.0.1", transport=transport) as client:
        assert (await client.get_me("mock-dev-token")).user_name == "devuser"
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me("other")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (307, {"Location": "https://elsewhere.example.com"}, b""),
        (200, {}, b" " * (MAX_BODY + 1)),
        (200, {}, b"{}"),
        (200, {"X-Oxaigen-Mock": "1"}, PROFILE),
    ],
    ids=["a redirect", "a body that is too large", "no profile", "a mock in production"],
)
async def test_the_limits_are_the_usual_ones(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    def handle(_: Any) -> Any:
        return httpx.Response(status, headers=headers, content=body)

    async with client_of(handle, environment="production") as client:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)
        assert client.stats().upstream_calls == 1


async def test_the_timeout_is_the_usual_one() -> None:
    async def handle(_: Any) -> Any:
        await anyio.sleep_forever()

    async with client_of(handle, proxy_timeout_seconds=0.05) as client:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)


@pytest.mark.parametrize("error", ["ReadError", "RemoteProtocolError", "ConnectError"])
async def test_a_call_that_fails_is_not_repeated(error: str) -> None:
    def handle(_: Any) -> Any:
        raise getattr(httpx, error)("Server disconnected")

    async with client_of(handle) as client:
        with pytest.raises(OxaigenAuthUpstreamError):
            await client.get_me(TOKEN)
        assert client.stats().upstream_calls == 1


class ClosableTransport(httpx.AsyncHTTPTransport):
    closed = False

    async def aclose(self) -> None:
        self.closed = True
        await super().aclose()


async def test_the_client_leaves_a_transport_open_and_keeps_no_connection_of_it() -> None:
    async def respond(_: bytes) -> bytes:
        return answer(200, PROFILE)

    transport = ClosableTransport()
    async with serving(respond) as server:
        for _ in range(2):
            async with ProxyAuthClient(server.url, transport=transport) as client:
                await client.get_me(TOKEN)
                await client.get_me(TOKEN, fresh=True)
        assert all(b"connection: close" in request.lower() for request in server.requests)
    assert len(server.requests) == 4
    assert not transport.closed
    await transport.aclose()


async def test_no_certificates_are_read_for_a_transport_that_has_its_own() -> None:
    default_ssl_context.cache_clear()
    async with client_of(lambda _: httpx.Response(200)):
        assert default_ssl_context.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("transport", "given"),
    [
        (httpx.HTTPTransport, f"{httpx.__name__}.HTTPTransport"),
        (httpx.AsyncHTTPTransport, f"{httpx.__name__}.AsyncHTTPTransport"),
        (create_app(MockSettings()), "oxaigen_auth_mock.app.MockApp"),
        ("https://app.example.com", "builtins.str"),
    ],
)
def test_what_is_no_transport_is_an_error_that_says_what_to_write(
    transport: Any, given: str
) -> None:
    library = httpx.__name__
    message = f"not {given}: write {library}.MockTransport(handler), or {library}.ASGITransport"
    with pytest.raises(TypeError, match=re.escape(message)):
        ProxyAuthClient(BASE, transport=transport)


@pytest.mark.skipif(httpx.__name__ == "httpx", reason="needs httpx2")
def test_a_transport_of_the_library_that_is_not_in_use_is_refused() -> None:
    transport = old_httpx.MockTransport(lambda _: old_httpx.Response(200))
    message = "of httpx2, not httpx.MockTransport: write httpx2.MockTransport"
    with pytest.raises(TypeError, match=message):
        ProxyAuthClient(BASE, transport=transport)


def test_certificates_belong_to_the_transport() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    with pytest.raises(TypeError, match=r"AsyncHTTPTransport\(verify=…\)"):
        ProxyAuthClient(BASE, transport=transport, ssl_context=context)
