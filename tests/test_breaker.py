"""The circuit breaker: each arrow of its picture, and a state machine against a model."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxaigen_auth._core import breaker as module
from oxaigen_auth._core.breaker import Attempt, Breaker

PATIENCE = 5.0
A, B = "https://a.example.com", "https://b.example.com"


@define(eq=False)
class Clock:
    now: float = 7.0  # seconds since the machine started

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Breaker:
    monkeypatch.setattr(module, "uniform", lambda _, most: most)  # no jitter
    return Breaker(PATIENCE, clock)


def begin(breaker: Breaker, place: str = A) -> Attempt:
    attempt = breaker.begin(place)
    assert isinstance(attempt, Attempt)
    return attempt


def fail(breaker: Breaker, times: int = 1, place: str = A) -> float:
    pause = 0.0
    for _ in range(times):
        pause = breaker.end(begin(breaker, place), answered=False)
    return pause


def test_four_failures_change_nothing_and_the_fifth_opens(breaker: Breaker) -> None:
    assert fail(breaker, 4) == 0
    assert fail(breaker) == 0.5
    assert breaker.begin(A) == 1


def test_an_answer_between_failures_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 4)
    breaker.end(begin(breaker), answered=True)
    assert len(breaker) == 0
    assert fail(breaker, 4) == 0
    assert isinstance(breaker.begin(A), Attempt)


def test_every_attempt_is_a_right_of_its_own(breaker: Breaker) -> None:
    assert begin(breaker) != begin(breaker)


def test_a_place_that_fails_costs_another_nothing(breaker: Breaker) -> None:
    fail(breaker, 5)
    assert isinstance(breaker.begin(B), Attempt)


def test_one_probe_may_ask_when_the_pause_is_over(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 0.375
    assert breaker.begin(A) == 1
    clock.now += 0.125
    probe = begin(breaker)
    assert breaker.begin(A) == 1
    assert breaker.end(probe, answered=True) == 0
    assert isinstance(breaker.begin(A), Attempt)
    assert len(breaker) == 0


def test_each_failed_probe_doubles_the_pause_up_to_ten_seconds(
    breaker: Breaker, clock: Clock
) -> None:
    pauses = [fail(breaker, 5)]
    for _ in range(6):
        clock.now += pauses[-1]
        pauses.append(fail(breaker))
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_the_hint_is_what_is_left_of_the_pause_in_whole_seconds(
    breaker: Breaker, clock: Clock
) -> None:
    clock.now = 0.0
    fail(breaker, 5)
    for pause in (0.5, 1, 2):
        clock.now += pause
        fail(breaker)
    assert breaker.begin(A) == 4
    clock.now += 1.5
    assert breaker.begin(A) == 3


def test_after_a_recovery_the_first_pause_is_short_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 0.5
    assert fail(breaker) == 1
    clock.now += 1
    breaker.end(begin(breaker), answered=True)
    assert fail(breaker, 5) == 0.5


def test_a_probe_that_is_cancelled_leaves_its_place_to_the_next(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 5)
    clock.now += 0.5
    assert breaker.end(begin(breaker), answered=None) == 0
    second = begin(breaker)
    assert breaker.begin(A) == 1
    assert breaker.end(second, answered=False) == 1


def test_a_probe_of_which_nothing_is_heard_is_given_up(breaker: Breaker, clock: Clock) -> None:
    """Its event loop may have ended while it ran."""
    fail(breaker, 5)
    clock.now += 0.5
    lost = begin(breaker)
    clock.now += PATIENCE - 0.125
    assert breaker.begin(A) == 1
    clock.now += 0.125
    begin(breaker)
    assert breaker.end(lost, answered=False) == 0


def test_an_attempt_from_before_cannot_prolong_the_pause(breaker: Breaker, clock: Clock) -> None:
    stragglers = [begin(breaker) for _ in range(9)]
    pauses = [breaker.end(attempt, answered=False) for attempt in stragglers]
    assert pauses == [0, 0, 0, 0, 0.5, 0, 0, 0, 0]
    clock.now += 0.5
    assert isinstance(breaker.begin(A), Attempt)


def test_an_attempt_from_before_that_is_cancelled_does_not_free_the_probes_place(
    breaker: Breaker, clock: Clock
) -> None:
    straggler = begin(breaker)
    fail(breaker, 5)
    clock.now += 0.5
    begin(breaker)
    breaker.end(straggler, answered=None)
    assert breaker.begin(A) == 1


def test_an_answer_to_whomever_closes_it(breaker: Breaker) -> None:
    straggler = begin(breaker)
    fail(breaker, 5)
    breaker.end(straggler, answered=True)
    assert isinstance(breaker.begin(A), Attempt)


def test_a_cancelled_attempt_is_no_failure(breaker: Breaker) -> None:
    fail(breaker, 4)
    breaker.end(begin(breaker), answered=None)
    assert isinstance(breaker.begin(A), Attempt)
    assert fail(breaker) == 0.5


def test_a_pause_is_between_half_and_the_whole(clock: Clock) -> None:
    pauses = [fail(Breaker(PATIENCE, clock), 5) for _ in range(200)]
    assert 0.25 <= min(pauses) < 0.3
    assert 0.45 < max(pauses) <= 0.5


def test_of_too_many_places_the_one_is_forgotten_that_failed_longest_ago(
    breaker: Breaker,
) -> None:
    places = [f"https://{number}.example.com" for number in range(256)]
    for place in places:
        fail(breaker, 5, place)
    assert breaker.begin(places[0]) == 1
    fail(breaker, 1, A)
    assert len(breaker) == 256
    assert isinstance(breaker.begin(places[0]), Attempt)
    assert breaker.begin(places[1]) == 1


def test_a_threshold_that_is_never_reached_switches_it_off(clock: Clock) -> None:
    breaker = Breaker(PATIENCE, clock, float("inf"))
    assert fail(breaker, 100) == 0
    assert isinstance(breaker.begin(A), Attempt)


class BreakerMachine(RuleBasedStateMachine):
    """The model knows what a caller may count on: when nobody may ask, and that only one may."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(PATIENCE, self.clock)
        self.running: list[Attempt] = []
        self.in_a_row = 0
        self.shut_until = 0.0
        self.probe: Attempt | None = None
        self.probe_began = 0.0

    @property
    def is_open(self) -> bool:
        return self.shut_until > 0

    @rule()
    def begin(self) -> None:
        attempt = self.breaker.begin(A)
        now = self.clock.now
        if self.is_open:
            probing = self.probe is not None and now - self.probe_began < PATIENCE
            assert isinstance(attempt, Attempt) == (now >= self.shut_until and not probing)
        else:
            assert isinstance(attempt, Attempt)
        if isinstance(attempt, Attempt):
            self.running.append(attempt)
            if self.is_open:
                self.probe, self.probe_began = attempt, now

    @precondition(lambda self: self.running)
    @rule(data=st.data(), answered=st.sampled_from([True, False, False, False, None]))
    def end(self, data: Any, answered: bool | None) -> None:  # noqa: FBT001
        attempt = data.draw(st.sampled_from(self.running))
        self.running.remove(attempt)
        pause = self.breaker.end(attempt, answered=answered)
        may_open = not self.is_open or attempt is self.probe
        if answered:
            self.in_a_row, self.shut_until, self.probe = 0, 0.0, None
        elif answered is False and may_open:
            self.in_a_row += 1
            assert bool(pause) == (self.in_a_row >= module.THRESHOLD)
            assert pause <= module.LONGEST_PAUSE
            if pause:
                self.shut_until, self.probe = self.clock.now + pause, None
        else:
            assert not pause
        if attempt is self.probe:
            self.probe = None

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def only_a_place_that_failed_is_remembered(self) -> None:
        assert len(self.breaker) == (self.in_a_row > 0)


BreakerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
