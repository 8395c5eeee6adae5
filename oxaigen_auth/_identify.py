"""Who a connection's caller is, asked once per connection, however many want to know.

The answer is kept in the connection's own `scope`, never on an object that outlives it.
"""

from __future__ import annotations

from traceback import clear_frames
from typing import TYPE_CHECKING

from attrs import define, field

from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth._origin import is_cross_site
from oxaigen_auth.client import default_client
from oxaigen_auth.connection import base_url_of_host, by_name, token_of_cookie, token_of_header
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, UntrustedHostError
from oxaigen_auth.verdict import Rejected

if TYPE_CHECKING:
    from starlette.types import Scope

    from oxaigen_auth._verifier import Verifier
    from oxaigen_auth.client import ProxyAuthClient
    from oxaigen_auth.models import User
    from oxaigen_auth.verdict import Verdict

_KEY = "oxaigen_auth.identity"
_CROSS_SITE = Rejected("Cross-site request refused", forbidden=True)
_THROTTLED = Rejected("Too many rejected tokens")


@define(eq=False)
class Identity:
    """What is known of a connection's caller. `verdict` is None if there was no token.

    `bad_host` says what is wrong with the host, which then decides for everyone who asks: one with
    other settings must not send the token there after all.

    `_client` None means the default client, which may become another one during the request.
    `_fingerprint` is that of `_token`.
    """

    verdict: Verdict[User] | None
    _client: ProxyAuthClient | None = None
    _token: str = field(default="", repr=False)
    _fingerprint: bytes = b""
    _base: str = ""
    bad_host: str | None = None

    @property
    def unasked(self) -> bool:
        """Whether a token came of which nothing is known yet."""
        return self.verdict is None and self._base != ""

    @property
    def _verifier(self) -> Verifier:
        return (self._client or default_client()).verifier

    async def ask(self, address: str) -> None:
        """Let the proxy say who the caller is, unless too many bad tokens came from there."""
        verifier = self._verifier
        if verifier.shuts_out(address):
            self.verdict = _THROTTLED
            return
        self.verdict = await verifier.learn(self._token, self._fingerprint, self._base)
        if isinstance(self.verdict, Rejected) and not self.verdict.forbidden:
            verifier.note_bad_token(address, self._fingerprint)

    async def check_permission(self, name: str) -> Verdict[bool]:
        """Ask for a permission of the caller, who has been accepted."""
        verifier, known_by = self._verifier, (self._fingerprint, self._base, name)
        try:
            known = verifier.recall(self._token, *known_by)
            return known or await verifier.learn(self._token, *known_by)
        except BaseException as error:
            clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
            raise


async def identify(scope: Scope, client: ProxyAuthClient | None = None) -> Identity:
    """Return the connection's identity; the first call asks for it, with `client` or the default.

    Raises:
        OxaigenAuthConfigurationError: the environment holds bad settings.
    """
    identity: Identity | None = scope.get(_KEY)
    if identity is None:
        try:
            identity = _recall(scope, client)
            if identity.unasked:
                await identity.ask((scope.get("client") or ("",))[0])
        except BaseException as error:
            clear_frames(error.__traceback__)  # a traceback that is kept would keep the token
            raise
        scope[_KEY] = identity
    return identity


def _recall(scope: Scope, client: ProxyAuthClient | None) -> Identity:
    """Return what can be said of the caller without asking the proxy."""
    asked = client or default_client()
    headers = by_name(scope)
    try:
        token = token_of_header(headers)
        if token is None:
            token = token_of_cookie(headers, asked.settings.access_token_cookie_name)
            if token is None:
                return Identity(None)
            if is_cross_site(scope, headers, asked.settings):
                return Identity(_CROSS_SITE)
        base = asked.base_url or base_url_of_host(headers, asked.settings)
    except OxaigenAuthUnauthenticatedError as error:
        return Identity(Rejected(error.message))
    except UntrustedHostError as error:
        return Identity(None, bad_host=error.message)
    mark = fingerprint(token)
    return Identity(asked.verifier.recall(token, mark, base), client, token, mark, base)
