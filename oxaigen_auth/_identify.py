"""Who a connection's caller is, asked once per connection, however many want to know.

The answer is kept in the connection's own `scope`, never on an object that outlives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from oxaigen_auth.client import default_client
from oxaigen_auth.connection import proxy_base_url_of, token_of
from oxaigen_auth.errors import OxaigenAuthUnauthenticatedError, UntrustedHostError
from oxaigen_auth.verdict import Rejected

if TYPE_CHECKING:
    from starlette.types import Scope

    from oxaigen_auth.client import ProxyAuthClient
    from oxaigen_auth.models import User
    from oxaigen_auth.verdict import Verdict

_KEY = "oxaigen_auth.identity"


@define(eq=False)
class Identity:
    """What is known of a connection's caller. `verdict` is None if there was no token.

    `bad_host` says what is wrong with the host, which then decides for everyone who asks: one with
    other settings must not send the token there after all.

    `_client` None means the default client, which may become another one during the request.
    """

    verdict: Verdict[User] | None
    _client: ProxyAuthClient | None = None
    _token: str = field(default="", repr=False)
    _base: str = ""
    bad_host: str | None = None

    async def check_permission(self, name: str) -> Verdict[bool]:
        """Ask for a permission of the caller, who has been accepted."""
        client = self._client or default_client()
        return await client.check_permission(self._token, name, self._base)


async def identify(scope: Scope, client: ProxyAuthClient | None = None) -> Identity:
    """Return the connection's identity; the first call asks for it, with `client` or the default.

    Raises:
        OxaigenAuthConfigurationError: the environment holds bad settings.
    """
    identity: Identity | None = scope.get(_KEY)
    if identity is None:
        identity = scope[_KEY] = await _ask(scope, client)
    return identity


async def _ask(scope: Scope, client: ProxyAuthClient | None) -> Identity:
    asked = client or default_client()
    try:
        token = token_of(scope, asked.settings.access_token_cookie_name)
    except OxaigenAuthUnauthenticatedError as error:
        return Identity(Rejected(error.message))
    if token is None:
        return Identity(None)
    try:
        base = asked.base_url or proxy_base_url_of(scope, asked.settings)
    except UntrustedHostError as error:
        return Identity(None, bad_host=error.message)
    return Identity(await asked.identify(token, base), client, token, base)
