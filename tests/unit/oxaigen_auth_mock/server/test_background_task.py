import asyncio
from collections.abc import Awaitable, Callable

import pytest
from anyio import create_task_group

from oxaigen_auth_mock.server.background_task import BackgroundTask

pytestmark = pytest.mark.anyio

Started = Callable[[], None]


def raising(error: Exception, *, first: bool) -> Callable[[Started], Awaitable[None]]:
    async def run(started: Started) -> None:
        if not first:
            started()
        raise error

    return run


@pytest.mark.parametrize("first", [True, False])
async def test_an_exception_is_stored_and_ends_nothing_else(*, first: bool) -> None:
    error = LookupError("mine")
    background = BackgroundTask(raising(error, first=first))
    background.start()
    await background.wait_started()
    await background.wait_ended()
    assert background.error is error


async def test_an_exception_alone_in_a_group_is_unwrapped() -> None:
    alone, other = LookupError("one"), KeyError("two")
    both = ExceptionGroup("", [alone, other])
    for group, kept in ((ExceptionGroup("", [ExceptionGroup("", [alone])]), alone), (both, both)):
        background = BackgroundTask(raising(group, first=True))
        background.start()
        await background.wait_ended()
        assert background.error is kept


async def test_the_task_is_not_cancelled_with_the_caller() -> None:
    events: list[str] = []

    async def run(started: Started) -> None:
        events.append("began")
        started()

    background = BackgroundTask(run)
    async with create_task_group() as tasks:
        background.start()
        tasks.cancel_scope.cancel()
    await background.wait_ended()
    assert (events, background.error) == (["began"], None)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_is_cancelled_before_its_first_step_has_ended() -> None:
    before = asyncio.all_tasks()
    background = BackgroundTask(raising(LookupError("It began."), first=True))
    background.start()
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    await background.wait_started()
    await background.wait_ended()
    assert (task.cancelled(), background.error) == (True, None)
