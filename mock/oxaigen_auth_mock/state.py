"""What one running mock is and knows; the endpoints ask it and hold nothing themselves."""

from typing import Final

from attrs import define, field
from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.status import HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.faults.plan import FaultPlan
from oxaigen_auth_mock.identity_provider.base import Access, Provider
from oxaigen_auth_mock.identity_provider.state_token import Signer
from oxaigen_auth_mock.journal.clock import Changes, Clock
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.journal.journal import Journal
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import PersonaStore

TOKEN: Final = "oxaigen_auth_mock.token"  # noqa: S105 - where a call's scope keeps what was read


@define(eq=False, kw_only=True)
class MockProxy:
    """The state of one mock.

    `revoked` holds fingerprints of tokens; `auto_login` is the name of who signs in unasked.
    """

    settings: MockSettings
    clock: Clock
    changes: Changes
    roster: PersonaStore
    provider: Provider
    journal: Journal
    faults: FaultPlan = field(factory=FaultPlan)
    signer: Signer = field(factory=Signer)
    revoked: set[str] = field(factory=set[str])
    auto_login: str | None = None
    state_version: int = 0

    def changed(self) -> None:
        """Make it known that something else than the calls has changed."""
        self.state_version = self.changes.touch()

    def token_of(self, connection: HTTPConnection) -> str | None:
        """Take the bearer token of a call, else the one in its access cookie, else None."""
        if TOKEN not in connection.scope:
            connection.scope[TOKEN] = self._read_token(connection)
        token: str | None = connection.scope[TOKEN]
        return token

    def _read_token(self, connection: HTTPConnection) -> str | None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return connection.cookies.get(self.settings.access_cookie_name) or None

    def holder(self, token: str | None) -> Persona | None:
        """Find who has this token, whether or not it is still good."""
        if token is None:
            return None
        return self._holder(token, self.provider.access(token))

    def _holder(self, token: str, access: Access | None) -> Persona | None:
        return self.roster.named(access.persona) if access else self.roster.holder(token)

    def check(self, token: str | None) -> Persona:
        """Find out whose good token this is.

        Raises:
            HTTPException: 401 without a token or with one that is not good, 403 with one that is
                not for this app.
        """
        if token is None:
            raise _unauthenticated("Not authenticated")
        access = self.provider.access(token)
        persona = self._holder(token, access)
        if persona is None or persona.state == "rejected" or self.is_revoked(token):
            raise _unauthenticated("Invalid token")
        if persona.state == "expired" or (access and access.expired):
            raise _unauthenticated("Token expired")
        if persona.state == "not-allowed":
            raise HTTPException(HTTP_403_FORBIDDEN, "Not allowed for this application.")
        return persona

    def is_revoked(self, token: str) -> bool:
        return bool(self.revoked) and fingerprint(token) in self.revoked


def proxy_of(request: Request) -> MockProxy:
    """Find the mock that the request has come to."""
    proxy: MockProxy = request.app.state.proxy
    return proxy


def _unauthenticated(detail: str) -> HTTPException:
    return HTTPException(HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
