"""The strict identity provider: what it hands out ends, works once and is fresh every time.

Knows no HTTP. It remembers the `REMEMBERED` newest things that it has issued, in one table.
"""

from collections import OrderedDict
from collections.abc import Iterable
from secrets import token_urlsafe
from typing import Final

from attrs import define, field

from oxaigen_auth_mock.config.settings import MockSettings
from oxaigen_auth_mock.identity_provider.base import (
    Access,
    Issued,
    Kind,
    ProviderError,
    Tokens,
    may_refresh,
)
from oxaigen_auth_mock.journal.clock import Clock
from oxaigen_auth_mock.personas.store import PersonaStore

STATE_LASTS: Final = 600.0  # seconds
CODE_LASTS: Final = 60.0  # seconds
REMEMBERED: Final = 10_000
RANDOM_BYTES: Final = 32


@define(eq=False)
class StrictProvider:
    """Behaves like those out there. A sign-in and all that comes of it are one session.

    What is refused changes nothing, but for one thing: a code or refresh token that comes again
    may have been stolen, and ends the session (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
    """

    settings: MockSettings
    roster: PersonaStore
    clock: Clock
    _issued: OrderedDict[tuple[Kind, str], Issued] = field(
        init=False, repr=False, factory=OrderedDict[tuple[Kind, str], Issued]
    )

    def begin(self) -> str:
        ticket = _random()
        self._issue("sign-in", ticket, ticket, "", STATE_LASTS)
        return ticket

    def code(self, sign_in: str, persona: str) -> str:
        """Give a code; one sign-in can have several until the first of them is exchanged."""
        self._open_sign_in(sign_in)
        code = _random()
        self._issue("code", code, sign_in, persona, CODE_LASTS)
        return code

    def exchange(self, sign_in: str, code: str) -> Tokens:
        self._end_if_used(self._issued.get(("code", code)))
        opened = self._open_sign_in(sign_in)
        issued = self._good_code(code, sign_in)
        self._use(opened)
        self._use(issued)
        return self._tokens(sign_in, issued.persona)

    def refresh(self, token: str) -> Tokens:
        issued = self._issued.get(("refresh", token))
        self._end_if_used(issued)
        if issued is None or issued.used or self._is_over(issued):
            raise ProviderError("invalid_grant")
        if not may_refresh(self.roster.named(issued.persona)):
            raise ProviderError("invalid_grant")
        self._use(issued)
        return self._tokens(issued.session, issued.persona)

    def sign_out(self, refresh_token: str) -> None:
        issued = self._issued.get(("refresh", refresh_token))
        if issued is not None:
            self._end(issued.session)

    def access(self, token: str) -> Access | None:
        issued = self._issued.get(("access", token))
        if issued is None:
            return None
        return Access(issued.persona, self._is_over(issued))

    def export(self) -> list[Issued]:
        return list(self._issued.values())

    def restore(self, issued: Iterable[Issued]) -> None:
        self._issued.clear()
        for each in issued:
            self._keep(each)

    def _open_sign_in(self, ticket: str) -> Issued:
        """Find a sign-in that can still go on; one forgotten is as good as over."""
        sign_in = self._issued.get(("sign-in", ticket))
        if sign_in is not None and sign_in.used:
            raise ProviderError("State already used")
        if sign_in is None or self._is_over(sign_in):
            raise ProviderError("Expired state")
        return sign_in

    def _good_code(self, code: str, sign_in: str) -> Issued:
        issued = self._issued.get(("code", code))
        if issued is not None and issued.used:
            raise ProviderError("Code already used")
        if issued is None or issued.session != sign_in or not self.roster.named(issued.persona):
            raise ProviderError("Invalid code")
        if self._is_over(issued):
            raise ProviderError("Expired code")
        return issued

    def _tokens(self, session: str, persona: str) -> Tokens:
        tokens = Tokens(_random(), _random())
        self._issue("access", tokens.access, session, persona, self.settings.expires_in)
        self._issue("refresh", tokens.refresh, session, persona, self.settings.refresh_expires_in)
        return tokens

    def _issue(self, kind: Kind, value: str, session: str, persona: str, lasts: float) -> None:
        ends = self.clock.now() + lasts
        self._keep(Issued(kind=kind, value=value, session=session, persona=persona, ends=ends))

    def _keep(self, issued: Issued) -> None:
        self._issued[issued.kind, issued.value] = issued
        if len(self._issued) > REMEMBERED:
            self._issued.popitem(last=False)

    def _use(self, issued: Issued) -> None:
        self._issued[issued.kind, issued.value] = issued.model_copy(update={"used": True})

    def _is_over(self, issued: Issued) -> bool:
        return self.clock.now() >= issued.ends

    def _end_if_used(self, issued: Issued | None) -> None:
        if issued is not None and issued.used:
            self._end(issued.session)

    def _end(self, session: str) -> None:
        """Forget the session's tokens; its code stays, so as to be known when it comes again."""
        for key, issued in list(self._issued.items()):
            if issued.session == session and issued.kind in ("access", "refresh"):
                del self._issued[key]


def _random() -> str:
    return token_urlsafe(RANDOM_BYTES)
