"""Many concurrent callers with one uncached token, compared with tasks that wait for an event."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field

from benchmarks.bare import TIMEOUT, bare_client, bare_get
from benchmarks.harness import Figure, alternate, ratios
from benchmarks.proxy_process import local_proxy
from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks.proxy_process import LocalProxy

ROUNDS = {10_000: 9, 100_000: 5}  # for each number of callers


def measure() -> list[Figure]:
    with local_proxy() as proxy:
        return [
            anyio.run(_measure, proxy, callers, backend, backend=backend)
            for callers in ROUNDS
            for backend in ("asyncio", "trio")
        ]


async def _measure(proxy: LocalProxy, callers: int, backend: str) -> Figure:
    herd = _Herd(proxy, callers)
    sdk, event = await alternate(ROUNDS[callers], herd.sdk, herd.event)
    return Figure(f"herd: {callers:,} callers, {backend}", ratios(sdk, event), at_most=1.2)


@define(eq=False)
class _Herd:
    proxy: LocalProxy
    callers: int
    number: int = field(default=0, init=False)

    def new_token(self) -> str:
        self.number += 1
        return f"herd-{self.number}"

    async def sdk(self) -> float:
        token, before = self.new_token(), self.proxy.calls.value
        settings = OxaigenAuthSettings(proxy_timeout_seconds=TIMEOUT)
        async with ProxyAuthClient(self.proxy.url, settings=settings) as client:
            seconds = await self._all(lambda: client.get_me(token))
        if self.proxy.calls.value != before + 1:
            raise RuntimeError("the callers caused more than one upstream call")
        return seconds

    async def event(self) -> float:
        """Let the callers wait for an event, which one more task sets after the same call."""
        token, event = self.new_token(), anyio.Event()
        async with bare_client(1) as client:

            async def call() -> None:
                await bare_get(client, self.proxy.url, token)
                event.set()

            return await self._all(event.wait, call)

    async def _all(
        self,
        wait: Callable[[], Coroutine[Any, Any, object]],
        *others: Callable[[], Coroutine[Any, Any, None]],
    ) -> float:
        async def one() -> None:
            await wait()

        start = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(self.callers):
                group.start_soon(one)
            for other in others:
                group.start_soon(other)
        return perf_counter() - start
