"""Sends events to the server: first it makes entries invalid, then it tells the other workers."""

from __future__ import annotations

from attrs import frozen
from coredis.connection import BaseConnection
from coredis.exceptions import RedisError, ResponseError

from oxaigen_auth._shared.redis import scripts
from oxaigen_auth._shared.redis.errors import is_out_of_memory
from oxaigen_auth._shared.redis.events import Authenticator, Kind, encode
from oxaigen_auth._shared.redis.origins import Origin, new_epoch, new_generation
from oxaigen_auth._shared.redis.outbox import Outbox
from oxaigen_auth._shared.redis.scripts import Script

MAX_BATCH = 256  # events that are sent together

MARKS_MS = 24 * 3600 * 1000  # at least; other workers may keep entries for longer than this one

_FLEET = [scripts.FLEET, scripts.MARKS]


@frozen
class RedisSender:
    """Sends the events of an outbox over the connection of any event loop."""

    outbox: Outbox
    authenticator: Authenticator
    channel: bytes
    memory_ms: int

    async def send_pending(self, connection: BaseConnection) -> None:
        """Send all waiting events. If that fails or is cancelled, they wait again.

        What the server refuses of one kind does not keep those of other kinds.

        Raises:
            coredis.exceptions.RedisError: some were not sent.
        """
        failures: list[RedisError] = []
        for kind in Kind:
            try:
                await self._send_kind(connection, kind)
            except RedisError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _send_kind(self, connection: BaseConnection, kind: Kind) -> None:
        while batch := self.outbox.take(kind, MAX_BATCH):
            try:
                await self._send(connection, kind, [event.id for event in batch])
            except BaseException:
                self.outbox.put_back(batch)
                raise
            self.outbox.confirm(batch)

    async def _send(self, connection: BaseConnection, kind: Kind, ids: list[bytes]) -> None:
        if kind is Kind.TOKEN:
            await self._replace_generations(connection, ids)
        elif kind is Kind.USER and not await self._leave_marks(connection, ids):
            await self._send(connection, Kind.ALL, [])
        elif kind is Kind.ALL:
            await self._replace_epoch(connection)
        message = self.authenticator.sign(encode(kind, ids))
        await connection.create_request(b"PUBLISH", self.channel, message)

    async def _replace_generations(self, connection: BaseConnection, ids: list[bytes]) -> None:
        new = (
            self.authenticator.sign(new_generation(token_id, Origin.FORGOTTEN)) for token_id in ids
        )
        names = list(map(scripts.generation_key, ids))
        await self._replace(connection, scripts.FORGET_TOKENS, names, self.memory_ms, *new)

    async def _replace_epoch(self, connection: BaseConnection) -> None:
        new = self.authenticator.sign(new_epoch(Origin.FORGOTTEN))
        await self._replace(connection, scripts.FORGET_ALL, _FLEET, new)

    async def _replace(
        self, connection: BaseConnection, script: Script, names: list[bytes], *args: bytes | int
    ) -> None:
        """Run a script that replaces values; if the server, which is full, refuses, delete them."""
        try:
            await script.run(connection, names, *args)
        except RedisError as error:
            if not is_out_of_memory(error):
                raise
            await connection.create_request(b"DEL", *names)

    async def _leave_marks(self, connection: BaseConnection, tags: list[bytes]) -> bool:
        """Mark users as forgotten. Return False if the server, for example a full one, refuses."""
        epoch = self.authenticator.sign(new_epoch(Origin.FORGOTTEN))
        memory = max(self.memory_ms, MARKS_MS)
        try:
            await scripts.FORGET_USERS.run(connection, _FLEET, memory, epoch, *tags)
        except ResponseError:
            return False
        return True
