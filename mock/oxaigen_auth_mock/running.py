"""A mock for tests: on a real socket, for as long as a block runs."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager

from attrs import define, field

from oxaigen_auth_mock.app import create_app
from oxaigen_auth_mock.control import MockControl
from oxaigen_auth_mock.personas import Persona
from oxaigen_auth_mock.serving import listen, serving
from oxaigen_auth_mock.settings import MockSettings


@define(eq=False)
class RunningMock(MockControl):
    """The handle of a mock that is served at `url`, which has no slash at its end."""

    url: str = field(kw_only=True)


@asynccontextmanager
async def running_mock(
    settings: MockSettings | None = None,
    *,
    personas: Iterable[Persona] = (),
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[RunningMock]:
    """Serve a mock on a free port of this machine, on the event loop that runs.

    Unlike `create_app` it does not read the environment. Calls that still run at the end of the
    block get half a second to finish.

    Args:
        settings: None for the defaults; `host` and `port` do not count.
        personas: whom it knows besides the built-in ones.
        clock: gives Unix time in seconds; what signing in hands out ages by it.

    >>> import anyio, httpx
    >>> async def ask_twice():
    ...     async with running_mock() as mock, httpx.AsyncClient(base_url=mock.url) as client:
    ...         ask = {"Authorization": "Bearer mock-dev-token"}
    ...         before = await client.get("/_oxa_auth/get-me", headers=ask)
    ...         mock.revoke("mock-dev-token")
    ...         after = await client.get("/_oxa_auth/get-me", headers=ask)
    ...         return before.status_code, after.status_code, len(mock.calls(endpoint="get-me"))
    >>> anyio.run(ask_twice, backend="trio")
    (200, 401, 2)
    """
    app = create_app(settings or MockSettings(), personas=personas, clock=clock)
    async with serving(app, listen()) as url:
        yield RunningMock(app.proxy, url=url)
