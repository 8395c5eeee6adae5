"""ProxyAuthClient: memory → flight → proxy. Knows no web framework."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from functools import cache, partial
from math import inf
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, Self

from anyio import AsyncContextManagerMixin
from anyio.lowlevel import RunVar
from attrs import evolve

from oxaigen_auth._core.fingerprint import fingerprint
from oxaigen_auth._core.singleflight import FlightLostError, SingleFlight
from oxaigen_auth._core.throttle import Throttle
from oxaigen_auth._lookup import Lookups
from oxaigen_auth._loop import LoopState
from oxaigen_auth._memory import Memory
from oxaigen_auth._proxy import Proxy
from oxaigen_auth._stats import ClientStats
from oxaigen_auth._syntax import check_permission_name, is_token
from oxaigen_auth.errors import OxaigenAuthConfigurationError
from oxaigen_auth.settings import OxaigenAuthSettings, base_url, default_settings
from oxaigen_auth.verdict import Accepted, Rejected, Unavailable, unwrap

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable
    from ssl import SSLContext

    from oxaigen_auth.models import User
    from oxaigen_auth.verdict import Verdict

_log = logging.getLogger("oxaigen_auth")

_NO_TOKEN = Rejected("Invalid token")


class ProxyAuthClient(AsyncContextManagerMixin):
    """Asks the Oxaigen proxy about bearer tokens, remembers the answers, merges equal questions.

    Works on asyncio and trio, with or without `async with`; without it, end with `aclose()`.
    One client may serve several event loops: its cache is shared, its connections are not.

    Args:
        proxy_base_url: where the proxy is; None: where the settings say.
        settings: None: from the environment (`OxaigenAuthSettings.from_env`).
        ssl_context: for proxies with a certificate authority of their own; None: the usual ones.
        clock: what the age of cached answers is read from, in seconds. Never a wall clock.

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
    ) -> None:
        self.settings = settings or default_settings()
        given = base_url(proxy_base_url) if proxy_base_url else None
        self.base_url = given or self.settings.fixed_proxy_url
        self._ssl_context = ssl_context
        self._clock = clock
        self._silent_until = -inf
        self._memory = Memory(self.settings, clock)
        self._stats = ClientStats()
        self._lookups = Lookups(self.settings, clock, self._memory, self._stats)
        self._ahead = self.settings.refresh_ahead_seconds
        self._throttle = Throttle(self.settings.max_rejected_per_minute, clock)
        self._closed = False
        self._here: RunVar[LoopState | None] = RunVar("oxaigen_auth.client", None)

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        async with self.running():
            try:
                yield self
            finally:
                self._closed = True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run this loop's lookups in a task group of the block, and end them with it.

        For frameworks, whose servers start and stop: the client can be used again afterwards.
        """
        self._check_open()
        here = self._here.get() or await self._start_here()
        if here.flights.task_group is not None:
            yield
            return
        async with here.open():
            try:
                yield
            finally:
                await self._leave_loop()  # noqa: ASYNC102 (shielded and bounded where it waits)

    async def aclose(self) -> None:
        """End running lookups and connections; every later call raises `RuntimeError`.

        Connections in other event loops end with those loops.
        """
        self._closed = True
        await self._leave_loop()

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
            mark = fingerprint(bearer_token)
            # Not by way of `identify`: ten thousand may wait here, and each coroutine costs memory.
            known = None if fresh else self.recall(bearer_token, mark, base)
            verdict: Verdict[User] = known or await self._learn(
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
        try:
            check_permission_name(permission_name)
            base = self._base(proxy_base_url)
            verdict: Verdict[Any] = await self.identify(bearer_token, base)
            if isinstance(verdict, Accepted):
                verdict = await self.check_permission(
                    bearer_token, permission_name, base, fresh=fresh
                )
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
        self._stats.forgotten += 1
        self._memory.forget(fingerprint(bearer_token))

    def stats(self) -> ClientStats:
        """Return a copy of the counts."""
        return evolve(self._stats)

    def recall(self, token: str, mark: bytes, base: str) -> Verdict[User] | None:
        """Return what is known of a token; None: ask with `identify`. `mark` is its fingerprint."""
        self._check_open()
        key = self._memory.key(mark, base)
        verdict = self._memory.user(key)
        if verdict is not None:
            self._stats.hits += 1
            if self._ahead and isinstance(verdict, Accepted):
                self._refresh(token, key, base)
        return verdict

    async def identify(self, token: str, base: str, *, fresh: bool = False) -> Verdict[User]:
        """Do what `get_me` does, with the outcome as a value; `base` ends without a slash."""
        mark = fingerprint(token)
        known = None if fresh else self.recall(token, mark, base)
        return known or await self._learn(token, mark, base, fresh=fresh)

    def recall_permission(
        self, token: str, mark: bytes, name: str, base: str
    ) -> Verdict[bool] | None:
        """Return what is known of a permission of a user who has just been identified."""
        self._check_open()
        key = self._memory.key(mark, base, name)
        verdict = self._memory.grant(key)
        if verdict is not None:
            self._stats.hits += 1
            if self._ahead:
                self._refresh(token, key, base, name)
        return verdict

    async def check_permission(
        self, token: str, name: str, base: str, *, fresh: bool = False
    ) -> Verdict[bool]:
        """Do what `test_permission` does, for a user who has just been identified."""
        mark = fingerprint(token)
        known = None if fresh else self.recall_permission(token, mark, name, base)
        return known or await self._learn(token, mark, base, name, fresh=fresh)

    def shuts_out(self, address: str) -> bool:
        """Tell whether so many bad tokens came from an address that it gets no lookup for now."""
        shut = self._throttle.is_shut(address)
        self._stats.throttled += shut
        return shut

    def note_bad_token(self, address: str, mark: bytes) -> None:
        """Count a token that the proxy turned down, and that came from this address."""
        self._throttle.note(address, mark)

    async def _learn(
        self, token: str, mark: bytes, base: str, *name: str, fresh: bool
    ) -> Verdict[Any]:
        """Ask the proxy who the user is, or for a permission, together with whoever asks the same.

        A caller holds as little as may be while it waits, since the garbage collector goes through
        it all again and again: this one coroutine, and no callable where it joins a lookup.
        """
        self._check_open()
        if not is_token(token):
            return _NO_TOKEN
        self._stats.misses += 1
        here = self._here.get() or await self._start_here()
        key = self._memory.key(mark, base, *name)
        verdict: Verdict[Any]
        try:
            flight = here.flights.joinable(key, fresh=fresh)
            if flight is None:
                look_up = self._lookup(here, base, token, *name)
                verdict = await here.flights.run(key, look_up, fresh=fresh)
            else:
                verdict = await flight.wait()
        except FlightLostError as error:
            verdict = Unavailable(str(error))
        now = self._memory.key(mark, base, *name)
        if isinstance(verdict, Accepted) and now != key:
            return await self._learn(token, mark, base, *name, fresh=fresh)  # forgotten meanwhile
        if isinstance(verdict, Unavailable) and not fresh:
            return self._stale(now, base, *name) or verdict
        return verdict

    def _lookup(self, here: LoopState, base: str, token: str, *name: str) -> Callable[..., Any]:
        ask: Callable[..., Any] = self._lookups.permission if name else self._lookups.user
        return partial(ask, here.proxy, base, token, *name)

    def _stale(self, key: Hashable, base: str, *name: str) -> Verdict[Any] | None:
        """Return what the proxy, which cannot be asked, said not too long ago."""
        if not self.settings.stale_if_error_seconds:
            return None
        verdict = self._memory.stale(key, *name)
        if verdict is not None:
            self._stats.stale += 1
            self._say_stale(base)
        return verdict

    def _say_stale(self, base: str) -> None:
        """Log it once a second at most: every request of an outage comes by."""
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + 1
            said = "Auth proxy %s unavailable: answered from memory, past its time (%d so far)"
            _log.warning(said, base, self._stats.stale)

    def _refresh(self, token: str, key: Hashable, base: str, *name: str) -> None:
        """Start a lookup for what was just served and ends soon, unless one is under way."""
        here = self._here.get()
        if here is None or not self._memory.is_due(key, *name):
            return
        if here.flights.start(key, self._lookup(here, base, token, *name)):
            self._stats.refreshed += 1

    def _base(self, proxy_base_url: str | None) -> str:
        base = base_url(proxy_base_url) if proxy_base_url else self.base_url
        if base is None:
            raise OxaigenAuthConfigurationError(
                "Nothing says where the auth proxy is: pass proxy_base_url, or set "
                "OXAIGEN_AUTH_PROXY_URL_OVERRIDE or OXAIGEN_AUTH_DEV_MODE."
            )
        return base

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("This ProxyAuthClient is closed; make a new one.")

    async def _start_here(self) -> LoopState:
        """Make what belongs to this event loop. Does not yield to it."""
        at_once = self.settings.max_connections
        proxy = Proxy(
            self.settings.proxy_timeout_seconds,
            at_once,
            self._ssl_context,
            self._count_call,
            refuse_mock=self.settings.is_production,
        )
        here = LoopState(proxy, SingleFlight(on_join=self._count_join, max_pilots=at_once))
        self._here.set(here)
        await here.start()
        return here

    async def _leave_loop(self) -> None:
        here = self._here.get()
        if here is not None:
            self._here.set(None)
            await here.aclose()

    def _count_call(self) -> None:
        self._stats.upstream_calls += 1

    def _count_join(self) -> None:
        self._stats.joined += 1


@cache
def default_client() -> ProxyAuthClient:
    """Return the client that the dependencies share in this process."""
    return ProxyAuthClient()


async def aclose_client() -> None:
    """Close the default client; the next use makes a new one and reads the settings afresh."""
    client = default_client() if default_client.cache_info().currsize else None
    default_client.cache_clear()
    default_settings.cache_clear()
    if client is not None:
        await client.aclose()
