"""The circuit breaker: each arrow of its picture, and a state machine against a model."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxaigen_auth._core import circuit_breaker as module
from oxaigen_auth._core.circuit_breaker import CircuitBreaker, Permit
from tests.support.clock import Clock
from tests.support.clock import clock as clock  # noqa: PLC0414

A, B = "https://a.example.com", "https://b.example.com"
ANN, BOB = b"ann", b"bob"


@pytest.fixture
def _without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make backoffs exact: in the module that draws them, as others draw at random too."""
    monkeypatch.setattr(module, "uniform", lambda _, most: most)


@pytest.fixture
def breaker(clock: Clock, _without_jitter: None) -> CircuitBreaker:
    return CircuitBreaker(clock)


numbers = count()


def somebody() -> bytes:
    """Return a caller who has not called before."""
    return f"somebody {next(numbers)}".encode()


def call(breaker: CircuitBreaker, upstream: str = A, caller: bytes | None = None) -> Permit:
    permit = breaker.acquire(upstream, caller or somebody())
    assert isinstance(permit, Permit)
    return permit


def fail(
    breaker: CircuitBreaker, times: int = 1, upstream: str = A, caller: bytes | None = None
) -> float:
    """Let so many calls fail; return the backoff that the last of them began."""
    backoff = 0.0
    for _ in range(times):
        backoff = breaker.record(call(breaker, upstream, caller), answered=False) or 0.0
    return backoff


def is_open(breaker: CircuitBreaker, upstream: str = A, caller: bytes = ANN) -> bool:
    return isinstance(breaker.acquire(upstream, caller), int)


def test_four_failures_change_nothing_and_the_fifth_opens(breaker: CircuitBreaker) -> None:
    assert fail(breaker, 4) == 0
    assert not is_open(breaker)
    assert fail(breaker) == 0.5
    assert breaker.acquire(A, ANN) == 1


def test_an_answer_between_failures_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    breaker.record(call(breaker), answered=True)
    assert fail(breaker, 4) == 0
    assert not is_open(breaker)


def test_the_circuits_of_upstreams_are_independent(breaker: CircuitBreaker) -> None:
    fail(breaker, 5)
    assert not is_open(breaker, B)


def test_one_probe_may_run_each_time_a_backoff_has_passed(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 5)
    clock.now += 0.375
    assert is_open(breaker)
    clock.now += 0.125
    call(breaker)
    assert is_open(breaker)


def test_a_probe_that_hangs_does_not_block_the_next(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 0.5
    hanging = call(breaker)
    clock.now += 1
    assert breaker.record(call(breaker), answered=True) == 0
    assert not is_open(breaker)
    clock.now += 4
    assert breaker.record(hanging, answered=False) is None
    assert not is_open(breaker)


def test_each_backoff_is_twice_the_last_and_a_second_at_most(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    backoffs = []
    fail(breaker, 5)
    for _ in range(4):
        start = clock.now
        while is_open(breaker):
            clock.now += 0.125
        backoffs.append(clock.now - start)
    assert backoffs == [0.5, 1, 1, 1]


@pytest.mark.usefixtures("_without_jitter")
def test_the_longest_backoff_can_be_set(clock: Clock) -> None:
    assert fail(CircuitBreaker(clock, max_backoff=0.25), 5) == 0.25


@pytest.mark.usefixtures("_without_jitter")
def test_the_hint_is_the_rest_of_the_backoff_in_whole_seconds(clock: Clock) -> None:
    clock.now = 0.0
    breaker = CircuitBreaker(clock, max_backoff=60)
    fail(breaker, 5)
    for seconds in (0.5, 1, 2):
        clock.now += seconds
        call(breaker)
    assert breaker.acquire(A, ANN) == 4
    clock.now += 1.5
    assert breaker.acquire(A, ANN) == 3


def test_after_a_recovery_the_first_backoff_is_short_again(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail(breaker, 5)
    clock.now += 0.5
    breaker.record(call(breaker), answered=True)
    assert fail(breaker, 5) == 0.5


def test_a_call_from_before_the_circuit_opened_changes_nothing_when_it_fails(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    permits = [call(breaker) for _ in range(9)]
    backoffs = [breaker.record(permit, answered=False) for permit in permits]
    assert backoffs == [*[None] * 4, 0.5, *[None] * 4]
    clock.now += 0.5
    assert not is_open(breaker)


def test_pitfall_42_calls_that_began_before_an_answer_do_not_open_it_again(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """They hung while the upstream was frozen; it has answered since."""
    hanging = [call(breaker) for _ in range(20)]
    clock.now += 3
    breaker.record(call(breaker), answered=True)
    clock.now += 2
    assert [breaker.record(permit, answered=False) for permit in hanging] == [None] * 20
    assert not is_open(breaker)


def test_an_answer_to_any_caller_closes_the_circuit(breaker: CircuitBreaker) -> None:
    straggler = call(breaker)
    fail(breaker, 5)
    assert breaker.record(straggler, answered=True) == 0
    assert not is_open(breaker)
    assert breaker.record(call(breaker), answered=True) is None  # it was closed already


def test_a_call_of_unknown_outcome_is_neither_failure_nor_answer(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    breaker.record(call(breaker), answered=None)
    assert not is_open(breaker)
    assert fail(breaker) == 0.5


def test_pitfall_41_one_caller_counts_once_a_second(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(4):
        fail(breaker, 20, caller=ANN)
        clock.now += 1
    assert not is_open(breaker, caller=ANN)
    fail(breaker, caller=ANN)
    assert is_open(breaker, caller=ANN)


@pytest.mark.parametrize("evil", [1, 2, 4])
def test_pitfall_41_few_callers_never_open_it_for_others(
    breaker: CircuitBreaker, clock: Clock, evil: int
) -> None:
    for number in range(200):
        permit = breaker.acquire(A, b"%d" % (number % evil))
        if isinstance(permit, Permit):
            breaker.record(permit, answered=False)
        assert not is_open(breaker, caller=BOB)
        clock.now += 0.25
    assert is_open(breaker, caller=b"0")


def test_pitfall_41_callers_who_fail_leave_the_others_a_probe(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    callers = [b"%d" % number for number in range(20)]
    for caller in callers:
        fail(breaker, caller=caller) if not is_open(breaker, caller=caller) else None
    clock.now += 1
    for caller in callers[:5]:  # the first takes the probe of its like
        breaker.acquire(A, caller)
    assert breaker.record(call(breaker, caller=BOB), answered=True) == 0
    assert not is_open(breaker, caller=somebody())


def test_the_caller_that_failed_first_is_forgotten_if_there_are_too_many(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(module.MAX_CALLERS + 5):
        clock.now += 2
        fail(breaker)
    (circuit,) = breaker._circuits.values()  # noqa: SLF001
    assert len(circuit.callers) == module.MAX_CALLERS


def test_a_backoff_is_shortened_by_up_to_a_half(clock: Clock) -> None:
    backoffs = [fail(CircuitBreaker(clock), 5) for _ in range(200)]
    assert 0.25 <= min(backoffs) < 0.3
    assert 0.45 < max(backoffs) <= 0.5


def test_the_upstream_whose_last_call_ended_first_is_forgotten_if_there_are_too_many(
    breaker: CircuitBreaker,
) -> None:
    upstreams = [f"https://{number}.example.com" for number in range(256)]
    for upstream in upstreams:
        fail(breaker, 5, upstream)
    assert is_open(breaker, upstreams[0])
    fail(breaker, 1, A)
    assert len(breaker) == 256
    assert not is_open(breaker, upstreams[0])
    assert is_open(breaker, upstreams[1])


def test_a_threshold_that_is_never_reached_switches_it_off(clock: Clock) -> None:
    breaker = CircuitBreaker(clock, threshold=float("inf"))
    assert fail(breaker, 100) == 0
    assert not is_open(breaker)
    assert len(breaker) == 0


@define(eq=False)
class Model:
    """What a caller may count on, without backoffs: whose failures count, and how many."""

    answered_at: float = 0.0
    failures: list[tuple[bytes, float]] = field(factory=list)

    def is_open(self, caller: bytes) -> bool:
        callers = [one for one, _ in self.failures]
        return max(callers.count(caller), len(set(callers))) >= module.THRESHOLD

    def is_open_for_any(self) -> bool:
        return any(self.is_open(caller) for caller, _ in self.failures)

    def has_failed(self, caller: bytes) -> bool:
        return caller in {one for one, _ in self.failures}

    def fail(self, permit: Permit, now: float) -> None:
        recent = [at for one, at in self.failures if one == permit.caller and now - at < 1]
        if not recent and permit.started_at >= self.answered_at:
            self.failures.append((permit.caller, now))


class BreakerMachine(RuleBasedStateMachine):
    """A closed circuit lets everybody call, an open one lets one probe call about once a second."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(self.clock)
        self.model = Model()
        self.running: list[Permit] = []
        # The earliest and the latest time of the next probe of callers who failed, and of others.
        self.expected = {True: (0.0, 0.0), False: (0.0, 0.0)}

    @rule(caller=st.sampled_from([b"%d" % number for number in range(7)]))
    def acquire(self, caller: bytes) -> None:
        permit, now = self.breaker.acquire(A, caller), self.clock.now
        has_failed = self.model.has_failed(caller)
        not_before, at_the_latest = self.expected[has_failed]
        if not self.model.is_open(caller):
            assert isinstance(permit, Permit)
        elif now < not_before:
            assert permit == 1
        else:
            assert isinstance(permit, Permit) or now < at_the_latest
        if isinstance(permit, Permit):
            self.running.append(permit)
            if self.model.is_open(caller):
                self.expect_backoff(has_failed, 0.5)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), answered=st.sampled_from([True, False, False, False, False, None]))
    def record(self, data: Any, answered: bool | None) -> None:  # noqa: FBT001
        permit = data.draw(st.sampled_from(self.running))
        self.running.remove(permit)
        was_open = self.model.is_open(permit.caller)
        was_open_for_any = self.model.is_open_for_any()
        backoff = self.breaker.record(permit, answered=answered)
        if answered:
            self.model = Model(answered_at=self.clock.now)
        elif answered is False:
            self.model.fail(permit, self.clock.now)
        opened = answered is False and not was_open and self.model.is_open(permit.caller)
        closed = answered is True and was_open_for_any
        assert (backoff is not None, bool(backoff)) == (opened or closed, opened)
        if opened:
            for has_failed in (True, False):
                self.expect_backoff(has_failed, 0.5)

    def expect_backoff(self, has_failed: bool, least: float) -> None:  # noqa: FBT001
        self.expected[has_failed] = self.clock.now + least / 2, self.clock.now + 1

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def little_is_remembered(self) -> None:
        circuits = self.breaker._circuits.values()  # noqa: SLF001
        assert all(len(one.callers) <= module.MAX_CALLERS for one in circuits)


def test_an_open_circuit_lets_a_probe_call_after_a_second() -> None:
    """What the machine finds in most of its runs, but not in each."""

    class First:
        def draw(self, _: object) -> Permit:
            return machine.running[0]

    machine = BreakerMachine()
    for _ in range(module.THRESHOLD):
        machine.time_passes(1.0)  # failures of one caller within a second count once
        machine.acquire(b"0")
        machine.record(First(), answered=False)
    machine.acquire(b"0")
    assert machine.running == []
    machine.time_passes(1.0)
    machine.acquire(b"0")
    assert len(machine.running) == 1


BreakerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
