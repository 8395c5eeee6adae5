"""What is done with the rows of an SQLite store. Synchronous; one statement or one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from attrs import frozen

from oxaigen_auth._shared.clocks import boot_time
from oxaigen_auth._shared.sqlite_database import Database
from oxaigen_auth._shared.store import LEASE_SECONDS, Entry, EntryKey, PutResult

FILE_ID_SIZE = 16  # bytes of a generation
_MARKS = 10_000  # a lookup during which more users were forgotten is not believed
_PURGE_ROWS = 128
_EVICT_ROWS = 512


def read_rows(
    database: Database, keys: Sequence[EntryKey]
) -> tuple[int, list[tuple[bytes, Entry] | None]]:
    """Return the count, and for each key what its entry is bound to, with the entry."""
    now = boot_time()
    values = [value for key in keys for value in (*key, now)]
    rows = database.execute(_read_statement(len(keys)), values).fetchall()
    found: list[tuple[bytes, Entry] | None] = [None] * len(keys)
    for index, _, user_tag, sealed, bound in rows:
        if bound is not None:
            found[index] = bound, Entry(user_tag, sealed)
    count = rows[0][1]
    if not 0 <= count < 2**62:
        raise ValueError("the count is damaged")
    return count, found


@cache
def _read_statement(keys: int) -> str:
    return " UNION ALL ".join(
        f"SELECT {index}, CAST(count AS INTEGER), {_USER_TAG}, {_SEALED}, bound "  # noqa: S608
        f"FROM counter LEFT JOIN entries ON token_id = ? AND question_id = ? AND expires > ?"
        for index in range(keys)
    )


# A file that was changed by others may hold values of other types.
_USER_TAG = "CAST(coalesce(user_tag, '') AS BLOB)"
_SEALED = "CAST(coalesce(sealed, '') AS BLOB)"


def take_lease(database: Database, key: EntryKey, owner: bytes) -> bool:
    """Take a lease for `LEASE_SECONDS`. Return whether the owner holds it."""
    # Most callers wait for a lease that another one holds: they need no write lock.
    if database.execute(_HELD, _lease(key, owner)).fetchone():
        return False
    with database.transaction():
        # The clock is read again: a lease that was taken meanwhile must not seem to be too long.
        return database.execute(_TAKE, _lease(key, owner)).rowcount == 1


def _lease(key: EntryKey, owner: bytes) -> tuple[bytes, bytes, float, float]:
    now = boot_time()
    return b"".join(key), owner, now, now + LEASE_SECONDS


# A lease that is valid for longer than a lease can be is from another clock.
_HELD = "SELECT 1 FROM leases WHERE key = ?1 AND owner <> ?2 AND expires > ?3 AND expires <= ?4"
_TAKE = """
INSERT INTO leases VALUES (?1, ?2, ?4) ON CONFLICT DO UPDATE SET owner = ?2, expires = ?4
WHERE owner = ?2 OR expires <= ?3 OR expires > ?4
"""


def release_lease(database: Database, key: EntryKey, owner: bytes) -> None:
    """Release a lease if the owner holds it."""
    values = b"".join(key), owner
    database.execute("DELETE FROM leases WHERE key = ? AND owner = ?", values)


@frozen
class Put:
    """An entry to store, and what its lookup had read.

    Args:
        bound: the generation and the epoch.
        lifetime: in seconds; 0 to only check.
        seen: the entry that was read.
    """

    key: EntryKey
    entry: Entry
    bound: bytes
    count: int
    lifetime: float
    seen: Entry | None
    owner: bytes


def changed(put: Put, bound: bytes) -> PutResult | None:
    """Return what has happened if `bound` is not what the lookup has read; None if it is."""
    if put.bound == bound:
        return None
    is_same_file = put.bound[:FILE_ID_SIZE] == bound[:FILE_ID_SIZE]
    return PutResult.OUTDATED if is_same_file else PutResult.LOST


def put_entry(database: Database, put: Put, bound: bytes) -> PutResult:
    """Store an entry, if `bound` is still the current generation and epoch; release the lease."""
    with database.transaction():
        result = changed(put, bound) or _check(database, put)
        if result is PutResult.STORED and put.lifetime > 0:
            values = *put.key, *put.entry, put.bound, boot_time() + put.lifetime
            database.execute(_STORE, values)
        release_lease(database, put.key, put.owner)
    return result


def _check(database: Database, put: Put) -> PutResult:
    values = put.entry.user_tag, *put.key, boot_time()
    count, mark, user_tag, sealed, bound = database.execute(_CHECK, values).fetchone()
    if mark > put.count or count - _MARKS > put.count:
        return PutResult.OUTDATED
    if bound == put.bound and Entry(user_tag, sealed) != put.seen:
        return PutResult.SUPERSEDED
    return PutResult.STORED


_CHECK = """
SELECT count, coalesce((SELECT count FROM marks WHERE user_tag = ?), 0), user_tag, sealed, bound
FROM counter LEFT JOIN entries ON token_id = ? AND question_id = ? AND expires > ?
"""
_STORE = """
INSERT INTO entries (token_id, question_id, user_tag, sealed, bound, expires)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO UPDATE SET user_tag = ?3, sealed = ?4, bound = ?5, expires = ?6
"""


def delete_tokens(database: Database, token_ids: Sequence[bytes]) -> None:
    """Delete the entries of tokens."""
    with database.transaction():
        for token_id in token_ids:
            database.execute("DELETE FROM entries WHERE token_id = ?", (token_id,))


def mark_users(database: Database, user_tags: Sequence[bytes]) -> None:
    """Increment the count, mark the users with it, and delete their entries."""
    with database.transaction():
        database.execute("UPDATE counter SET count = count + 1")
        (count,) = database.execute("SELECT count FROM counter").fetchone()
        for user_tag in user_tags:
            database.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (user_tag, count))
            database.execute("DELETE FROM entries WHERE user_tag = ?", (user_tag,))
        if count % (_MARKS // 10) == 0:
            database.execute("DELETE FROM marks WHERE count <= ?", (count - _MARKS,))


def purge(database: Database) -> None:
    """Delete some rows that have expired."""
    with database.transaction():
        now = boot_time()
        database.execute("DELETE FROM leases WHERE expires <= ?", (now,))
        database.execute(_DELETE_OLDEST.format("WHERE expires <= ?"), (now, _PURGE_ROWS))


def evict(database: Database) -> bool:
    """Delete the entries that expire next. Return False if there are none."""
    with database.transaction():
        return database.execute(_DELETE_OLDEST.format(""), (_EVICT_ROWS,)).rowcount > 0


_DELETE_OLDEST = (
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries {} ORDER BY expires LIMIT ?)"
)
