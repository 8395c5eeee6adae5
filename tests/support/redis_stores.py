"""Redis engines as a client opens them, and what they tell it."""

from __future__ import annotations

import hmac
from contextlib import asynccontextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from attrs import define, field

from oxaigen_auth._shared.redis import RedisStore
from oxaigen_auth._shared.store import Entry, EntryKey, SharedStoreError
from oxaigen_auth._syntax.shared_store_urls import RedisUrl, parse_shared_store_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable


T = TypeVar("T")


@define(slots=False)
class Secret:
    """Signs messages with a key."""

    key: bytes = b"secret"

    def sign(self, message: bytes) -> bytes:
        return self._code(message) + message

    def verify(self, signed: bytes) -> bytes | None:
        code, message = signed[:16], signed[16:]
        return message if hmac.compare_digest(code, self._code(message)) else None

    def _code(self, message: bytes) -> bytes:
        return hmac.digest(self.key, message, "sha256")[:16]


@define(eq=False)
class Log:
    """A listener that keeps what it is told, and when it was told whether events arrive."""

    events: list[Any] = field(factory=list)
    states: list[tuple[bool, float]] = field(factory=list)
    problems: list[str | None] = field(factory=list)

    @property
    def live(self) -> bool:
        return bool(self.states) and self.states[-1][0]

    def on_token_forgotten(self, token_id: bytes) -> None:
        self.events.append(token_id)

    def on_user_forgotten(self, user_tag: bytes) -> None:
        self.events.append(user_tag)

    def on_all_forgotten(self) -> None:
        self.events.append("all")

    def on_listening(self, *, live: bool) -> None:
        self.states.append((live, monotonic()))

    def on_sending(self, problem: str | None) -> None:
        self.problems.append(problem)


@asynccontextmanager
async def opened(
    url: str, listener: Log | None = None, *, secret: bytes = b"secret", **options: Any
) -> AsyncGenerator[RedisStore]:
    """Open an engine in the running event loop until the block ends."""
    store = RedisStore(redis_url(url), Secret(secret), **options)
    store.open(listener or Log())
    try:
        yield store
    finally:
        await store.aclose()


def redis_url(text: str) -> RedisUrl:
    url = parse_shared_store_url(text)
    assert isinstance(url, RedisUrl)
    return url


async def entry_of(store: RedisStore, key: EntryKey) -> Entry | None:
    found = (await store.read([key])).found[0]
    return found.entry


async def eventually(condition: Callable[[], bool], seconds: float = 5) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 (what a server or another thread does)
            await anyio.sleep(0.005)


async def recovered(call: Callable[[], Awaitable[T]], seconds: float = 5) -> T:
    """Call until it does not fail, and return the result."""
    with anyio.fail_after(seconds):
        while True:
            try:
                return await call()
            except SharedStoreError:
                await anyio.sleep(0.005)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what an event loop of another thread does."""
    deadline = monotonic() + 10
    while not condition():
        assert monotonic() < deadline
        sleep(0.005)
