"""The throttle: who is shut out, for how long, and what it may remember."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oxaigen_auth._core import rate_limit as module
from oxaigen_auth._core.rate_limit import RateLimit
from tests.support.clock import clock as clock  # noqa: PLC0414

if TYPE_CHECKING:
    from tests.support.clock import Clock

HERE, THERE = "192.0.2.1", "192.0.2.2"


def bring(throttle: RateLimit, address: str, *tokens: str) -> bool:
    """Note these tokens; tell whether the address is shut out then."""
    for token in tokens:
        throttle.record(address, token.encode())
    return throttle.retry_after(address) > 0


def test_one_rejected_token_above_the_limit_refuses_an_address(clock: Clock) -> None:
    throttle = RateLimit(2, clock)
    assert not throttle.retry_after(HERE)
    assert not bring(throttle, HERE, "a")
    assert not bring(throttle, HERE, "b")
    assert bring(throttle, HERE, "c")
    assert not throttle.retry_after(THERE)


def test_the_same_token_again_does_not_count(clock: Clock) -> None:
    assert not bring(RateLimit(2, clock), HERE, "a", "b", "a", "b", "a")


def test_it_lasts_a_minute_from_the_first_rejected_token(clock: Clock) -> None:
    throttle = RateLimit(1, clock)
    bring(throttle, HERE, "a")
    clock.now += 59
    assert bring(throttle, HERE, "b")
    clock.now += 0.875
    assert throttle.retry_after(HERE)
    clock.now += 0.125
    assert not throttle.retry_after(HERE)
    clock.now += 1
    assert not throttle.retry_after(HERE)
    assert not bring(throttle, HERE, "c")
    assert bring(throttle, HERE, "d")


def test_a_limit_of_zero_switches_it_off(clock: Clock) -> None:
    throttle = RateLimit(0, clock)
    assert not bring(throttle, HERE, "a", "b")
    assert throttle._minutes == {}  # noqa: SLF001


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("testclient", "testclient", True),
        ("testclient", "", False),
    ],
)
def test_an_ipv6_address_stands_for_its_network(
    clock: Clock, one: str, other: str, *, same: bool
) -> None:
    throttle = RateLimit(1, clock)
    bring(throttle, one, "a", "b")
    assert (throttle.retry_after(other) > 0) is same


def test_its_memory_is_bounded_for_any_number_of_addresses(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 10)  # quicker to fill
    throttle = RateLimit(2, clock)
    for number in range(100):
        bring(throttle, f"192.0.2.{number}", "a", "b", "c", "d", "e")
        remembered = [minute.tokens for minute in throttle._minutes.values()]  # noqa: SLF001
        assert sum(map(len, remembered)) <= 10
    assert throttle.retry_after("192.0.2.99")
    assert not throttle.retry_after("192.0.2.90")


def test_beyond_65_536_tokens_the_oldest_minute_is_forgotten(clock: Clock) -> None:
    throttle = RateLimit(40_000, clock)
    assert bring(throttle, HERE, *map(str, range(40_001)))
    bring(throttle, THERE, *map(str, range(65_536 - 40_001)))
    assert throttle.retry_after(HERE)
    bring(throttle, THERE, "one more")
    assert not throttle.retry_after(HERE)


def test_the_same_token_again_takes_no_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 4)  # quicker to fill
    throttle = RateLimit(1, clock)
    assert bring(throttle, HERE, "a", "b")
    bring(throttle, THERE, *["a"] * 10)
    assert throttle.retry_after(HERE)


def test_tokens_of_past_minutes_leave_the_count(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 4)  # quicker to fill
    throttle = RateLimit(1, clock)
    for _ in range(10):
        assert bring(throttle, HERE, "a", "b")
        clock.now += 60
    bring(throttle, THERE, "a", "b")
    assert bring(throttle, HERE, "a", "b")
    assert throttle.retry_after(THERE)
