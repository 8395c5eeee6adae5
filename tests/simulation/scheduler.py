"""Shared by both kinds of schedule: replayable seeds, random draws, and native cancellation.

A schedule is drawn from its seed alone, and nothing in it waits for time to pass, so that the same
seed is the same run. asyncio steps its tasks in the order in which they became ready. trio shuffles
each batch of ready tasks with a random generator of its own, `trio._core._run._r`. It sorts them
before that only if `_ALLOW_DETERMINISTIC_SCHEDULING` is set. `replayable` sets it, and `schedule`
seeds the generator. Hypothesis's plugin for trio uses the same two names.

On asyncio any code may cancel a task at any step (`Task.cancel`); `Task.cancelling()` counts the
cancellations that the task has not handled. trio has only cancel scopes, so
`NativeCancellation` uses those.

`check_flights` reads the private tables of `SingleFlight`: its invariants are about them.

The error of a failed schedule contains its seed. To run only that one:

    SCHEDULE_SEED=1234 uv run pytest tests/simulation/test_singleflight_schedules.py
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint
from attrs import define

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from oxaigen_auth._core.flight import Flight
    from oxaigen_auth._core.singleflight import SingleFlight

SEED = os.environ.get("SCHEDULE_SEED", "")

_scheduler: Any = trio._core._run  # noqa: SLF001


def seeds(how_many: int) -> Iterable[int]:
    return [int(SEED)] if SEED else range(how_many)


@pytest.fixture(autouse=True)
def replayable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let trio shuffle its tasks in an order that depends on the seed only."""
    monkeypatch.setattr(_scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    states = [(it, it.getstate()) for it in (_scheduler._r, random)]  # noqa: SLF001
    yield
    for generator, state in states:
        generator.setstate(state)


@contextmanager
def schedule(seed: int, plan: object) -> Iterator[None]:
    """Run the block as one schedule; if it fails, the error contains the seed."""
    _scheduler._r.seed(seed)  # noqa: SLF001
    random.seed(seed)  # for the breaker, which shortens its backoffs at random
    try:
        yield
    except Exception as error:
        raise AssertionError(f"SCHEDULE_SEED={seed} fails: {plan}") from error


@define(eq=False)
class NativeCancellation:
    """Cancels tasks natively on asyncio; on trio it calls a given function instead."""

    backend: str

    def cancel_of_this_task(self, otherwise: Callable[[], object]) -> Callable[[], object]:
        choices: dict[str, Callable[[], Callable[[], object]]]
        choices = {"asyncio": lambda: _this_task().cancel, "trio": lambda: otherwise}
        return choices[self.backend]()

    def left_over(self) -> int:
        """Return how many cancellations this task has not handled."""
        choices: dict[str, Callable[[], int]]
        choices = {"asyncio": lambda: _this_task().cancelling(), "trio": lambda: 0}
        return choices[self.backend]()


def _this_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())


async def checkpoints(how_many: int) -> None:
    for _ in range(how_many):
        await checkpoint()


@define(eq=False)
class Dice:
    """Draws from one seed."""

    random: random.Random

    def number(self, least: int, most: int) -> int:
        return least + int(self.random.random() * (most - least + 1))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, *items: Any) -> Any:
        return items[int(self.random.random() * len(items))]


def is_dying(flight: Flight[Any]) -> bool:
    return flight._scope is not None and flight._scope.cancel_called  # noqa: SLF001


def check_flights(flights: SingleFlight[Any]) -> None:
    """Check the invariants in the docstring of `_core/singleflight.py`."""
    table, active = flights._flights, flights._active  # noqa: SLF001
    waiting, queue = flights._waiting, flights._queue  # noqa: SLF001
    for key, flight in table.items():
        assert flight.key == key
        assert flight in active
        assert flight.waiters > 0
        assert not is_dying(flight)
    assert not any(flight.done.is_set() for flight in active)
    assert {flight for flight in active if not flight.has_slot} == set(waiting)
    assert all(flight.pending for flight in waiting)
    assert queue._held == len(active) - len(waiting) <= flights.capacity  # noqa: SLF001
    assert not waiting or queue.pop() is None


def check_no_flight_is_left(flights: SingleFlight[Any]) -> None:
    assert not flights._flights  # noqa: SLF001
    assert not flights._active  # noqa: SLF001
    assert not flights._waiting  # noqa: SLF001
    assert not flights._queue._shares  # noqa: SLF001


def running_tasks() -> int:
    return len(anyio.get_running_tasks())
