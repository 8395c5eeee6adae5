"""Mocks for the mock's own tests: called in the process, without a socket."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from oxaigen_auth_mock import MockSettings, create_app
from oxaigen_auth_mock.server.sockets import listen


def ipv6_is_available() -> bool:
    available = False
    with suppress(OSError):
        listen("::1").close()
        available = True
    return available


needs_ipv6 = pytest.mark.skipif(not ipv6_is_available(), reason="this machine has no IPv6")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture
def mock() -> Callable[..., AsyncClient]:
    """Build a client of a new mock that has these settings."""

    def client_of_mock(**settings: Any) -> AsyncClient:
        app = create_app(MockSettings(**settings))
        return AsyncClient(transport=ASGITransport(app), base_url="http://mock")

    return client_of_mock
