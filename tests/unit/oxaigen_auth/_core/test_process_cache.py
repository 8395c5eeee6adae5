from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from oxaigen_auth._core.process_cache import clear_process_caches, process_cache

THREADS = 8


def test_threads_get_the_same_object() -> None:
    together = threading.Barrier(THREADS)
    made: list[object] = []

    @process_cache
    def make() -> object:
        time.sleep(0.01)  # the others are waiting by then
        made.append(object())
        return made[-1]

    def call(_: int) -> object:
        together.wait()
        return make()

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(call, range(THREADS))) == {made[0]}
    assert len(made) == 1
    clear_process_caches()
    assert make() is made[1]


def test_a_child_process_does_not_wait_for_a_thread_of_its_parent() -> None:
    computing, slow = threading.Event(), threading.Event()

    @process_cache
    def make() -> int:
        computing.set()
        slow.wait(0.05)
        return 3

    thread = threading.Thread(target=make)
    thread.start()
    computing.wait()
    child = os.fork()
    if not child:
        os._exit(make())  # would never return without the result of the thread
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
