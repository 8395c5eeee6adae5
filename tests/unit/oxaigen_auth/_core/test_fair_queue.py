"""Places that are shared out fairly: by example, and against a model."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oxaigen_auth._core.fair_queue import WEIGHT, FairQueue


def pushed(capacity: float, proven: set[str], *names: str) -> FairQueue[int]:
    queue = FairQueue[int](capacity, proven)
    for number, name in enumerate(names):
        queue.push(number, name)
    return queue


def popped(queue: FairQueue[int]) -> str:
    """Return the names of the shares whose items get a place, in order."""
    names = ""
    while (turn := queue.pop()) is not None:
        names += turn[1]
    return names


def test_pitfall_51_shares_take_turns_and_their_items_come_in_order() -> None:
    queue = pushed(10, {"a", "b", "c"}, *"aaabbc")
    assert [queue.pop() for _ in range(6)] == [
        (0, "a"),
        (3, "b"),
        (5, "c"),
        (1, "a"),
        (4, "b"),
        (2, "a"),
    ]
    assert queue.pop() is None


@pytest.mark.parametrize(
    ("capacity", "proven", "unproven"),
    [(1, 1, 1), (2, 1, 1), (5, 4, 3), (10, 8, 7), (100, 80, 64)],
)
def test_pitfall_51_one_share_alone_leaves_places_to_who_comes_next(
    capacity: int, proven: int, unproven: int
) -> None:
    for names, expected in (({"a", "b"}, proven), ({"b"}, unproven)):
        queue = pushed(capacity, names, *"a" * 200)
        assert len(popped(queue)) == expected
        queue.push(-1, "b")
        assert queue.pop() == ((-1, "b") if capacity > 1 else None)


@pytest.mark.parametrize("slow", [1, 2, 3, 5, 20])
def test_pitfall_51_slow_shares_leave_a_place_to_a_new_one_also_if_none_is_proven(
    slow: int,
) -> None:
    queue = pushed(100, set(), *[f"slow {number % slow}" for number in range(400)])
    while queue.pop() is not None:
        pass
    for number in (-1, -2):  # one after another
        queue.push(number, "new")
        assert queue.pop() == (number, "new")
        queue.release("new")


def test_pitfall_51_unproven_shares_have_one_turn_together_and_take_turns_in_it() -> None:
    queue = pushed(100, {"a"}, *"xxxyyyzzzaaa")
    assert popped(queue) == "xayazaxyzxyz"


def test_pitfall_51_unproven_shares_never_hold_the_last_places_together() -> None:
    queue = pushed(10, {"a"}, *"uvwxyz" * 10)
    assert len(popped(queue)) == 7
    queue.push(-1, "a")
    assert queue.pop() == (-1, "a")


def test_pitfall_51_junk_at_one_unproven_host_leaves_room_for_another() -> None:
    queue = pushed(20, set(), *"j" * 100)
    assert len(popped(queue)) == 13
    queue.push(-1, "n")
    assert queue.pop() == (-1, "n")


def test_a_share_that_becomes_proven_has_its_own_turns_from_its_next_item_on() -> None:
    proven: set[str] = set()
    queue = pushed(10, proven, *"xxxxxxxxxx", *"yyyyyyyyyy")
    held = Counter(popped(queue))
    proven.add("x")
    queue.push(-1, "x")
    assert queue.pop() is not None
    for name in held.elements():
        queue.release(name)
    assert set(popped(queue)) == {"x", "y"}


def test_a_share_without_a_name_is_like_any_other() -> None:
    queue = pushed(2, {""}, "", "x")
    assert [queue.pop(), queue.pop()] == [(0, ""), (1, "x")]


def test_a_removed_item_gets_no_slot_and_its_share_is_forgotten() -> None:
    queue = pushed(10, {"b"}, "a", "a", "b")
    for item, name in ((0, "a"), (1, "a"), (2, "b"), (2, "b"), (7, "nobody")):
        queue.remove(item, name)
    assert queue.pop() is None
    assert not queue._shares  # noqa: SLF001
    assert not queue._turns  # noqa: SLF001


def test_without_a_limit_all_run() -> None:
    assert len(popped(pushed(inf, {"a"}, *"aaabbb"))) == 6


NAMES = st.sampled_from("abcd")


class Machine(RuleBasedStateMachine):
    """The model: who waits, in order, and who holds how many places."""

    queue: FairQueue[int]

    @initialize(capacity=st.integers(1, 12))
    def begin(self, capacity: int) -> None:
        self.proven: set[str] = set()
        self.queue = FairQueue(capacity, self.proven)
        self.capacity = capacity
        self.waiting: dict[str, list[int]] = {name: [] for name in "abcd"}
        self.counted_as_proven: dict[str, bool] = {}
        self.held: Counter[str] = Counter()
        self.passed_over: Counter[str] = Counter()
        self.number = 0

    @rule(name=NAMES, how_many=st.integers(1, 15))
    def items_come(self, name: str, how_many: int) -> None:
        for _ in range(how_many):
            self.number += 1
            self.waiting[name].append(self.number)
            self.queue.push(self.number, name)
        self.counted_as_proven[name] = self.group(name) == name or name in self.proven

    @rule(name=NAMES)
    def a_share_is_proven(self, name: str) -> None:
        self.proven.add(name)

    @rule(name=NAMES)
    def a_proof_is_forgotten(self, name: str) -> None:
        self.proven.discard(name)

    def group(self, name: str) -> str:
        """Return the group in which the items of a share are counted."""
        return name if self.counted_as_proven.get(name) else "unproven"

    def held_in(self, group: str) -> int:
        return sum(held for name, held in self.held.items() if self.group(name) == group)

    @rule(how_many=st.integers(1, 15))
    def places_are_given(self, how_many: int) -> None:
        for _ in range(how_many):
            free = self.capacity - sum(self.held.values())
            turn = self.queue.pop()
            if turn is None:
                self.check_that_none_may_run(free)
                return
            item, name = turn
            self.check_limit(name, free)
            assert self.waiting[name].pop(0) == item
            self.check_turns(name)
            self.held[name] += 1
            self.clean(name)

    def check_limit(self, name: str, free: int) -> None:
        held = self.held_in(self.group(name))
        assert free > 0
        assert not held or (free > 1 and held < WEIGHT * free)

    def check_that_none_may_run(self, free: int) -> None:
        for name, items in self.waiting.items():
            held = self.held_in(self.group(name))
            assert not items or not free or held

    def check_turns(self, name: str) -> None:
        """Count how often a share that holds nothing, and so could run, is passed over."""
        self.passed_over[name] = 0
        for other, items in self.waiting.items():
            eligible = items and not self.held[other] and not self.held_in(self.group(other))
            self.passed_over[other] = self.passed_over[other] + 1 if eligible else 0
            assert self.passed_over[other] <= 2 * len(self.waiting)

    def clean(self, name: str) -> None:
        if not self.waiting[name] and not self.held[name]:
            self.counted_as_proven.pop(name, None)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), how_many=st.integers(1, 8))
    def places_are_given_back(self, data: Any, how_many: int) -> None:
        for _ in range(min(how_many, sum(self.held.values()))):
            name = data.draw(st.sampled_from(sorted(self.held.elements())))
            self.held[name] -= 1
            self.queue.release(name)
            self.clean(name)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def an_item_waits_no_longer(self, data: Any) -> None:
        name = data.draw(st.sampled_from([name for name, items in self.waiting.items() if items]))
        item = data.draw(st.sampled_from(self.waiting[name]))
        self.waiting[name].remove(item)
        self.queue.remove(item, name)
        self.clean(name)

    @invariant()
    def never_more_places_are_held_than_there_are_and_none_is_lost(self) -> None:
        held = sum(self.held.values())
        assert self.queue._held == held <= self.capacity  # noqa: SLF001
        assert self.queue._held_unproven == self.held_in("unproven")  # noqa: SLF001

    @invariant()
    def a_share_is_known_only_while_something_of_it_waits_or_holds_a_place(self) -> None:
        known = {name for name in "abcd" if self.waiting[name] or self.held[name]}
        assert set(self.queue._shares) == known  # noqa: SLF001

    def teardown(self) -> None:
        """Everyone who waits gets a place in the end, if places are given back."""
        while any(self.waiting.values()):
            before = sum(map(len, self.waiting.values()))
            for name in list(self.held.elements()):
                self.held[name] -= 1
                self.queue.release(name)
                self.clean(name)
            self.places_are_given(15)
            assert sum(map(len, self.waiting.values())) < before


def test_pitfall_51_the_rules_hold_after_every_step() -> None:
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=200, stateful_step_count=30, deadline=None)
    )
