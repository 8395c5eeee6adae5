"""What one running mock is and knows; the endpoints ask it and hold nothing themselves."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from anyio import sleep
from attrs import Factory, define
from fastapi import HTTPException, Request
from starlette.status import HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN

from oxaigen_auth_mock.calls import CallCounts
from oxaigen_auth_mock.personas import Persona, personas_of
from oxaigen_auth_mock.settings import MockSettings


@define(eq=False)
class MockProxy:
    """The state of one mock: what it was told, whom it knows (by token), what it was called."""

    settings: MockSettings
    personas: dict[str, Persona] = Factory(lambda self: personas_of(self.settings), takes_self=True)
    calls: CallCounts = Factory(CallCounts)

    def token_of(self, request: Request) -> str | None:
        """Take the bearer token of the request, else the one in its access cookie, else None."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return request.cookies.get(self.settings.access_cookie_name) or None

    @asynccontextmanager
    async def answering(self, endpoint: str, token: str | None) -> AsyncGenerator[None]:
        """Count a call while it is answered, and make it wait for the latency first."""
        persona = self.personas.get(token or "")
        name = persona.name if persona else None
        with self.calls.counted(endpoint, token=token, persona=name):
            if self.settings.latency:
                await sleep(self.settings.latency)
            yield

    def check(self, token: str | None) -> Persona:
        """Find out whose token this is.

        Raises:
            HTTPException: 401 without a token or with an unknown one, 403 with the forbidden one.
        """
        if token is None:
            raise _unauthenticated("Not authenticated")
        if token == self.settings.forbidden_token:
            raise HTTPException(HTTP_403_FORBIDDEN, "Not allowed for this application.")
        if token not in self.personas:
            raise _unauthenticated("Invalid token")
        return self.personas[token]


def proxy_of(request: Request) -> MockProxy:
    """Find the mock that the request has come to."""
    proxy: MockProxy = request.app.state.proxy
    return proxy


def _unauthenticated(detail: str) -> HTTPException:
    return HTTPException(HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
