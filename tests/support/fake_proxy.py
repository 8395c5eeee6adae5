"""The fake of the auth proxy: `proxy.client(…)` in memory, `serving(proxy)` on a socket."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import anyio
import pytest
from attrs import define, field

from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

# The SDK's own reader, so that an answer means the same in memory as on a socket.
from oxaigen_auth._upstream.response import Answer, read_permission, read_user
from oxaigen_auth._validation.verdict import Unavailable
from tests.support.raw_server import PROFILE, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from oxaigen_auth._validation.observer import Observer
    from oxaigen_auth._validation.question import Question, Secret
    from oxaigen_auth._validation.verdict import Verdict
    from tests.support.clock import Clock

BASE = "https://app.example.com"

Reply: TypeAlias = "bytes | Unavailable | Exception | None"


def profile(**fields: object) -> bytes:
    """Return the answer that accepts a token."""
    return answer(200, json.dumps({"is_authenticated": True, **fields}).encode())


def refusal(status: int, detail: object) -> bytes:
    return answer(status, json.dumps({"detail": detail}).encode())


ADA = answer(200, PROFILE)
GRANTED, DENIED = answer(200, b"true"), answer(403)
REVOKED = refusal(401, "Token revoked")
DOWN = answer(503)  # an outage
BROKEN = answer(500)  # unavailable, but no outage: something answers
LATE = Unavailable("there was no answer", is_outage=True, timed_out=True)
MOCKED = Unavailable("a mock", log_level=logging.ERROR)


class Call(NamedTuple):
    """A received request; `endpoint` is `get-me` or `test-app-permission/…`."""

    endpoint: str
    base_url: str
    token: str


@define(eq=False)
class FakeProxy:
    """Answers each call after `delay` seconds, with the reply that is set when the call arrives.

    A reply is a whole HTTP answer. On a socket, None closes the connection. In memory, an exception
    is raised, and an `Unavailable` is returned as it is.
    """

    user: Reply = ADA
    permission: Reply = GRANTED
    delay: float = 0.0
    calls: list[Call] = field(factory=list[Call], repr=False)  # they hold tokens
    opened: int = 0  # connections in memory, one for each client and event loop
    closed: int = 0

    async def respond(self, call: Call) -> bytes | Unavailable | None:
        self.calls.append(call)
        reply = self.user if call.endpoint == "get-me" else self.permission
        await anyio.sleep(self.delay)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def __call__(self, request: bytes) -> Any:
        """Answer a request received over a socket."""
        head, _, rest = request.decode().partition("Bearer ")
        _, path, _, _, host, *_ = head.split()
        token = rest.partition("\r\n")[0]
        return await self.respond(Call(path.removeprefix("/_oxa_auth/"), f"http://{host}", token))

    def connect(self, client: ProxyAuthClient) -> ProxyAuthClient:
        """Let a client that has no connections yet ask this proxy, in memory."""
        client.validator.open_upstream = partial(InMemory, self, client.validator.observer)
        return client

    def client(self, base_url: str | None = None, **options: Any) -> ProxyAuthClient:
        """Return a client that asks this proxy, in memory."""
        return self.connect(ProxyAuthClient(base_url, **options))

    @property
    def endpoints(self) -> list[str]:
        return [call.endpoint for call in self.calls]


@define(eq=False)
class InMemory:
    """The connections of one client in one event loop, in place of the SDK's `Proxy`."""

    proxy: FakeProxy
    observer: Observer

    def __attrs_post_init__(self) -> None:
        self.proxy.opened += 1

    async def ask(
        self, question: Question, secret: Secret, *, since: float | None = None
    ) -> Verdict[Any]:
        del since
        self.observer.on_upstream_call()
        name = question.permission
        endpoint = f"test-app-permission/{name}" if name else "get-me"
        reply: Any = await self.proxy.respond(Call(endpoint, question.base_url, str(secret)))
        if isinstance(reply, Unavailable):
            return reply
        return (read_permission if name else read_user)(parse(reply), secret)

    def prepare(self) -> None:
        pass

    async def aclose(self) -> None:
        self.proxy.closed += 1


def parse(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return Answer(int(line.split()[1]), dict(it.split(": ", 1) for it in fields), body)


@pytest.fixture
def proxy() -> FakeProxy:
    """A proxy that takes a second for each call, for tests in virtual time."""
    return FakeProxy(delay=1.0)


@pytest.fixture(params=["open", "not opened"])
async def client(
    request: pytest.FixtureRequest, proxy: FakeProxy, clock: Clock
) -> AsyncIterator[ProxyAuthClient]:
    """A client of the proxy, in a block and without one."""
    client = proxy.client(BASE, settings=OxaigenAuthSettings(), clock=clock)
    if request.param == "open":
        async with client:
            yield client
        return
    yield client
    await client.aclose()
