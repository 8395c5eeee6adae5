from __future__ import annotations

import anyio
import pytest

from oxaigen_auth._core.task_groups import side_by_side

pytestmark = pytest.mark.anyio


async def test_results_are_in_the_order_of_the_values() -> None:
    async def call(turns: int) -> int:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        return turns

    assert await side_by_side(call, [3, 1, 2], until=lambda _: False) == [3, 1, 2]


@pytest.mark.parametrize("values", [["fail"], ["hang", "fail", "hang"]])
async def test_an_exception_ends_the_other_calls_and_is_in_no_group(values: list[str]) -> None:
    async def call(value: str) -> None:
        if value == "hang":
            await anyio.sleep_forever()
        raise ValueError(value)

    with pytest.raises(ValueError, match="fail"):
        await side_by_side(call, values, until=lambda _: False)


async def test_a_decisive_result_ends_the_other_calls() -> None:
    async def call(value: int) -> int:
        if value != 1:
            await anyio.sleep_forever()
        return value

    assert await side_by_side(call, [0, 1, 2], until=lambda it: it == 1) == [None, 1, None]


async def test_a_cancellation_from_outside_ends_all_calls() -> None:
    ended: list[int] = []

    async def call(value: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(value)

    with anyio.move_on_after(0.01) as scope:
        await side_by_side(call, [1, 2], until=lambda _: False)
    assert scope.cancelled_caught
    assert sorted(ended) == [1, 2]
