"""The cache: a few sentences about it, and a state machine against a model of two lines."""

from __future__ import annotations

from itertools import takewhile
from math import inf
from operator import itemgetter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oxaigen_auth._core.cache import Cache
from tests.support.clock import Clock

TTL = 10.0
KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])


def new_cache(clock: Clock, *, size: int = 2, ttl: float = TTL) -> Cache[str]:
    return Cache(size, ttl, clock)


def test_a_value_lasts_for_its_ttl_from_stored_at() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", stored_at=clock.now - 4)
    clock.now += 5.875
    assert cache.get(b"a") == "ada"
    clock.now += 0.125
    assert cache.get(b"a") is None
    assert len(cache) == 0


def test_a_value_past_its_ttl_is_not_stored_and_discards_its_predecessor() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "old", stored_at=clock.now)
    cache.put(b"a", "older than its time", stored_at=clock.now - TTL)
    assert len(cache) == 0


def test_a_ttl_of_zero_switches_the_cache_off() -> None:
    clock = Clock()
    cache = new_cache(clock, ttl=0.0)
    cache.put(b"a", "ada", stored_at=clock.now)
    assert cache.get(b"a") is None
    assert len(cache) == 0


def test_the_oldest_unused_value_is_evicted() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", stored_at=clock.now)
    cache.put(b"b", "bob", stored_at=clock.now)
    assert cache.get(b"a") == "ada"
    cache.put(b"c", "cyd", stored_at=clock.now)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == ["ada", None, "cyd"]


def test_a_value_that_was_used_survives_one_eviction() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", stored_at=clock.now)
    assert cache.get(b"a") == "ada"
    for key in (b"b", b"c", b"d"):
        cache.put(key, "new", stored_at=clock.now)
    assert cache.get(b"a") is None


def test_a_value_past_its_ttl_is_stale_until_its_stale_ttl_ends() -> None:
    clock = Clock(3.0)
    cache: Cache[str] = Cache(2, TTL, clock, stale_ttl=5.0)
    cache.put(b"a", "ada", stored_at=clock.now)
    clock.now += 14.875
    assert cache.get(b"a") is None
    assert cache.stale(b"a") == "ada"
    clock.now += 0.125
    assert cache.stale(b"a") is None
    clock.now += 1
    assert cache.stale(b"a") is None
    assert cache.get(b"a") is None
    assert len(cache) == 0
    assert cache.stale(b"a") is None


def test_without_a_stale_ttl_a_value_is_stale_as_long_as_it_is_fresh() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", stored_at=clock.now)
    clock.now += 9.875
    assert cache.stale(b"a") == cache.get(b"a") == "ada"
    clock.now += 0.125
    assert cache.stale(b"a") is None


def test_a_missing_value_was_stored_before_everything() -> None:
    cache = new_cache(Clock())
    assert cache.stored_at(b"a") == -inf
    cache.put(b"a", "ada", stored_at=2.0)
    assert cache.stored_at(b"a") == 2.0


def test_it_keeps_max_entries() -> None:
    cache = new_cache(Clock(), size=1000)
    for number in range(1001):
        cache.put(number, "somebody", stored_at=7.0)
    assert len(cache) == 1000


def test_discarding_a_missing_key_is_no_error() -> None:
    cache = new_cache(Clock())
    cache.discard(b"a")
    assert len(cache) == 0


class CacheMachine(RuleBasedStateMachine):
    """The model: a list of (key, value, birth, used), in the order in which they go."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = new_cache(self.clock, size=3)
        self.model: list[tuple[bytes, str, float, bool]] = []

    def remove(self, key: bytes) -> None:
        self.model = [entry for entry in self.model if entry[0] != key]

    def make_room(self) -> None:
        used = list(takewhile(itemgetter(3), self.model))
        passed_over = [(*entry[:3], False) for entry in used]
        self.model = [*self.model[len(used) :], *passed_over][1:]

    @rule(key=KEYS, value=st.text(max_size=2), age=st.integers(0, 12))
    def put(self, key: bytes, value: str, age: int) -> None:
        born = self.clock.now - age
        self.cache.put(key, value, stored_at=born)
        self.remove(key)
        if age < TTL:
            if len(self.model) == 3:
                self.make_room()
            self.model = [*self.model, (key, value, born, False)]

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        known = {entry[0]: entry for entry in self.model}.get(key)
        value = self.cache.get(key)
        if known is None or self.clock.now - known[2] >= TTL:
            assert value is None
            self.remove(key)
        else:
            assert value == known[1]
            self.model[self.model.index(known)] = (*known[:3], True)

    @rule(key=KEYS)
    def discard(self, key: bytes) -> None:
        self.cache.discard(key)
        self.remove(key)

    @rule(seconds=st.integers(0, 6))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert len(self.cache) == len(self.model) <= 3


CacheMachine.TestCase.settings = settings(max_examples=100, deadline=None)
TestCacheMachine = CacheMachine.TestCase


def test_a_value_that_another_thread_discards_during_get_is_still_returned() -> None:
    """The clock is read between the two steps of a look; here the other thread is the clock."""
    cache: Cache[str] = Cache(2, 10, lambda: 0)
    cache.put(b"a", "one", stored_at=0)

    def discard() -> float:
        cache.discard(b"a")
        return 1

    cache.clock = discard
    assert cache.get(b"a") == "one"
    assert len(cache) == 0


def test_a_value_that_another_thread_renews_during_get_is_not_discarded() -> None:
    cache: Cache[str] = Cache(2, 10, lambda: 0)
    cache.put(b"a", "old", stored_at=0)

    def renew() -> float:
        cache.clock = lambda: 20
        cache.put(b"a", "new", stored_at=20)
        return 20

    cache.clock = renew
    assert cache.get(b"a") is None
    assert cache.get(b"a") == "new"


def test_a_value_ends_at_its_end_if_that_is_before_its_ttl() -> None:
    clock = Clock()
    cache: Cache[str] = Cache(3, TTL, clock, stale_ttl=5.0)
    cache.put(b"soon", "ada", stored_at=clock.now, end=clock.now + 4)
    cache.put(b"stale", "bob", stored_at=clock.now, end=clock.now + 12)
    cache.put(b"late", "cyd", stored_at=clock.now, end=clock.now + 100)
    clock.now += 3.875
    assert cache.get(b"soon") == cache.stale(b"soon") == "ada"
    clock.now += 0.125
    assert cache.get(b"soon") is cache.stale(b"soon") is None
    clock.now += 7.875
    assert cache.get(b"stale") is None
    assert cache.stale(b"stale") == "bob"
    clock.now += 0.125
    assert cache.stale(b"stale") is None
    assert cache.stale(b"late") == "cyd"


def test_a_value_past_its_end_is_not_stored_and_discards_its_predecessor() -> None:
    clock = Clock()
    cache = new_cache(clock)
    for end in (clock.now, clock.now - 5, -inf):
        cache.put(b"a", "ada", stored_at=clock.now)
        cache.put(b"a", "ended", stored_at=clock.now, end=end)
        assert len(cache) == 0


def test_it_keeps_max_bytes() -> None:
    cache: Cache[int] = Cache(1000, TTL, Clock(), max_bytes=100)
    for number in range(50):
        cache.put(number, number, stored_at=7.0, size=10)
        assert cache.size == 10 * min(number + 1, 10)
    assert cache.get(41) == 41
    cache.put("large", 0, stored_at=7.0, size=85)
    assert (cache.get("large"), cache.get(41), cache.size) == (0, 41, 95)
    cache.put("large", 1, stored_at=7.0, size=100)
    assert (len(cache), cache.size) == (1, 100)
    cache.discard("large")
    assert cache.size == 0


def test_a_value_larger_than_the_cache_is_not_stored_and_discards_only_its_predecessor() -> None:
    cache: Cache[int] = Cache(1000, TTL, Clock(), max_bytes=100)
    cache.put(b"a", 1, stored_at=7.0, size=10)
    cache.put(b"b", 2, stored_at=7.0, size=10)
    cache.put(b"b", 3, stored_at=7.0, size=101)
    assert (cache.get(b"a"), cache.get(b"b"), cache.size) == (1, None, 10)


def group_of(key: str) -> str | None:
    return {"": None}.get(key[:-3], key[:-3])


def test_a_full_group_evicts_from_itself() -> None:
    cache: Cache[int] = Cache(10, TTL, Clock(), max_per_group=3, group_of=group_of)
    cache.put("other000", 0, stored_at=7.0)
    for number in range(100):
        cache.put(f"group{number:03}", number, stored_at=7.0)
    assert cache.group("group") == ("group097", "group098", "group099")
    for used in ("group097", "group098"):
        cache.get(used)
    cache.put("group100", 100, stored_at=7.0)
    assert cache.group("group") == ("group097", "group098", "group100")
    for used in ("group097", "group098", "group100"):
        cache.get(used)
    cache.put("group101", 101, stored_at=7.0)
    assert cache.group("group") == ("group098", "group100", "group101")
    assert cache.get("other000") == 0
    assert (len(cache), len(cache.group("other"))) == (4, 1)


def test_keys_without_a_group_have_no_limit_per_group() -> None:
    cache: Cache[int] = Cache(10, TTL, Clock(), max_per_group=3, group_of=group_of)
    for number in range(9):
        cache.put(f"{number:03}", number, stored_at=7.0)
    assert len(cache) == 9
    assert cache.group(None) == ()


def test_an_empty_group_is_forgotten() -> None:
    clock = Clock()
    cache: Cache[int] = Cache(2, TTL, clock, group_of=lambda key: key)
    for number in range(5):
        cache.put(number, number, stored_at=clock.now)
    assert [cache.group(number) for number in range(5)] == [(), (), (), (3,), (4,)]
    cache.discard(3)
    clock.now += TTL
    assert cache.get(4) is None
    assert len(cache._groups) == 0  # noqa: SLF001


def test_a_group_may_hold_an_eighth_of_the_bytes_or_one_value() -> None:
    cache: Cache[int] = Cache(100, TTL, Clock(), max_bytes=80, group_of=group_of)
    cache.put("other000", 0, stored_at=7.0, size=10)
    for number in range(6):
        cache.put(f"group{number:03}", number, stored_at=7.0, size=4)
    assert cache.group("group") == ("group004", "group005")
    cache.put("group900", 0, stored_at=7.0, size=40)
    assert cache.group("group") == ("group900",)
    cache.put("group901", 0, stored_at=7.0, size=1)
    assert cache.group("group") == ("group901",)
    assert cache.get("other000") == 0
