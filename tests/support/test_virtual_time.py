from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.virtual_time import new_event_loop


class SlowToStop(ThreadPoolExecutor):
    stopped = False

    def shutdown(self, *args: Any, **options: Any) -> None:
        time.sleep(0.2)
        super().shutdown(*args, **options)
        self.stopped = True


def test_a_loop_waits_for_its_threads_when_it_is_closed() -> None:
    executor = SlowToStop()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        await loop.run_in_executor(None, time.monotonic)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
    assert executor.stopped
