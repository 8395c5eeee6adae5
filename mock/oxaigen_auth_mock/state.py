"""The state of one running mock. Routes, control and middleware share it."""

from attrs import define, field
from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection
from starlette.status import HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.faults.plan import FaultPlan
from oxaigen_auth_mock.identity_provider.base import AccessToken, IdentityProvider
from oxaigen_auth_mock.identity_provider.state_token import StateSigner
from oxaigen_auth_mock.journal.clock import Clock
from oxaigen_auth_mock.journal.counts import fingerprint
from oxaigen_auth_mock.journal.journal import CALL_KEY, Call, ChangeFeed, Journal
from oxaigen_auth_mock.journal.warnings import Warnings
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.personas.store import PersonaStore
from oxaigen_auth_mock.scenarios.play import Play


@define(eq=False, kw_only=True)
class MockState:
    """The state of one mock.

    Attributes:
        revoked: fingerprints of revoked tokens.
        auto_login: name of the persona that signs in automatically, `deny` to refuse every
            sign-in, None to use the default or to ask.
        play: the scenario that plays or was the last to play; None without one.
        state_version: number of the last change to anything but the calls.
    """

    settings: MockSettings
    clock: Clock
    changes: ChangeFeed
    personas: PersonaStore
    provider: IdentityProvider
    journal: Journal
    warnings: Warnings
    faults: FaultPlan = field(factory=FaultPlan)
    signer: StateSigner = field(factory=StateSigner)
    revoked: set[str] = field(factory=set[str])
    auto_login: str | None = None
    play: Play | None = None
    state_version: int = 0

    def mark_changed(self) -> None:
        """Announce a change to anything but the calls."""
        self.state_version = self.changes.bump()

    def warn(self, connection: HTTPConnection, warning: str) -> None:
        """Show a warning in the journal, beside its call, and give it once on the console."""
        call: Call = connection.scope[CALL_KEY]
        call.warning = warning
        self.warnings.give(warning)

    def token_from(self, connection: HTTPConnection) -> str | None:
        """Return the bearer token of a call, else the token in its access cookie, else None."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        return connection.cookies.get(self.settings.access_cookie) or None

    def find_persona(self, token: str | None) -> Persona | None:
        """Return the persona that owns a token, valid or not."""
        if token is None:
            return None
        return self._owner(token, self.provider.find_access_token(token))

    def _owner(self, token: str, issued: AccessToken | None) -> Persona | None:
        return self.personas.named(issued.persona) if issued else self.personas.holder(token)

    def authenticate(self, token: str | None) -> Persona:
        """Return the persona that a valid token belongs to.

        Raises:
            HTTPException: 401 if the token is missing or invalid, 403 if its persona may not use
                this application.
        """
        if token is None:
            raise _unauthenticated("Not authenticated")
        issued = self.provider.find_access_token(token)
        persona = self._owner(token, issued)
        if persona is None or persona.state == "rejected" or self.is_revoked(token):
            raise _unauthenticated("Invalid token")
        if persona.state == "expired" or (issued and issued.expired):
            raise _unauthenticated("Token expired")
        if persona.state == "not-allowed":
            raise HTTPException(HTTP_403_FORBIDDEN, "Not allowed for this application.")
        return persona

    def is_revoked(self, token: str) -> bool:
        return bool(self.revoked) and fingerprint(token) in self.revoked


def get_mock_state(request: Request) -> MockState:
    """Return the state of the mock that serves a request."""
    state: MockState = request.app.state.mock
    return state


def _unauthenticated(detail: str) -> HTTPException:
    return HTTPException(HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
