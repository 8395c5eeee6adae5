"""Whether the shared store works: its place, its server, reading and writing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from secrets import token_bytes, token_hex
from statistics import median
from typing import TYPE_CHECKING

from anyio import fail_after
from anyio.from_thread import start_blocking_portal
from attrs import define, field

from oxaigen_auth._shared.store import (
    NO_USER,
    Entry,
    EntryKey,
    PutResult,
    SharedStore,
    SharedStoreError,
)
from oxaigen_auth._syntax.shared_store_urls import (
    RedisUrl,
    SharedStoreUrl,
    SqliteUrl,
    parse_shared_store_url,
)
from oxaigen_auth.cli.report import Finding
from oxaigen_auth.errors import OxaigenAuthConfigurationError
from oxaigen_auth.settings import OxaigenAuthSettings

if TYPE_CHECKING:
    from oxaigen_auth._shared.keys import Keyring
    from oxaigen_auth._shared.redis.server_facts import ServerFacts

CHECK = "Shared store"
TIMEOUT = 3.0  # seconds, for all calls together
ROUNDS = 5
SLOW = 0.05  # seconds for a call; a lookup makes three before it asks the proxy
FULL = 0.9  # of the memory
_LIFETIME = 1.0  # seconds, after which nothing is left
_ADVICE = {  # for what an engine says
    "password": "Correct the user and the password in OXAIGEN_AUTH_SHARED_STORE.",
    "permission": "Allow the server's user the keys and the channel oxa:*, scripts and PUBLISH.",
    "read-only": "Use the address of the primary.",
    "memory": "Raise maxmemory, or set maxmemory-policy to allkeys-lru: any entry may be evicted.",
    "secret": "Give all workers the same OXAIGEN_AUTH_SHARED_SECRET.",
    "certificate": "Trust its authority: add ?ssl_ca_certs=/path.pem to the URL.",
}
_UNREACHABLE = "Check that the server runs, its host and port, and firewalls."
_UNUSABLE = "Check the disk, and that the app's user may write to the folder."


def check_shared_store(settings: OxaigenAuthSettings) -> Iterator[Finding]:
    """Check the store of the settings; nothing if none is set."""
    if settings.shared_store is None:
        return
    url = parse_shared_store_url(settings.shared_store)
    folder = Path(url.path).parent if isinstance(url, SqliteUrl) else None
    if folder is not None and folder.parent.exists() and not folder.exists():
        # Made here, it would belong to the user of this command instead of the app's.
        text = f"{folder} does not exist yet"
        yield Finding(CHECK, "warn", text, "The first worker makes it: run it again then.")
        return
    try:
        from oxaigen_auth._shared.engines import new_engine  # noqa: PLC0415 (needs an extra)

        engine, keyring = new_engine(settings)
    except OxaigenAuthConfigurationError as error:
        yield Finding(CHECK, "fail", error.message, "Correct it: the app does not start.")
        return
    except SharedStoreError as error:
        yield Finding(CHECK, "fail", str(error), _UNUSABLE)
        return
    finding = _use(engine, keyring, url)
    yield finding
    if isinstance(url, RedisUrl) and finding.level != "fail":
        yield from _check_server(url, settings)


def _use(engine: SharedStore, keyring: Keyring, url: SharedStoreUrl) -> Finding:
    try:
        with start_blocking_portal() as portal:
            seconds = portal.call(_Use(engine, keyring).run)
    except (SharedStoreError, TimeoutError) as error:
        problem = str(error) or f"no answer within {TIMEOUT:g} s"
        found = (advice for word, advice in _ADVICE.items() if word in problem)
        default = _UNREACHABLE if isinstance(url, RedisUrl) else _UNUSABLE
        return Finding(CHECK, "fail", f"{url}: {problem}", next(found, default))
    text = f"{engine.name}: reads and writes, {seconds * 1000:.1f} ms (median of {ROUNDS} reads)"
    if seconds > SLOW:
        return Finding(CHECK, "warn", text, "Move it closer: each lookup waits for it first.")
    return Finding(CHECK, "ok", text)


class _Listener:
    """Keeps the first problem, and ignores what other processes forget."""

    def __init__(self) -> None:
        self.problem: str | None = None

    def on_token_forgotten(self, token_id: bytes) -> None: ...
    def on_user_forgotten(self, user_tag: bytes) -> None: ...
    def on_all_forgotten(self) -> None: ...
    def on_listening(self, *, live: bool) -> None: ...

    def on_sending(self, problem: str | None) -> None:
        self.problem = self.problem or problem


@define(eq=False)
class _Use:
    """Stores an entry under the key of a text that is no token, and forgets it."""

    engine: SharedStore
    keyring: Keyring
    listener: _Listener = field(factory=_Listener, init=False)

    async def run(self) -> float:
        """Return how long a read takes, in seconds.

        Raises:
            SharedStoreError: the store fails, or returned something else than was stored, or what
                is forgotten cannot be sent.
            TimeoutError: it did not answer.
        """
        keys = self.keyring.entry_keys(f"doctor {token_hex(16)}", "doctor")
        self.engine.open(self.listener)
        try:
            with fail_after(TIMEOUT):
                seconds = await self._use(keys)
        finally:
            await self.engine.aclose()  # noqa: ASYNC102 (bounded there); sends what was forgotten
        if self.listener.problem:
            raise SharedStoreError(f"what is forgotten cannot be sent: {self.listener.problem}")
        return seconds

    async def _use(self, keys: Sequence[EntryKey]) -> float:
        owner, entry = token_bytes(16), Entry(NO_USER, token_bytes(64))
        snapshot = await self.engine.acquire(keys, owner)
        try:
            result = await self.engine.put(
                keys[0],
                entry,
                generation=snapshot.found[0].generation,
                epoch=snapshot.epoch,
                count=snapshot.count,
                lifetime=_LIFETIME,
                seen=None,
                owner=owner,
            )
            reads = [await self._read(keys) for _ in range(ROUNDS)]
        finally:
            self.engine.forget([key.token_id for key in keys])
        if result is not PutResult.STORED or reads[-1][0] != entry:
            raise SharedStoreError("it has lost what was just stored")
        return median(seconds for _, seconds in reads)

    async def _read(self, keys: Sequence[EntryKey]) -> tuple[Entry | None, float]:
        """Return the entry of the first key, and how long it took to read it."""
        began = time.perf_counter()
        snapshot = await self.engine.read(keys)
        return snapshot.found[0].entry, time.perf_counter() - began


def _check_server(url: RedisUrl, settings: OxaigenAuthSettings) -> Iterator[Finding]:
    from oxaigen_auth._shared.redis.server_facts import read_facts  # noqa: PLC0415 (an extra)

    if url.password and not (url.is_tls or url.path or _is_loopback(url.host)):
        text = "the password is sent without TLS"
        yield Finding(CHECK, "warn", text, "Use rediss:// unless the network is trusted.")
    try:
        with start_blocking_portal() as portal:
            facts = portal.call(read_facts, url)
    except Exception:  # noqa: BLE001 (the engine has just reached it; its failures were reported)
        facts = None
    if facts is None:
        text = "the version, the memory and the clock of the server are unknown"
        yield Finding(CHECK, "ok", f"{text}: its user may not read them")
        return
    yield _judge_memory(facts)
    yield _judge_clock(facts, settings.shared_max_skew_seconds)


def _judge_memory(facts: ServerFacts) -> Finding:
    """Return whether the server can store more. Whatever it evicts is only looked up again."""
    if not facts.max_memory:
        return Finding(CHECK, "ok", f"{facts.version}, without maxmemory")
    mib = facts.max_memory / 2**20
    text = f"{facts.version}, maxmemory {mib:.0f} MiB, {facts.policy}"
    if facts.policy == "noeviction" and facts.used_memory > FULL * facts.max_memory:
        return Finding(CHECK, "warn", f"{text}: it is almost full", _ADVICE["memory"])
    return Finding(CHECK, "ok", text)


def _judge_clock(facts: ServerFacts, max_skew: float) -> Finding:
    """Return whether this host's clock can be relied on, as far as the server's can."""
    text = f"the clock of this host differs by {abs(facts.ahead):.3f} s from that of the server"
    if abs(facts.ahead) - facts.accuracy <= max_skew:
        return Finding(CHECK, "ok", text)
    return Finding(
        CHECK,
        "warn",
        f"{text}, more than OXAIGEN_AUTH_SHARED_MAX_SKEW_SECONDS ({max_skew:g}): entries of other "
        "hosts may be used for too long, or not at all",
        "Synchronize the clocks of all hosts (NTP), or raise the setting.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
