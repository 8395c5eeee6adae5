"""The engine itself: it connects its parts, and serves several event loops."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from typing import Any

from anyio import move_on_after, sleep
from coredis.connection import BaseConnection
from coredis.exceptions import RedisError

from oxaigen_auth._core.background import CLOSE_TIMEOUT, has_ended, running_loop
from oxaigen_auth._shared.redis import scripts
from oxaigen_auth._shared.redis.address import RedisAddress
from oxaigen_auth._shared.redis.errors import describe, translated
from oxaigen_auth._shared.redis.events import Authenticator, Event, Kind, decode
from oxaigen_auth._shared.redis.forks import call_after_fork
from oxaigen_auth._shared.redis.link import RedisLink
from oxaigen_auth._shared.redis.notices import Notices
from oxaigen_auth._shared.redis.outbox import Outbox
from oxaigen_auth._shared.redis.reader import Record, RedisReader
from oxaigen_auth._shared.redis.sender import RedisSender
from oxaigen_auth._shared.store import (
    NO_USER,
    Entry,
    EntryKey,
    Listener,
    PutResult,
    SharedStoreError,
    Snapshot,
)
from oxaigen_auth._syntax.shared_store_urls import RedisUrl

FLUSH_TIMEOUT = 0.7  # seconds, of `CLOSE_TIMEOUT`


class RedisStore:
    """Keeps entries, generations and leases in a Redis server.

    Args:
        authenticator: signs what makes entries invalid, and the messages about it.
        memory_seconds: at least the longest lifetime of an entry and the longest lookup together.
        ssl_context: for TLS; None trusts the authorities of the URL, or those of the system.
    """

    pushes = True

    def __init__(
        self,
        url: RedisUrl,
        authenticator: Authenticator,
        *,
        memory_seconds: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._address = RedisAddress(url, ssl_context)
        self._authenticator = authenticator
        self._channel = scripts.channel(url.database)
        self._memory_seconds = memory_seconds
        self._reader = RedisReader(authenticator, round(memory_seconds * 1000), self._is_pending)
        self._notices = Notices()
        self.name = str(url)
        self.rejected_messages = 0
        self._reset(())
        call_after_fork(self)

    def _reset(self, waiting: Iterable[Event]) -> None:
        self._links: dict[Any, RedisLink] = {}
        self._notices.reset()
        self._outbox = Outbox(self._memory_seconds)
        self._outbox.add(waiting)
        self._sender = RedisSender(
            self._outbox, self._authenticator, self._channel, self._reader.memory_ms
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def rejected_values(self) -> int:
        """How many generations and epochs were not signed with one of the secrets."""
        return self._reader.rejected

    @translated
    async def read(self, keys: Sequence[EntryKey]) -> Snapshot:
        """Return what is stored. Create the generations and the epoch that are missing."""
        return await self._reader.read(await self._connection(), keys)

    @translated
    async def acquire(self, keys: Sequence[EntryKey], owner: bytes) -> Snapshot:
        """Take the lease of the first key for `LEASE_SECONDS`, if it is free, and read."""
        return await self._reader.read_or_create(await self._connection(), keys, owner)

    @translated
    async def put(  # noqa: PLR0913 (what a stored entry depends on)
        self,
        key: EntryKey,
        entry: Entry,
        *,
        generation: bytes,
        epoch: bytes,
        count: int,
        lifetime: float,
        seen: Entry | None,
        owner: bytes,
    ) -> PutResult:
        """Store an entry for `lifetime` seconds, in the place of `seen`, and release the lease."""
        was_pending = self._is_pending(key, entry)
        result = await scripts.PUT.run(
            await self._connection(),
            [
                scripts.FLEET,
                scripts.MARKS,
                scripts.generation_key(key.token_id),
                scripts.entry_key(key),
                scripts.lease_key(key),
            ],
            owner,
            epoch,
            count,
            b"" if entry.user_tag == NO_USER else entry.user_tag,
            generation,
            Record.under(generation, epoch, count, entry).pack(),
            b"".join(seen or ()),
            0 if was_pending else round(lifetime * 1000),
            self._reader.memory_ms,
        )
        if was_pending or self._is_pending(key, entry):
            return PutResult.OUTDATED
        return PutResult(result.decode())

    @translated
    async def release(self, key: EntryKey, owner: bytes) -> None:
        """Release the lease if `owner` holds it."""
        await scripts.RELEASE.run(await self._connection(), [scripts.lease_key(key)], owner)

    def stamp(self, token_id: bytes) -> int:  # noqa: ARG002 (other engines need it)
        """Return 0: the listener is called instead."""
        return 0

    def forget(self, token_ids: Sequence[bytes]) -> None:
        """Give the tokens new generations, and tell the other processes. Return at once."""
        self._post(Event(Kind.TOKEN, token_id) for token_id in token_ids)

    def forget_user(self, user_tags: Sequence[bytes]) -> None:
        """Leave marks for the users, in the same way."""
        self._post(Event(Kind.USER, tag) for tag in user_tags)

    def forget_all(self) -> None:
        """Make a new epoch, in the same way."""
        self._post([Event(Kind.ALL)])

    def announce(self, topic: bytes) -> None:
        """Change `announced(topic)` in all processes."""
        self._post([Event(Kind.TOPIC, topic)])

    def announced(self, topic: bytes) -> int:
        """Return a number that changes with each announcement. Without I/O."""
        return self._notices.topics.get(topic, 0)

    def open(self, listener: Listener) -> None:
        """Begin to serve the running event loop. Return without yielding to it."""
        self._notices.begin(listener)
        self._open_link()

    def _open_link(self) -> RedisLink:
        """Return the link of the running event loop, and leave those of loops that have ended."""
        for link in [link for link in list(self._links.values()) if has_ended(link.loop)]:
            self._discard(link)
        if running_loop() not in self._links:
            link = RedisLink(self._channel, self._address.connect, self)
            self._links[link.loop] = link
            link.open()
        return self._links[running_loop()]

    async def aclose(self) -> None:
        """Send what `forget` still has to send, then close the connection of this event loop."""
        if running_loop() not in self._links and not self._outbox:
            return
        link = self._open_link()
        with move_on_after(CLOSE_TIMEOUT, shield=True):
            with move_on_after(FLUSH_TIMEOUT):
                while self._outbox:  # noqa: ASYNC110 (another thread may empty it)
                    await sleep(0.01)
            await link.aclose()
        self._discard(link)
        if not self._links:
            self._notices.on_unsent(self._outbox.waiting())

    def on_message(self, data: bytes) -> None:
        """Pass on the events of an authentic message."""
        message = self._authenticator.verify(data)
        if message is None:
            self.rejected_messages += 1
            return
        for event in decode(message):
            self._notices.dispatch(event)

    def on_live(self, link: RedisLink, *, live: bool) -> None:
        """Tell the listener if this was the first connection, or the last one."""
        self._notices.on_live(link, live=live)

    def on_end(self, link: RedisLink) -> None:
        """Forget a link that has ended, perhaps because its event loop ends."""
        self._discard(link)

    async def send_pending(self, connection: BaseConnection) -> None:
        """Send what this process has forgotten."""
        try:
            await self._sender.send_pending(connection)
        except RedisError as error:
            self._notices.on_sending(describe(error))
            raise
        if not self._outbox:
            self._notices.on_sending(None)

    def reconnect(self) -> None:
        """End the connection of the running event loop, so that a new one is made."""
        self._links[running_loop()].reconnect()

    async def _connection(self) -> BaseConnection:
        link = self._links.get(running_loop())
        if link is None:
            raise SharedStoreError("the store is not open in this event loop")
        return await link.connection()

    def _is_pending(self, key: EntryKey, entry: Entry) -> bool:
        """Whether this process has forgotten an entry, but the server may not know that yet."""
        return bool(self._outbox) and (
            Event(Kind.ALL) in self._outbox
            or Event(Kind.TOKEN, key.token_id) in self._outbox
            or Event(Kind.USER, entry.user_tag) in self._outbox
        )

    def _post(self, events: Iterable[Event]) -> None:
        self._outbox.add(events)
        for link in list(self._links.values()):
            link.wake()

    def _discard(self, link: RedisLink) -> None:
        if self._links.get(link.loop) is link:
            del self._links[link.loop]
        self._notices.on_live(link, live=False)

    def after_fork(self) -> object:
        """Begin anew in a child. Return what the parent uses, and the child must not close."""
        links = self._links
        self._reset(self._outbox.waiting())
        return links
