"""The interface of an engine: what the workers of a fleet share, as bytes.

An engine holds entries, generations and leases. It knows neither tokens nor users nor the secret:
what it stores is sealed, and it is not trusted.

generation  a random value per token. A new one invalidates the entries of the token and the lookups
            that started before. `read` creates it, so a lookup always begins with one.
epoch       a random value for all tokens, in the same way.
count       how many times a user was forgotten. A mark holds the count at which its user was
            forgotten: it invalidates what a lookup brings that began with a smaller count.
lease       held by the worker that asks the proxy, so that the others wait for its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from attrs import frozen

NO_USER = bytes(16)  # the user tag of an entry that is not about a user

LEASE_SECONDS = 0.5  # after that another worker may ask


class SharedStoreError(Exception):
    """The engine gave no usable answer. The message is for the log; it holds no secret."""


class EntryKey(NamedTuple):
    """Where an entry is stored: 16 bytes for the token, and 16 for what is asked about it."""

    token_id: bytes
    question_id: bytes


class PutResult(Enum):
    STORED = "stored"
    OUTDATED = "outdated"  # something was forgotten since the lookup began
    LOST = "lost"  # the engine does not know, as it has lost what the lookup began with
    SUPERSEDED = "superseded"  # another worker stored a verdict meanwhile


class Entry(NamedTuple):
    """A sealed verdict, and 16 bytes that identify its user, or `NO_USER`."""

    user_tag: bytes
    sealed: bytes


class Found(NamedTuple):
    """What an engine holds for one key.

    `mark` is the count at which the user of the entry was forgotten; 0 if that is not known.
    """

    generation: bytes
    entry: Entry | None
    mark: int


@frozen
class Snapshot:
    """What an engine holds for several keys, read at one moment.

    Args:
        found: one for each key, in their order.
        leads: the caller holds the lease now. Only `acquire` grants it.
    """

    epoch: bytes
    count: int
    found: Sequence[Found]
    leads: bool = False


class Listener(Protocol):
    """Is called by an engine when another process, or this one, has forgotten something.

    May be called in any thread. An engine whose `stamp` changes instead does not call the first
    three.
    """

    def on_token_forgotten(self, token_id: bytes) -> None: ...
    def on_user_forgotten(self, user_tag: bytes) -> None: ...
    def on_all_forgotten(self) -> None: ...

    def on_listening(self, *, live: bool) -> None:
        """Events arrive from now on, or some may have been lost. It begins with `live=False`."""

    def on_sending(self, problem: str | None) -> None:
        """What is forgotten cannot be sent to the engine, or it can be again if this is None."""


class SharedStore(Protocol):
    """Serves all event loops of one client. Each call may be cancelled; the caller sets deadlines.

    Attributes:
        name: for logs: the URL without user and password.
        pushes: whether it calls the listener; otherwise `stamp` changes.

    Raises:
        SharedStoreError: from each coroutine, if the engine gives no usable answer.
    """

    name: str
    pushes: bool

    async def read(self, keys: Sequence[EntryKey]) -> Snapshot:
        """Return what is stored. Create the generations and the epoch that are missing."""
        ...

    async def acquire(self, keys: Sequence[EntryKey], owner: bytes) -> Snapshot:
        """Take the lease of the first key for `LEASE_SECONDS`, if it is free, and read."""
        ...

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
        """Store an entry for `lifetime` seconds, in the place of `seen`, and release the lease.

        Store nothing if the token's generation or the epoch is another one, if the mark of the
        entry's user is greater than `count`, or if the stored entry is not `seen` any more. With a
        `lifetime` of 0, store nothing, but return the same. The lease is released if `owner`
        holds it, whatever is returned.

        A generation or an epoch that was lost, even if it was made again by `read`, is `LOST`.
        """
        ...

    async def release(self, key: EntryKey, owner: bytes) -> None:
        """Release the lease if `owner` holds it."""
        ...

    def stamp(self, token_id: bytes) -> int:
        """Return a number that changes when the token, any user or everything is forgotten.

        Without I/O. It is 0 if that is not known, and always if the engine calls the listener.
        """
        ...

    def forget(self, token_ids: Sequence[bytes]) -> None:
        """Give the tokens new generations, and tell the other processes.

        Return at once, in any thread. If the engine cannot be reached, it is tried again until no
        entry can be left. Deleting the entries is best effort.
        """
        ...

    def forget_user(self, user_tags: Sequence[bytes]) -> None:
        """Leave marks for the users, in the same way."""
        ...

    def forget_all(self) -> None:
        """Make a new epoch, in the same way."""
        ...

    def announce(self, topic: bytes) -> None:
        """Change `announced(topic)` in all processes, best effort. A topic has 16 bytes."""
        ...

    def announced(self, topic: bytes) -> int:
        """Return a number that changes with each announcement. Without I/O."""
        ...

    def open(self, listener: Listener) -> None:
        """Begin to serve the running event loop. Return without yielding to it.

        Called again for each event loop; the listener is the same one.
        """
        ...

    async def aclose(self) -> None:
        """Send what `forget` still has to send, then close the connections of this event loop.

        Bounded to one second.
        """
        ...
