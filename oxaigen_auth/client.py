"""ProxyAuthClient: validates bearer tokens for workers, scripts, and the dependencies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from ssl import SSLContext
from traceback import clear_frames
from typing import TYPE_CHECKING, Self

from attrs import evolve

import oxaigen_auth._upstream.http_library  # noqa: F401 (if missing, fail here and not in a request)
from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._hints.calls import ClientType
from oxaigen_auth._syntax.tokens import check_permission_name
from oxaigen_auth._syntax.urls import base_url
from oxaigen_auth._validation.observer import Observer, check_observers
from oxaigen_auth._validation.question import Question, user_question
from oxaigen_auth._validation.verdict import Accepted, Verdict, unwrap
from oxaigen_auth.errors import OxaigenAuthConfigurationError, OxaigenAuthUnauthenticatedError
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings
from oxaigen_auth.stats import ClientStats, StatsObserver

if TYPE_CHECKING:
    from oxaigen_auth._upstream.given_transport import Transport
    from oxaigen_auth._validation.validator import Validator


class ProxyAuthClient(metaclass=ClientType):
    """Validates bearer tokens at the Oxaigen proxy, caches the answers, and coalesces lookups.

    Works on asyncio and trio, with or without `async with`. Without it, call `aclose()` at the end.
    A client may serve several event loops: they share its cache, but not its connections. Several
    `async with` blocks may be open at once, in any tasks. The last one closes the client.

    Args:
        proxy_base_url: the URL of the proxy. Default: from the settings.
        settings: Default: from the environment (`OxaigenAuthSettings.from_env`).
        ssl_context: for proxies with a private certificate authority. Default: the system's
            certificates.
        transport: sends the calls, for example in tests or through an HTTP proxy: an
            `AsyncBaseTransport` of httpx2 if that is installed, otherwise of httpx. All limits and
            timeouts apply. It keeps no connections between calls, and the client does not close it.
            Default: a pool of transports.
        clock: returns seconds, for the age of cached answers. Must be monotonic.
        wall_clock: returns seconds since the epoch, for the `exp` of JWTs.
        observers: are notified of what happens, for example for an audit trail.

    Raises:
        OxaigenAuthConfigurationError: the environment holds invalid settings.
        TypeError: `settings` or an observer has the wrong type.
        ValueError: `proxy_base_url` is not an http or https URL.
        TypeError: an argument has the wrong type, or both `ssl_context` and `transport` are given.

    >>> async def main() -> None:
    ...     async with ProxyAuthClient("https://app.example.com") as client:
    ...         user = await client.get_me("a token")
    ...         print(user.user_name, client.stats().upstream_calls)
    """

    def __init__(  # noqa: PLR0913 (all but one are keywords)
        self,
        proxy_base_url: str | None = None,
        *,
        settings: OxaigenAuthSettings | None = None,
        ssl_context: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        observers: Iterable[Observer] = (),
        transport: Transport | None = None,
    ) -> None:
        if not isinstance(settings, OxaigenAuthSettings | None):
            raise TypeError("settings must be an instance, such as OxaigenAuthSettings(…)")
        self.settings: OxaigenAuthSettings = (
            OxaigenAuthSettings.from_env() if settings is None else settings
        )
        given = base_url(proxy_base_url) if proxy_base_url else None
        self.base_url: str | None = given or self.settings.fixed_proxy_url
        self._stats = StatsObserver()
        self.validator: Validator = _validator_builder()(
            self.settings,
            self._stats,
            check_observers(observers),
            ssl_context=ssl_context,
            transport=transport,
            clock=clock,
            wall_clock=wall_clock,
        )
        self.fingerprint: Callable[[str], bytes] = self.validator.fingerprint

    async def __aenter__(self) -> Self:
        await self.validator.loops.enter(last_closes=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        loops = self.validator.loops
        await loops.leave(last_closes=True)  # noqa: ASYNC102 (shielded and bounded there)

    async def aclose(self) -> None:
        """End running lookups and connections; every later call raises `RuntimeError`.

        Connections in other event loops end with those loops.
        """
        await self.validator.loops.aclose()

    async def get_me(
        self, bearer_token: str, *, proxy_base_url: str | None = None, fresh: bool = False
    ) -> User:
        """Return the bearer of a token (product page, `GET /_oxa_auth/get-me`).

        Args:
            bearer_token: the token alone, without `Bearer`.
            proxy_base_url: the URL of the proxy. Default: that of the client.
            fresh: ask the proxy now, and use neither the cache nor a lookup that runs already.

        Raises:
            OxaigenAuthUnauthenticatedError: the proxy rejected the token.
            OxaigenAuthPermissionDeniedError: the token is valid, but not for this app.
            OxaigenAuthUpstreamError: the proxy gave no usable answer.
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            RuntimeError: the client is closed.

        >>> async def greet(client: ProxyAuthClient, token: str) -> str:
        ...     user = await client.get_me(token)
        ...     return f"Hello {user.user_name}"
        """
        try:
            question = self.question(bearer_token, proxy_base_url)
            cached = None if fresh else self.validator.cached(question, bearer_token)
            verdict: Verdict[User] = cached or await self.validator.validate(
                question, bearer_token, fresh=fresh
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
        """Return whether the bearer of a token holds a permission.

        Identifies the user first, as `get_me` does (product page, `POST
        /_oxa_auth/test-app-permission/{name}`). `fresh` concerns the permission only.

        Raises:
            ValueError: the name is not of the form `[A-Za-z0-9_-]+`.
            OxaigenAuthUnauthenticatedError: the proxy rejected the token.
            OxaigenAuthPermissionDeniedError: the token is valid, but not for this app.
            OxaigenAuthUpstreamError: the proxy gave no usable answer.
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            RuntimeError: the client is closed.

        >>> async def may_audit(client: ProxyAuthClient, token: str) -> bool:
        ...     return await client.test_permission(token, "audit")
        """
        validator = self.validator
        try:
            name = check_permission_name(permission_name)
            user = self.question(bearer_token, proxy_base_url)
            cached = validator.cached(user, bearer_token)
            verdict = cached or await validator.validate(user, bearer_token)
            if isinstance(verdict, Accepted):
                question = user.about(name)
                cached = None if fresh else validator.cached(question, bearer_token)
                verdict = cached or await validator.validate(question, bearer_token, fresh=fresh)
                validator.report_refusal(question, verdict)
        except BaseException as error:
            clear_frames(error.__traceback__)
            raise
        finally:
            del bearer_token  # a traceback that is kept would keep it
        return bool(unwrap(verdict))

    def forget(self, bearer_token: str) -> None:
        """Discard all cached answers about a token that was signed out or revoked.

        A caller that waits for a lookup of it asks again. May be called from any thread. With a
        shared store, this holds for all processes that use it (`docs/fleet.md` has the bounds).
        """
        try:
            if not isinstance(bearer_token, str):
                raise _not_a_token(bearer_token)
            self.validator.forget(bearer_token)
        finally:
            del bearer_token  # a traceback that is kept would keep it

    def forget_user(self, user_id: int, *, proxy_base_url: str | None = None) -> None:
        """Discard all cached answers about the tokens of a user, for example one that was disabled.

        As for `forget`, running lookups do not count, and it holds for all processes.

        Args:
            user_id: `User.id`.
            proxy_base_url: the URL of the proxy. Default: that of the client.

        Raises:
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            TypeError: `user_id` is no integer.

        >>> def disable(client: ProxyAuthClient, user: User) -> None:
        ...     if user.id is not None:
        ...         client.forget_user(user.id)
        """
        if type(user_id) is not int:
            raise TypeError(f"user_id must be an int, not {type(user_id).__name__}")
        self.validator.forget_user(self.question("", proxy_base_url).base_url, user_id)

    def forget_all(self) -> None:
        """Discard all cached answers, as `forget` does for each token."""
        self.validator.forget_all()

    async def ping(self, *, proxy_base_url: str | None = None) -> bool:
        """Return whether the proxy answers, for readiness probes. The answer is cached for 1 s.

        Any answer counts, except 502, 503 and 504 of a gateway, and a mock's in production. The
        request has no token, is limited by `proxy_timeout_seconds`, and does not wait for lookups
        or for the circuit breaker. Besides the lookups, at most 4 pings of different proxies run at
        once in an event loop; one that gets no turn in time returns False. A failure is logged.

        Raises:
            OxaigenAuthConfigurationError: the URL of the proxy is unknown.
            ValueError: `proxy_base_url` is not an http or https URL.
            RuntimeError: the client is closed.

        >>> async def is_ready(client: ProxyAuthClient) -> bool:
        ...     return await client.ping()
        """
        return await self.validator.pings.ping(self.question("", proxy_base_url))

    def stats(self) -> ClientStats:
        """Return a copy of the counts."""
        return evolve(self._stats.stats)

    def question(self, bearer_token: str | None, proxy_base_url: str | None) -> Question:
        """Return the question for the bearer. `extract_bearer_token` may have returned None."""
        if not isinstance(bearer_token, str):
            raise _not_a_token(bearer_token)
        base = base_url(proxy_base_url) if proxy_base_url else self.base_url
        if base is None:
            raise OxaigenAuthConfigurationError(
                "The URL of the auth proxy is unknown: pass proxy_base_url, or set "
                "OXAIGEN_AUTH_PROXY_URL_OVERRIDE or OXAIGEN_AUTH_DEV_MODE."
            )
        return user_question(bearer_token, base, self.fingerprint)


def _not_a_token(value: object) -> Exception:
    if value is None:
        return OxaigenAuthUnauthenticatedError("Not authenticated", "missing_token")
    return TypeError(f"a bearer token must be str, not {type(value).__name__}")


@process_cache
def _validator_builder() -> Callable[..., Validator]:
    """Import what a client consists of. It is slow, so it waits for the first client."""
    from oxaigen_auth._composition import build_validator  # noqa: PLC0415

    return build_validator
