"""What each engine of a shared store does, as tests. An engine's tests inherit them.

The fixtures of the engine are `store`, and `other`: the same engine as another process sees it.
Both are open. An engine may take a moment until the other process sees something.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import anyio
import pytest

from oxaigen_auth._shared.store import (
    LEASE_SECONDS,
    NO_USER,
    Entry,
    EntryKey,
    PutResult,
    SharedStore,
    Snapshot,
)

ANN, BEN = b"ann".ljust(16, b"."), b"ben".ljust(16, b".")
SEALED = Entry(ANN, b"\0\r\n:sealed")  # looks like Redis's protocol


def new_key(token_id: bytes | None = None) -> EntryKey:
    return EntryKey(token_id or os.urandom(16), os.urandom(16))


async def put(  # noqa: PLR0913 (what tests vary)
    store: SharedStore,
    key: EntryKey,
    asked: Snapshot,
    entry: Entry = SEALED,
    *,
    lifetime: float = 60,
    owner: bytes = b"nobody",
) -> PutResult:
    """Store an entry for a lookup that began with a snapshot of only this key."""
    return await store.put(
        key,
        entry,
        generation=asked.found[0].generation,
        epoch=asked.epoch,
        count=asked.count,
        lifetime=lifetime,
        seen=asked.found[0].entry,
        owner=owner,
    )


async def stored(store: SharedStore, entry: Entry = SEALED) -> EntryKey:
    """Store an entry for a new key."""
    key = new_key()
    assert await put(store, key, await store.read([key]), entry) is PutResult.STORED
    return key


def valid(snapshot: Snapshot, count: int = 0) -> Entry | None:
    """The entry of the first key, unless its user was forgotten after the count."""
    found = snapshot.found[0]
    return found.entry if found.mark <= count else None


async def eventually(condition: Callable[[], bool]) -> None:
    changed = False
    with anyio.fail_after(5):
        while not changed:
            await anyio.sleep(0.005)
            changed = condition()


@pytest.mark.anyio
class SharedStoreContract:
    async def test_an_entry_is_read_by_the_other_process(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = await stored(store)
        assert (await other.read([key])).found[0].entry == SEALED

    async def test_keys_are_read_in_their_order(self, store: SharedStore) -> None:
        first, second = await stored(store, Entry(ANN, b"1")), await stored(store, Entry(BEN, b"2"))
        found = (await store.read([second, new_key(), first])).found
        assert [one.entry for one in found] == [Entry(BEN, b"2"), None, Entry(ANN, b"1")]

    async def test_a_later_entry_replaces_an_earlier_one(self, store: SharedStore) -> None:
        key = await stored(store)
        later = Entry(NO_USER, b"later")
        assert await put(store, key, await store.read([key]), later) is PutResult.STORED
        assert (await store.read([key])).found[0].entry == later

    async def test_an_entry_that_the_lookup_has_not_seen_is_not_replaced(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = new_key()
        asked = await store.acquire([key], b"first")
        assert await put(other, key, asked) is PutResult.STORED
        later = Entry(BEN, b"later")
        assert await put(store, key, asked, later, lifetime=0) is PutResult.SUPERSEDED
        assert await put(store, key, asked, later, owner=b"first") is PutResult.SUPERSEDED
        after = await other.acquire([key], b"second")
        assert after.leads
        assert after.found[0].entry == SEALED

    async def test_a_lookup_whose_entry_has_expired_is_stored(self, store: SharedStore) -> None:
        key = new_key()
        assert await put(store, key, await store.read([key]), lifetime=0.05) is PutResult.STORED
        asked = await store.read([key])
        await anyio.sleep(0.1)
        assert await put(store, key, asked) is PutResult.STORED

    async def test_questions_about_one_token_have_one_generation_and_own_entries(
        self, store: SharedStore
    ) -> None:
        key = await stored(store)
        first, second = (await store.read([key, new_key(key.token_id)])).found
        assert first.generation == second.generation
        assert second.entry is None

    async def test_generations_and_the_epoch_stay_while_nothing_is_forgotten(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = new_key()
        assert await store.read([key]) == await other.read([key]) == await store.read([key])

    async def test_an_entry_expires(self, store: SharedStore) -> None:
        key = new_key()
        assert await put(store, key, await store.read([key]), lifetime=0.05) is PutResult.STORED
        await anyio.sleep(0.1)
        assert (await store.read([key])).found[0].entry is None

    async def test_an_entry_without_a_lifetime_is_only_checked(self, store: SharedStore) -> None:
        key = new_key()
        asked = await store.read([key])
        assert await put(store, key, asked, lifetime=0) is PutResult.STORED
        assert (await store.read([key])).found[0].entry is None
        store.forget([key.token_id])
        await _until_changed(store, key, asked)
        assert await put(store, key, asked, lifetime=0) is PutResult.OUTDATED

    async def test_a_forgotten_token_has_another_generation_and_no_entry(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key, kept = await stored(store), await stored(store)
        before = await other.read([key])
        store.forget([os.urandom(16), key.token_id])
        after = await _until_changed(other, key, before)
        assert after.found[0].entry is None
        assert after.epoch == before.epoch
        assert (await other.read([kept])).found[0].entry == SEALED

    async def test_a_lookup_that_began_before_a_forget_is_not_believed(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = new_key()
        asked = await other.read([key])
        store.forget([key.token_id])
        await _until_changed(other, key, asked)
        assert await put(other, key, asked) is PutResult.OUTDATED
        now = await other.read([key])
        assert now.found[0].entry is None
        assert await put(other, key, now) is PutResult.STORED

    async def test_after_forget_all_no_entry_and_no_lookup_from_before_is_valid(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = await stored(store)
        before = await other.read([key])
        store.forget_all()
        after = await _until_changed(other, key, before)
        assert after.epoch != before.epoch
        assert after.found[0].entry is None
        assert await put(other, key, before) is PutResult.OUTDATED

    async def test_after_forget_user_no_entry_and_no_lookup_from_before_is_valid(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        anns, bens = await stored(store), await stored(store, Entry(BEN, b"ben"))
        before = await other.read([anns])
        store.forget_user([b"unknown.........", ANN])
        after = await _until_changed(other, anns, before)
        assert after.count > before.count
        assert valid(after) is None
        assert valid(await other.read([bens])) == Entry(BEN, b"ben")
        assert await put(other, anns, before) is PutResult.OUTDATED
        assert (
            await put(other, bens, await other.read([bens]), Entry(BEN, b"again"))
            is PutResult.STORED
        )

    async def test_a_lookup_that_began_after_forget_user_is_stored(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = await stored(store)
        before = await other.read([key])
        store.forget_user([ANN])
        after = await _until_changed(other, key, before)
        assert await put(other, key, after) is PutResult.STORED
        assert valid(await other.read([key]), after.count) == SEALED

    async def test_one_of_two_takes_a_lease_until_it_is_released(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = new_key()
        assert (await store.acquire([key], b"first")).leads
        assert not (await other.acquire([key], b"second")).leads
        assert (await other.acquire([new_key(key.token_id)], b"second")).leads
        await other.release(key, b"second")
        assert not (await other.acquire([key], b"second")).leads
        await store.release(key, b"first")
        assert (await other.acquire([key], b"second")).leads

    async def test_a_lease_ends_by_itself(self, store: SharedStore, other: SharedStore) -> None:
        key = new_key()
        assert (await store.acquire([key], b"first")).leads
        await anyio.sleep(LEASE_SECONDS + 0.1)
        assert (await other.acquire([key], b"second")).leads
        assert not (await store.acquire([key], b"first")).leads

    async def test_a_put_releases_the_lease_of_its_owner_only(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = new_key()
        asked = await store.acquire([key], b"first")
        assert await put(other, key, asked, owner=b"second") is PutResult.STORED
        assert not (await other.acquire([key], b"second")).leads
        assert await put(store, key, await store.read([key]), owner=b"first") is PutResult.STORED
        after = await other.acquire([key], b"second")
        assert after.leads
        assert after.found[0].entry == SEALED

    async def test_a_put_that_is_refused_releases_the_lease(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        key = new_key()
        asked = await store.acquire([key], b"first")
        store.forget([key.token_id])
        await _until_changed(store, key, asked)
        assert await put(store, key, asked, owner=b"first") is PutResult.OUTDATED
        assert (await other.acquire([key], b"second")).leads

    async def test_an_announcement_changes_its_number_in_all_processes(
        self, store: SharedStore, other: SharedStore
    ) -> None:
        topic = os.urandom(16)
        mine, others = store.announced(topic), other.announced(topic)
        store.announce(topic)
        await eventually(lambda: other.announced(topic) != others)
        await eventually(lambda: store.announced(topic) != mine)


async def _until_changed(store: SharedStore, key: EntryKey, before: Snapshot) -> Snapshot:
    """Read until something was forgotten."""
    after = before
    with anyio.fail_after(5):
        while _without_entries(after) == _without_entries(before):
            await anyio.sleep(0.005)
            after = await store.read([key])
    return after


def _without_entries(snapshot: Snapshot) -> tuple[bytes, int, bytes]:
    return snapshot.epoch, snapshot.count, snapshot.found[0].generation
