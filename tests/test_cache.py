"""The cache: a few sentences about it, and a state machine against a model of two lines."""

from __future__ import annotations

from itertools import takewhile
from math import inf
from operator import itemgetter

from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oxaigen_auth._core.cache import Cache

TTL = 10.0
KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])


@define(eq=False)
class Clock:
    now: float = 7.0  # seconds since the machine started

    def __call__(self) -> float:
        return self.now


def new_cache(clock: Clock, *, size: int = 2, ttl: float = TTL) -> Cache[str]:
    return Cache(size, ttl, clock)


def test_a_value_lasts_from_the_birth_it_was_given_until_its_ttl_is_over() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", born=clock.now - 4)
    clock.now += 5.875
    assert cache.get(b"a") == "ada"
    clock.now += 0.125
    assert cache.get(b"a") is None
    assert len(cache) == 0


def test_a_value_that_is_already_too_old_is_not_kept_and_ends_its_predecessor() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "old", born=clock.now)
    cache.put(b"a", "older than its time", born=clock.now - TTL)
    assert len(cache) == 0


def test_a_ttl_of_zero_switches_the_cache_off() -> None:
    clock = Clock()
    cache = new_cache(clock, ttl=0.0)
    cache.put(b"a", "ada", born=clock.now)
    assert cache.get(b"a") is None
    assert len(cache) == 0


def test_the_oldest_value_that_was_not_used_makes_room() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", born=clock.now)
    cache.put(b"b", "bob", born=clock.now)
    assert cache.get(b"a") == "ada"
    cache.put(b"c", "cyd", born=clock.now)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == ["ada", None, "cyd"]


def test_a_value_that_was_used_once_is_passed_over_once() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", born=clock.now)
    assert cache.get(b"a") == "ada"
    for key in (b"b", b"c", b"d"):
        cache.put(key, "new", born=clock.now)
    assert cache.get(b"a") is None


def test_a_value_past_its_ttl_is_stale_until_its_grace_is_over() -> None:
    clock = Clock(3.0)
    cache: Cache[str] = Cache(2, TTL, clock, grace=5.0)
    cache.put(b"a", "ada", born=clock.now)
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


def test_without_grace_a_value_is_stale_as_long_as_it_is_fresh() -> None:
    clock = Clock()
    cache = new_cache(clock)
    cache.put(b"a", "ada", born=clock.now)
    clock.now += 9.875
    assert cache.stale(b"a") == cache.get(b"a") == "ada"
    clock.now += 0.125
    assert cache.stale(b"a") is None


def test_what_is_not_kept_was_born_before_everything() -> None:
    cache = new_cache(Clock())
    assert cache.born(b"a") == -inf
    cache.put(b"a", "ada", born=2.0)
    assert cache.born(b"a") == 2.0


def test_it_keeps_as_many_values_as_it_may() -> None:
    cache = new_cache(Clock(), size=1000)
    for number in range(1001):
        cache.put(number, "somebody", born=7.0)
    assert len(cache) == 1000


def test_discarding_what_is_not_there_is_no_error() -> None:
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
        self.cache.put(key, value, born=born)
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


def test_what_another_thread_discards_during_a_look_is_still_returned() -> None:
    """The clock is read between the two steps of a look; here the other thread is the clock."""
    cache: Cache[str] = Cache(2, 10, lambda: 0)
    cache.put(b"a", "one", born=0)

    def discard() -> float:
        cache.discard(b"a")
        return 1

    cache.clock = discard
    assert cache.get(b"a") == "one"
    assert len(cache) == 0


def test_what_another_thread_renews_during_a_look_is_not_discarded_with_the_old() -> None:
    cache: Cache[str] = Cache(2, 10, lambda: 0)
    cache.put(b"a", "old", born=0)

    def renew() -> float:
        cache.clock = lambda: 20
        cache.put(b"a", "new", born=20)
        return 20

    cache.clock = renew
    assert cache.get(b"a") is None
    assert cache.get(b"a") == "new"
