"""ProxyAuthClient: what workers and scripts call; and the one that the dependencies share."""

from __future__ import annotations

import time
from functools import cache
from traceback import clear_frames
from typing import TYPE_CHECKING, Self

from attrs import evolve

from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth._hints.calls import ClientType
from oxaigen_auth._hints.variables import warn_of_unknown_variable
from oxaigen_auth._request.credentials import warn_of_unchecked_hosts
from oxaigen_auth._request.refused_hosts import refusals
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth._validation.lookup import warn_of_dev_mode
from oxaigen_auth._validation.validator import Verifier
from oxaigen_auth._validation.verdict import Accepted, unwrap
from oxaigen_auth.errors import OxaigenAuthConfigurationError, OxaigenAuthUnauthenticatedError
from oxaigen_auth.settings import OxaigenAuthSettings, base_url, default_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from oxaigen_auth._validation.verdict import Verdict
    from oxaigen_auth.models import User
    from oxaigen_auth.stats import ClientStats


class ProxyAuthClient(metaclass=ClientType):
    """Asks the Oxaigen proxy about bearer tokens, remembers the answers, merges equal questions.

    Works on asyncio and trio, with or without `async with`; without it, end with `aclose()`.
    One client may serve several event loops: its cache is shared, its connections are not. Several
    blocks may have it open at once, entered and left in any tasks; the last one closes it.

    Args:
        proxy_base_url: where the proxy is; None: where the settings say.
        settings: None: from the environment (`OxaigenAuthSettings.from_env`).
        ssl_context: for proxies with a certificate authority of their own; None: the usual ones.
        clock: what the age of cached answers is read from, in seconds. Never a wall clock.
        wall_clock: what the `exp` of a JWT is compared with, in seconds since the epoch.

    Raises:
        OxaigenAuthConfigurationError: the environment holds bad settings.
        ValueError: `proxy_base_url` is not an http or https URL.
    """

    def __init__(
        self,
        proxy_base_url: str | None = None,
        *,
        settings: OxaigenAuthSettings | None = None,
        ssl_context: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(settings, OxaigenAuthSettings | None):
            raise TypeError("settings must be an instance, such as OxaigenAuthSettings(…)")
        self.settings = OxaigenAuthSettings.from_env() if settings is None else settings
        given = base_url(proxy_base_url) if proxy_base_url else None
        self.base_url = given or self.settings.fixed_proxy_url
        self.verifier = Verifier(self.settings, clock, ssl_context, wall_clock)

    async def __aenter__(self) -> Self:
        await self.verifier.enter(last_closes=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.verifier.leave(last_closes=True)  # noqa: ASYNC102 (shielded and bounded there)

    async def aclose(self) -> None:
        """End running lookups and connections; every later call raises `RuntimeError`.

        Connections in other event loops end with those loops.
        """
        await self.verifier.aclose()

    async def get_me(
        self, bearer_token: str, *, proxy_base_url: str | None = None, fresh: bool = False
    ) -> User:
        """Return who the bearer of this token is (product page, `GET /_oxa_auth/get-me`).

        Args:
            bearer_token: the token alone, without `Bearer`.
            proxy_base_url: where the proxy is; None: where this client was told.
            fresh: ask the proxy now, whatever the cache holds or other callers are waiting for.

        Raises:
            OxaigenAuthUnauthenticatedError: the token is not good.
            OxaigenAuthPermissionDeniedError: the token is good, but not for this app.
            OxaigenAuthUpstreamError: the proxy could not say.
            OxaigenAuthConfigurationError: nothing says where the proxy is.
            RuntimeError: the client is closed.
        """
        try:
            base = self._base(proxy_base_url)
            mark = fingerprint(_given(bearer_token))
            known = None if fresh else self.verifier.recall(bearer_token, mark, base)
            verdict: Verdict[User] = known or await self.verifier.learn(
                bearer_token, mark, base, fresh=fresh
            )
        except BaseException as error:
            clear_frames(error.__traceback__)
            raise
        finally:
            del bearer_token  # a traceback that is kept would keep it
        return unwrap(verdict)

    async def test_permission(
        self,
        bearer_token: str,
        permission_name: str,
        *,
        proxy_base_url: str | None = None,
        fresh: bool = False,
    ) -> bool:
        """Tell whether the bearer holds a permission (`POST /_oxa_auth/test-app-permission/…`).

        Asks who the user is first, as `get_me` does. `fresh` is about the permission only.

        Raises:
            ValueError: not a permission name.
            Exception: everything that `get_me` raises.
        """
        verifier = self.verifier
        try:
            name = check_permission_name(permission_name)
            base = self._base(proxy_base_url)
            mark = fingerprint(_given(bearer_token))
            verdict = verifier.recall(bearer_token, mark, base)
            verdict = verdict or await verifier.learn(bearer_token, mark, base)
            if isinstance(verdict, Accepted):
                known = None if fresh else verifier.recall(bearer_token, mark, base, name)
                verdict = known or await verifier.learn(bearer_token, mark, base, name, fresh=fresh)
        except BaseException as error:
            clear_frames(error.__traceback__)
            raise
        finally:
            del bearer_token  # a traceback that is kept would keep it
        return bool(unwrap(verdict))

    def forget(self, bearer_token: str) -> None:
        """Believe nothing that was learnt of this token so far, or that is being looked up now.

        For tokens that were signed out or revoked: a caller whose lookup was under way asks again.
        May be called from any thread.
        """
        self.verifier.stats.forgotten += 1
        self.verifier.memory.forget(fingerprint(_given(bearer_token)))

    def stats(self) -> ClientStats:
        """Return a copy of the counts."""
        return evolve(self.verifier.stats)

    def _base(self, proxy_base_url: str | None) -> str:
        base = base_url(proxy_base_url) if proxy_base_url else self.base_url
        if base is None:
            raise OxaigenAuthConfigurationError(
                "Nothing says where the auth proxy is: pass proxy_base_url, or set "
                "OXAIGEN_AUTH_PROXY_URL_OVERRIDE or OXAIGEN_AUTH_DEV_MODE."
            )
        return base


def _given(bearer_token: str | None) -> str:
    """Return a token; None is that of a request without one, as `extract_bearer_token` gives it."""
    if bearer_token is None:
        raise OxaigenAuthUnauthenticatedError("Not authenticated")
    if not isinstance(bearer_token, str):
        raise TypeError(f"a bearer token must be str, not {type(bearer_token).__name__}")
    return bearer_token


@cache
def default_client() -> ProxyAuthClient:
    """Return the client that the dependencies share in this process."""
    return ProxyAuthClient(settings=default_settings())


async def aclose_client() -> None:
    """Close the default client; the next use makes a new one and reads the settings afresh.

    In tests this resets all that outlives a test, as `oxaigen_auth.testing.reset` does without an
    event loop.
    """
    client = default_client() if default_client.cache_info().currsize else None
    forget_default_client()
    if client is not None:
        await client.aclose()


def forget_default_client() -> None:
    """Let the next use find a process as it is at its start: no client, no settings, nothing said.

    The client is not closed: its connections end with their event loops.
    """
    for remembered in (
        default_client,
        default_settings,
        refusals,
        warn_of_dev_mode,
        warn_of_unchecked_hosts,
        warn_of_unknown_variable,
    ):
        remembered.cache_clear()
