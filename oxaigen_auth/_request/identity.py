"""Who a connection's caller is: asked once per question, however many want to know.

A question is one client, one base URL and one token. The answers are kept in the connection's own
`scope`, never on an object that outlives it. A scope that has changed since, or a copy of it with
other headers, may put another question.
"""

from __future__ import annotations

from traceback import clear_frames
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth._request.app_check import check_once
from oxaigen_auth._request.credentials import (
    base_url_of_host,
    by_name,
    token_of_cookie,
    token_of_header,
)
from oxaigen_auth._request.csrf import is_cross_site
from oxaigen_auth._validation.verdict import Accepted, Rejected, Throttled
from oxaigen_auth.client import default_client
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, UntrustedHostError

if TYPE_CHECKING:
    from starlette.types import Scope

    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth.client import ProxyAuthClient
    from oxaigen_auth.models import User

    Question: TypeAlias = tuple[ProxyAuthClient, bytes, str]

CLIENT = "oxaigen_auth.client"  # in the scope: that of the innermost middleware, or None
IDENTITY = "oxaigen_auth.identity"  # in the scope: what was last worked out for it
MAX_ANSWERS = 8  # that are kept of one connection
_CROSS_SITE = Rejected("Cross-site request refused", forbidden=True)


@define(eq=False)
class Identity:
    """What is known of a connection's caller. `verdict` is None if there was no token.

    `bad_host` says what is wrong with the host, which then decides. `source` is what all of this
    was worked out from; `answers` holds the verdicts on the connection's earlier questions.
    """

    client: ProxyAuthClient
    source: tuple[Any, ...] = field(default=(), repr=False)
    answers: dict[Question, Verdict[User]] = field(factory=dict, repr=False)
    verdict: Verdict[User] | Throttled | None = None
    bad_host: str | None = None
    _token: str = field(default="", alias="token", repr=False)
    _fingerprint: bytes = field(default=b"", alias="fingerprint")
    _base: str = field(default="", alias="base")

    def recall(self) -> bool:
        """Look for a verdict that needs no lookup, and tell whether nothing is left to ask."""
        if self.answers:
            self.verdict = self.answers.get(self._question)
            if self.verdict is not None:
                return True
        verifier = self.client.verifier
        self.verdict = verifier.recall(self._token, self._fingerprint, self._base)
        return isinstance(self.verdict, Accepted)

    async def ask(self, address: str) -> None:
        """Let the proxy say who the caller is, unless too many bad tokens came from there."""
        verifier, known_by = self.client.verifier, (self._fingerprint, self._base)
        seconds = verifier.shuts_out(address) if address else 0
        if seconds:
            self.verdict = Throttled(seconds)
            return
        verdict: Any = self.verdict or await verifier.learn(self._token, *known_by)
        if address and isinstance(verdict, Rejected) and not verdict.forbidden:
            verifier.note_bad_token(address, self._fingerprint)
        self.verdict = verdict

    def follow(self, earlier: Identity) -> None:
        """Take over the verdicts of an earlier identity of the connection."""
        kept = not isinstance(earlier.verdict, Throttled | None) and earlier._base
        last: Any = {earlier._question: earlier.verdict} if kept else {}
        self.answers = earlier.answers | last
        if len(self.answers) > MAX_ANSWERS:
            del self.answers[next(iter(self.answers))]

    @property
    def _question(self) -> Question:
        return self.client, self._fingerprint, self._base

    async def check_permission(self, name: str) -> Verdict[bool]:
        """Ask for a permission of the caller, who has been accepted."""
        verifier, known_by = self.client.verifier, (self._fingerprint, self._base, name)
        try:
            known = verifier.recall(self._token, *known_by)
            return known or await verifier.learn(self._token, *known_by)
        except BaseException as error:
            clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
            raise


async def identify(scope: Scope) -> Identity:
    """Return who the caller is to the client of the innermost middleware, or to the default one.

    Raises:
        OxaigenAuthConfigurationError: the environment holds bad settings.
    """
    client: ProxyAuthClient = scope.get(CLIENT) or default_client()
    # Compared by their values: headers may be changed in place, or replaced by an equal list.
    headers = tuple(scope["headers"])
    if list in map(type, headers):
        headers = tuple(map(tuple, headers))
    source: tuple[Any, ...] = (client, scope["type"], scope.get("method"), headers)
    known: Identity | None = scope.get(IDENTITY)
    if known is not None and known.source == source:
        return known
    try:
        identity, asks = _read(scope, client)
        identity.source = source
        if known is not None:
            identity.follow(known)
        if not asks:
            check_once(scope)
        elif not identity.recall():
            check_once(scope)
            await identity.ask(_address(scope))
    except BaseException as error:
        clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
        source = headers = ()
        raise
    scope[IDENTITY] = identity
    return identity


def _read(scope: Scope, client: ProxyAuthClient) -> tuple[Identity, bool]:
    """Return what the scope alone says of the caller, and whether the proxy has to be asked."""
    headers = by_name(scope)
    try:
        token = token_of_header(headers)
        if token is None:
            token = token_of_cookie(headers, client.settings.access_token_cookie_name)
            if token is None:
                return Identity(client), False
            if is_cross_site(scope, headers, client.settings):
                return Identity(client, verdict=_CROSS_SITE), False
        base = client.base_url or base_url_of_host(headers, client.settings)
    except OxaigenAuthUnauthenticatedError as error:
        return Identity(client, verdict=Rejected(error.message)), False
    except UntrustedHostError as error:
        return Identity(client, bad_host=error.message), False
    return Identity(client, token=token, fingerprint=fingerprint(token), base=base), True


def _address(scope: Scope) -> str:
    """Return the network address that the connection comes from; "" where it has none.

    Servers give None for a unix socket, or an empty host, or the socket's path.
    """
    host = (scope.get("client") or ("",))[0]
    return host if isinstance(host, str) and not host.startswith(("/", "@", "\0", "unix:")) else ""
