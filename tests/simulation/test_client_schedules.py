"""Random schedules over the client: users, permissions, rejections, outages, `forget` and closing.

After each checkpoint the invariants of the single-flight are checked, and at the end that the store
is within its limits and holds no notes of lookups; both on private attributes.
tests/simulation/scheduler.py describes how to run a failed schedule again.
"""

from __future__ import annotations

import logging
from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import asdict

from oxaigen_auth.errors import (
    OxaigenAuthError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.models import User
from tests.simulation.client_plan import LAST, NO_TOKEN, PLAIN, Plan, Question, draw
from tests.simulation.scheduler import (
    SEED,
    NativeCancellation,
    check_flights,
    check_no_flight_is_left,
    running_tasks,
    schedule,
    seeds,
)
from tests.simulation.scheduler import replayable as replayable  # noqa: PLC0414
from tests.simulation.world import Call, Caller, World

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

SHORT, LONG = 700, 100_000  # schedules for each backend
MAX_STEPS = 1_000  # until every caller must have left


def check(world: World) -> None:
    if world.flights is not None:
        check_flights(world.flights)
    asked = [call.question for call in world.running]
    assert not world.plan.calm or len(asked) == len(set(asked))


def check_caller(world: World, caller: Caller) -> None:
    """Check a caller's outcome against the replies of the proxy and their times."""
    base, token, name = caller.plan.question
    outcome = caller.outcome
    if isinstance(outcome, RuntimeError):
        assert world.client.validator.loops.closed
        return
    assert not caller.too_late
    if isinstance(outcome, OxaigenAuthUpstreamError):
        assert world.troubles
    elif token == NO_TOKEN:
        assert isinstance(outcome, OxaigenAuthUnauthenticatedError)
        assert outcome.message == "Invalid token"
    elif isinstance(outcome, OxaigenAuthError):
        check_refusal(world, caller, outcome)
    elif isinstance(outcome, User):
        assert outcome.user_name == token
        call = world.calls[(outcome.id or 0) - 1]
        assert call.question == (base, token, "")
        check_acceptance(world, caller, [call])
    else:
        replies = {True: ["yes"], False: ["denied"]}[outcome]
        asked = [call for call in world.calls if call.question == (base, token, name)]
        check_acceptance(world, caller, [call for call in asked if call.reply in replies])


def check_acceptance(world: World, caller: Caller, calls: list[Call]) -> None:
    """Check that one of the calls is new enough for this caller."""
    stale = world.plan.settings.stale_if_error_seconds
    longest = world.plan.settings.cache_ttl_seconds
    longest += stale * bool(world.troubles) * (caller.outcome is not False)
    since = max(world.forgotten[caller.plan.question[1]], caller.calls * caller.plan.fresh)
    since = max(since, newest_rejection(world, caller.plan.question))
    young = [call for call in calls if call.number > since and is_young(call, caller, longest)]
    assert young
    check_order(world, caller, young[-1], caller.plan.question)


def newest_rejection(world: World, question: Question) -> int:
    """Return the number of the newest call that rejected the token; 0 if none did so far."""
    base, token, _ = question
    ended = [
        call for call in world.calls if call.ended < inf and call.question[:2] == (base, token)
    ]
    return max((call.number for call in ended if call.reply in {"no", "forbidden"}), default=0)


def check_refusal(world: World, caller: Caller, error: OxaigenAuthError) -> None:
    base, token, name = caller.plan.question
    reply, number = error.message.split()
    call = world.calls[int(number) - 1]
    assert call.question[:2] == (base, token)
    assert call.reply == reply
    kinds = {
        "no": OxaigenAuthUnauthenticatedError,
        "forbidden": OxaigenAuthPermissionDeniedError,
    }
    assert type(error) is kinds[reply]
    # With a permission, `fresh` concerns the permission only, not the user.
    fresh = caller.plan.fresh and not name
    assert call.number > max(caller.forgotten, caller.calls * fresh)
    assert is_young(call, caller, world.plan.settings.negative_cache_ttl_seconds)
    about = call.question if was_under_way(call, caller) else (base, token, "")
    check_order(world, caller, call, about)
    for question in [(base, token, other) for other in ("", "audit", "edit")]:
        world.newest[question] = max(world.newest[question], call.number * bool(call.question[2]))


def check_order(world: World, caller: Caller, call: Call, question: Question) -> None:
    """Check that an answer is no older than one that a caller had got when this one asked.

    A cached refusal is about the user, whatever was asked. Two callers that want fresh answers may
    overtake each other, and the older answer is not stored.
    """
    overtaking = sum(planned.fresh for planned in world.plan.callers) > 1
    assert overtaking or call.number >= caller.newest[question]
    world.newest[call.question] = max(world.newest[call.question], call.number)


def check_end(world: World) -> None:
    if world.flights is not None:
        check_no_flight_is_left(world.flights)
    assert all(caller.cancelled or not caller.left_over for caller in world.callers)
    memory, most = world.client.validator.store, world.plan.settings.cache_max_entries
    caches = memory.caches.users, memory.caches.grants, memory.caches.rejections
    assert all(len(cache) <= most for cache in caches)
    assert not len(memory._generations)  # noqa: SLF001
    happened = {what for events in world.plan.events.values() for what, *_ in events}
    steady = world.plan.calm and world.plan.settings is PLAIN and happened <= {"forget_unknown"}
    assert not steady or len(world.calls) == len({call.question for call in world.calls})
    check_counts(world)


def check_counts(world: World) -> None:
    stats = world.client.stats()
    assert stats.upstream_calls == len(world.calls)
    begun = stats.misses - stats.coalesced + stats.refreshed
    assert stats.upstream_calls + stats.short_circuited <= begun
    ended = Counter(call.reply for call in world.calls if call.ended < inf)
    assert stats.accepted == ended["yes"] + ended["denied"]
    assert stats.rejected == ended["no"] + ended["forbidden"]
    assert stats.unavailable == ended["down"]
    assert stats.forgotten == world.forgets
    asked = [caller.plan.question for caller in world.callers if not caller.too_late]
    users = [name for _, token, name in asked if token != NO_TOKEN]
    assert len(users) <= stats.hits + stats.misses
    rejections = ended["no"] + ended["forbidden"]
    if not (world.forgotten or rejections or world.troubles):  # after these, some callers ask again
        assert stats.hits + stats.misses <= len(users) + sum(map(bool, users))


def was_under_way(call: Call, caller: Caller) -> bool:
    return call.ended >= caller.at


def is_young(call: Call, caller: Caller, longest: float) -> bool:
    """Whether an answer was under way when the caller asked, or is not cached for too long."""
    return was_under_way(call, caller) or caller.at - call.asked < longest


async def run(plan: Plan, natively: NativeCancellation) -> World:
    async with anyio.create_task_group() as tasks:
        world = World(plan, tasks, natively, check_caller)
        blocks: dict[str, Callable[[], Any]]
        blocks = {"block": lambda: world.client, "lifespan": world.client.validator.loops.running}
        for block in [blocks[where] for where in [plan.where] if where in blocks]:
            tasks.start_soon(world.stay_open, block())
            await checkpoint()
        for now in range(LAST):
            world.happen(now)
            await checkpoint()
            check(world)
        getattr(world, plan.finale)()
        steps = 0
        while world.busy:
            await checkpoint()
            check(world)
            steps += 1
            assert steps < MAX_STEPS, "a caller waits forever"
        check_end(world)
        world.closing.set()
    assert world.client.validator.loops.closed or plan.where != "block"
    await world.client.aclose()
    assert world.proxy.opened == world.proxy.closed
    return world


@pytest.fixture(autouse=True)
def _without_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("oxaigen_auth"), "disabled", True)


async def test_no_schedule_gives_a_wrong_answer_or_leaves_anything_behind(
    anyio_backend_name: str,
    long: bool,  # noqa: FBT001
) -> None:
    natively, before = NativeCancellation(anyio_backend_name), running_tasks()
    tally: Counter[str] = Counter()
    for seed in seeds(LONG if long else SHORT):
        plan = draw(seed)
        with schedule(seed, plan):
            world = await run(plan, natively)
            assert running_tasks() == before
        tally.update(world.tally())
        tally.update(asdict(world.client.stats()))
    print(tally)  # noqa: T201 (shown with -s)
    unseen = {name for name, count in tally.items() if not count and "shared" not in name}
    assert SEED or not unseen - {"rate_limited"}


async def test_the_same_seed_is_the_same_run(anyio_backend_name: str) -> None:
    natively = NativeCancellation(anyio_backend_name)
    for seed in range(50):
        plan = draw(seed)
        with schedule(seed, plan):
            first = await run(plan, natively)
        with schedule(seed, plan):
            second = await run(plan, natively)
        assert first.tally() == second.tally()
        assert first.client.stats() == second.client.stats()
