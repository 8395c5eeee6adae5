"""The strict identity provider: fresh values that expire, and codes that work once."""

from collections import OrderedDict
from collections.abc import Iterable
from secrets import token_urlsafe
from typing import Final

from attrs import define, field

from oxaigen_auth_mock.identity_provider.base import (
    AccessToken,
    Credential,
    CredentialKind,
    IdentityProvider,
    ProviderError,
    Tokens,
    can_refresh,
)
from oxaigen_auth_mock.journal.clock import Clock

STATE_TTL: Final = 600.0  # seconds
CODE_TTL: Final = 60.0  # seconds
MAX_CREDENTIALS: Final = 10_000  # the oldest is forgotten when there are more
RANDOM_BYTES: Final = 32


@define(eq=False)
class StrictProvider(IdentityProvider):
    """Behave like a real provider. A sign-in and all that it leads to are one session.

    A rejected request changes nothing, with one exception: a code or refresh token that is used
    again may have been stolen, so it ends the session (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
    """

    clock: Clock
    _issued: OrderedDict[tuple[CredentialKind, str], Credential] = field(
        init=False, repr=False, factory=OrderedDict[tuple[CredentialKind, str], Credential]
    )

    def start_sign_in(self) -> str:
        ticket = _random()
        self._issue("sign-in", ticket, ticket, "", STATE_TTL)
        return ticket

    def issue_code(self, ticket: str, persona: str) -> str:
        """Return a new code. A sign-in can have several until the first one is exchanged."""
        self._open_sign_in(ticket)
        code = _random()
        self._issue("code", code, ticket, persona, CODE_TTL)
        return code

    def exchange_code(self, ticket: str, code: str) -> Tokens:
        self._end_session_if_used(self._issued.get(("code", code)))
        sign_in = self._open_sign_in(ticket)
        issued = self._valid_code(code, ticket)
        self._mark_used(sign_in)
        self._mark_used(issued)
        return self._tokens(ticket, issued.persona)

    def refresh(self, token: str) -> Tokens:
        issued = self._issued.get(("refresh", token))
        self._end_session_if_used(issued)
        if issued is None or issued.used or self._is_expired(issued):
            raise ProviderError("invalid_grant")
        if not can_refresh(self.personas.named(issued.persona)):
            raise ProviderError("invalid_grant")
        self._mark_used(issued)
        return self._tokens(issued.session, issued.persona)

    def may_have_issued(self, refresh_token: str) -> bool:
        """Return True for a remembered token, or one with the port of this mock.

        The port is the same after a restart, which forgets the tokens, and differs between mocks.
        """
        known = ("refresh", refresh_token) in self._issued
        return known or refresh_token.startswith(self._refresh_prefix)

    @property
    def _refresh_prefix(self) -> str:
        return f"mock-{self.settings.port}-"

    def end_session(self, refresh_token: str) -> None:
        issued = self._issued.get(("refresh", refresh_token))
        if issued is not None:
            self._delete_tokens(issued.session)

    def find_access_token(self, token: str) -> AccessToken | None:
        issued = self._issued.get(("access", token))
        if issued is None:
            return None
        return AccessToken(issued.persona, self._is_expired(issued))

    def export(self) -> list[Credential]:
        return list(self._issued.values())

    def restore(self, issued: Iterable[Credential]) -> None:
        self._issued.clear()
        for each in issued:
            self._store(each)

    def _open_sign_in(self, ticket: str) -> Credential:
        """Return a sign-in that is not complete; a forgotten one counts as expired."""
        sign_in = self._issued.get(("sign-in", ticket))
        if sign_in is not None and sign_in.used:
            raise ProviderError("State already used")
        if sign_in is None or self._is_expired(sign_in):
            raise ProviderError("Expired state")
        return sign_in

    def _valid_code(self, code: str, ticket: str) -> Credential:
        issued = self._issued.get(("code", code))
        if issued is not None and issued.used:
            raise ProviderError("Code already used")
        if issued is None or issued.session != ticket or not self.personas.named(issued.persona):
            raise ProviderError("Invalid code")
        if self._is_expired(issued):
            raise ProviderError("Expired code")
        return issued

    def _tokens(self, session: str, persona: str) -> Tokens:
        tokens = Tokens(_random(), self._refresh_prefix + _random())
        self._issue("access", tokens.access, session, persona, self.settings.expires_in)
        self._issue("refresh", tokens.refresh, session, persona, self.settings.refresh_expires_in)
        return tokens

    def _issue(
        self, kind: CredentialKind, value: str, session: str, persona: str, ttl: float
    ) -> None:
        expires_at = self.clock.now() + ttl
        self._store(
            Credential(
                kind=kind, value=value, session=session, persona=persona, expires_at=expires_at
            )
        )

    def _store(self, issued: Credential) -> None:
        self._issued[issued.kind, issued.value] = issued
        if len(self._issued) > MAX_CREDENTIALS:
            self._issued.popitem(last=False)

    def _mark_used(self, issued: Credential) -> None:
        self._issued[issued.kind, issued.value] = issued.model_copy(update={"used": True})

    def _is_expired(self, issued: Credential) -> bool:
        return self.clock.now() >= issued.expires_at

    def _end_session_if_used(self, issued: Credential | None) -> None:
        if issued is not None and issued.used:
            self._delete_tokens(issued.session)

    def _delete_tokens(self, session: str) -> None:
        """Delete the session's tokens. Its code stays, so that using it again is recognized."""
        for key, issued in list(self._issued.items()):
            if issued.session == session and issued.kind in ("access", "refresh"):
                del self._issued[key]


def _random() -> str:
    return token_urlsafe(RANDOM_BYTES)
