"""A fake of the auth proxy that runs in the process of the tests.

It is a transport of the HTTP library, so that the SDK's own HTTP code runs, except for connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from math import inf
from typing import Any, Literal, TypeAlias

import anyio
from attrs import define, field, frozen

from oxaigen_auth._default_client import default_transports
from oxaigen_auth._syntax.tokens import is_token
from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.models import User
from oxaigen_auth.observers import Observer
from oxaigen_auth.settings import OxaigenAuthSettings
from oxaigen_auth.testing.process import reset
from oxaigen_auth.testing.users import make_user

BASE_URL = "https://proxy.example.com"

Endpoint: TypeAlias = Literal["get-me", "test-app-permission"]

_ANSWERS = {200, 401, 403}  # the statuses that are no failure


@frozen
class ProxyCall:
    """A call that a fake proxy received. Its `repr` does not show the token.

    Attributes:
        endpoint: `get-me` or `test-app-permission`.
        permission: the permission that was asked for, otherwise None.
        user_name: that of the token's user; None if the token is unknown.
        base_url: the URL of the proxy that was called, without a trailing slash.
    """

    endpoint: Endpoint
    permission: str | None
    user_name: str | None
    base_url: str
    token: str = field(repr=False)


@define(eq=False)
class FakeProxy(httpx.AsyncBaseTransport):
    """A proxy without a socket that accepts the tokens that a test adds, and counts calls.

    It rejects all other tokens. The SDK caches its answers and coalesces calls as in production: a
    change has an effect at once after `client.forget(token)`, or with `cache_ttl_seconds=0`.

    Attributes:
        delay: for how many seconds each call waits, by the clock of the event loop.

    >>> import anyio
    >>> proxy = FakeProxy()
    >>> ada = proxy.add_user("adas-token", user_name="ada", permissions=["audit"])
    >>> async def main() -> None:
    ...     async with proxy.client() as client:
    ...         print(await client.get_me("adas-token") == ada)
    ...         print(await client.test_permission("adas-token", "audit"))
    >>> anyio.run(main)
    True
    True
    >>> proxy.count("adas-token"), proxy.count(endpoint="test-app-permission")
    (2, 1)
    """

    delay: float = 0.0
    _users: dict[str, User] = field(factory=dict, init=False, repr=False)
    _refusals: dict[str, tuple[int, str]] = field(factory=dict, init=False, repr=False)
    _calls: list[ProxyCall] = field(factory=list, init=False, repr=False)
    _failures: float = field(default=0, init=False)  # calls that are still to fail
    _status: int | None = field(default=None, init=False)

    def add_user(
        self,
        token: str,
        user: User | None = None,
        *,
        permissions: Iterable[str] | None = None,
        roles: Iterable[str] | None = None,
        **profile: Any,
    ) -> User:
        """Accept a token from now on, also after `reject` or `forbid`, and return its user.

        The arguments are those of `as_user`. The user holds exactly the permissions of the profile.

        Raises:
            TypeError: a field is unknown, or a value has the wrong type.
            ValueError: the token or the name of a permission is invalid.
        """
        user = make_user("add_user", user, permissions, roles, profile)
        self._users[_checked(token)] = user
        self._refusals.pop(token, None)
        return user

    def reject(self, token: str, detail: str = "Invalid token") -> None:
        """Answer 401 to a token from now on, as if it had expired or been revoked.

        Raises:
            ValueError: the token is invalid.
        """
        self._refusals[_checked(token)] = (401, detail)

    def forbid(self, token: str, detail: str = "Not allowed for this application") -> None:
        """Answer 403 to a token from now on, as if it were valid, but not for this app.

        Raises:
            ValueError: the token is invalid.
        """
        self._refusals[_checked(token)] = (403, detail)

    def fail(self, status: int | None = None, *, times: int | None = None) -> None:
        """Fail from now on, until `recover`, or for this number of calls.

        Args:
            status: of the answers. Default: connections are refused.
            times: None: until `recover`.

        Raises:
            ValueError: the status is 200, 401 or 403, which is an answer and no failure.
        """
        if status in _ANSWERS:
            raise ValueError(
                f"{status} is an answer: write proxy.add_user, reject or forbid(token)"
            )
        self._failures = inf if times is None else times
        self._status = status

    def recover(self) -> None:
        """Answer again after `fail`."""
        self._failures = 0

    @property
    def calls(self) -> list[ProxyCall]:
        """The calls that were received, as a new list at every read."""
        return list(self._calls)

    def count(self, token: str | None = None, /, *, endpoint: Endpoint | None = None) -> int:
        """Return the number of calls: all of them, or those with this token or endpoint."""
        return sum(
            token in {None, call.token} and endpoint in {None, call.endpoint}
            for call in self._calls
        )

    def client(
        self,
        proxy_base_url: str | None = BASE_URL,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        observers: Iterable[Observer] = (),
        **settings: Any,
    ) -> ProxyAuthClient:
        """Return a client of this proxy, with these settings and none of the environment.

        Args:
            proxy_base_url: None: from the host of each request. This proxy answers for any host.
            clock: as for `ProxyAuthClient`; in virtual time, `anyio.current_time`.
            wall_clock: as for `ProxyAuthClient`.
            observers: as for `ProxyAuthClient`.
            settings: as for `OxaigenAuthSettings`.

        >>> from fastapi import FastAPI
        >>> from oxaigen_auth import OxaigenAuthMiddleware
        >>> app, proxy = FastAPI(), FakeProxy()
        >>> app.add_middleware(OxaigenAuthMiddleware, client=proxy.client(cache_ttl_seconds=0))
        """
        return ProxyAuthClient(
            proxy_base_url,
            settings=OxaigenAuthSettings(**settings),
            clock=clock,
            wall_clock=wall_clock,
            observers=observers,
            transport=self,
        )

    @contextmanager
    def installed(self) -> Generator[FakeProxy]:
        """Make the default client, which the dependencies share, ask this proxy during the block.

        The default client, its settings and caches are new at the beginning and at the end. It does
        not use the shared store of the environment, in which other processes would find what this
        proxy accepts; `client(shared_store=…)` makes a client with a store.
        """
        reset()
        default_transports.append(self)
        try:
            yield self
        finally:
            default_transports.remove(self)
            reset()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return after `delay` seconds the answer that was set when the call arrived."""
        answer = self._answer(request)
        await anyio.sleep(self.delay)
        if answer is None:
            raise httpx.ConnectError("the fake proxy refuses connections")
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response | None:
        base_url, _, path = str(request.url).partition("/_oxa_auth/")
        endpoint: Any
        endpoint, _, permission = path.partition("/")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self._users.get(token)
        name = user.user_name if user else None
        self._calls.append(ProxyCall(endpoint, permission or None, name, base_url, token))
        if self._failures > 0:
            self._failures -= 1
            return httpx.Response(self._status) if self._status else None
        status, detail = self._refusals.get(token, (401, "Invalid token"))
        if user is None or token in self._refusals:
            return httpx.Response(status, json={"detail": detail})
        if permission:
            granted = user.has_permission(permission)
            return httpx.Response(200 if granted else 403, json=granted)
        profile = user.to_dict()
        return httpx.Response(200, json={**profile.pop("extra"), **profile})


def _checked(token: str) -> str:
    if not is_token(token):
        raise ValueError('a token is visible ASCII without spaces, and without "Bearer" before it')
    return token
