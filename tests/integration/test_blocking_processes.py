"""The blocking client where processes fork, are interrupted, or end without closing it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.support.apps import serving_elsewhere
from tests.support.fake_proxy import FakeProxy
from tests.support.processes import started
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 60.0  # seconds: more than any of the processes takes, however busy the machine
# Python 3.12 and later warn of forks in a process with threads: the tests are about those.
RUN = (sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c")
HEAD = f"""\
import os, resource, signal, sys, threading, time
from oxaigen_auth import BlockingProxyAuthClient, OxaigenAuthSettings
TOKEN = {TOKEN!r}
settings = OxaigenAuthSettings(proxy_timeout_seconds={TIMEOUT})
client = BlockingProxyAuthClient(sys.argv[1], settings=settings)
"""


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


@pytest.fixture
def url(proxy: FakeProxy) -> Iterator[str]:
    with serving_elsewhere(proxy) as server:
        yield server.url


def output(code: str, url: str) -> str:
    """Return what a process prints that ends by itself, without errors or warnings."""
    run = subprocess.run(  # noqa: S603 (our own code)
        [*RUN, HEAD + dedent(code), url],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


FORK = """
def in_child(function):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    signal.alarm(30)  # a child that hangs fails the test
    try:
        function()
        sys.stdout.flush()
        os._exit(0)
    finally:
        os._exit(1)
"""


def test_parent_and_child_of_a_fork_have_a_client_each(url: str, proxy: FakeProxy) -> None:
    code = """
    def child():
        print(client.stats().upstream_calls)
        for _ in range(2):
            print(client.get_me(TOKEN).user_name)
        client.close()
        try:
            client.get_me(TOKEN)
        except RuntimeError as error:
            print(error)

    print(client.get_me(TOKEN).user_name, flush=True)
    print(in_child(child), flush=True)
    print(client.get_me(TOKEN).user_name, client.get_me(TOKEN, fresh=True).user_name)
    client.close()
    """
    lines = output(FORK + dedent(code), url).splitlines()
    closed = "This client is closed; make a new one."
    assert lines == ["ada", "0", "ada", "ada", closed, "0", "ada ada"]
    assert len(proxy.calls) == 3


def test_a_lock_that_is_held_during_a_fork_blocks_no_child(url: str) -> None:
    code = """
    def child():
        print(client.get_me(TOKEN).user_name, client.test_permission(TOKEN, "audit"))

    client.get_me(TOKEN)
    worker = client._worker()
    with worker._lock, worker.client.validator.store._lock:
        print(in_child(child))
    """
    assert output(FORK + dedent(code), url).splitlines() == ["ada True", "0"]


def test_no_call_imports_a_module_or_initializes_openssl_as_a_fork_could_come_between(
    url: str,
) -> None:
    code = """
    import logging
    from oxaigen_auth._upstream.proxy import default_ssl_context

    def call(host):
        for function, *arguments in (
            (client.get_me, TOKEN), (client.test_permission, TOKEN, "audit"), (client.ping,)
        ):
            try:
                function(*arguments, proxy_base_url=host)
            except OxaigenAuthUpstreamError:
                pass

    print(default_ssl_context.cache_info().currsize)
    logging.disable()
    before = set(sys.modules)
    for host in sys.argv[1], sys.argv[1].replace("127.0.0.1", "localhost"), "https://localhost:9":
        call(host)
    client.close()
    print(sorted(set(sys.modules) - before))
    """
    code = "from oxaigen_auth import OxaigenAuthUpstreamError\n" + dedent(code)
    assert output(code, url).splitlines() == ["1", "[]"]


def test_a_fork_while_the_first_call_of_another_thread_starts_blocks_no_child(url: str) -> None:
    code = """
    def child():
        client.get_me(TOKEN)

    threading.Thread(target=client.get_me, args=["first"], daemon=True).start()
    print([in_child(child) for _ in range(5)])
    """
    assert output(FORK + dedent(code), url) == "[0, 0, 0, 0, 0]\n"


def test_a_client_that_is_made_before_a_fork_and_used_after_it_works_in_each_child(
    url: str, proxy: FakeProxy
) -> None:
    code = """
    def child():
        client.get_me(TOKEN)

    print([in_child(child) for _ in range(3)])
    print(threading.active_count())
    """
    assert output(FORK + dedent(code), url).splitlines() == ["[0, 0, 0]", "1"]
    assert len(proxy.calls) == 3


def test_a_client_that_was_closed_before_a_fork_is_closed_in_the_child(url: str) -> None:
    code = """
    def child():
        try:
            client.ping()
        except RuntimeError as error:
            print(error)

    client.close()
    print(in_child(child))
    """
    closed = "This client is closed; make a new one."
    assert output(FORK + dedent(code), url).splitlines() == [closed, "0"]


def test_multiprocessing_children_that_inherit_the_client_end_by_themselves(url: str) -> None:
    code = """
    import multiprocessing

    client.get_me(TOKEN)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print({user.user_name for user in pool.map(client.get_me, [TOKEN] * 8)})
    """
    code = code.replace("client.get_me, [TOKEN]", "get_name, [TOKEN]")
    code = code.replace("user.user_name for user", "name for name")
    names = "def get_name(token):\n    return client.get_me(token).user_name\n"
    assert output(names + dedent(code), url) == "{'ada'}\n"


@pytest.mark.parametrize(
    "end",
    [
        "",
        "sys.exit(0)",
        "del client",
        "threading.Thread(target=client.get_me, args=['other']).start()",
        "threading.Thread(target=client.get_me, args=['other'], daemon=True).start()",
        "import atexit; atexit.register(client.get_me, 'other')",
        "import atexit; atexit.register(client.close)",
    ],
)
def test_a_process_that_does_not_close_its_client_ends_at_once_and_quietly(
    url: str, end: str
) -> None:
    began = time.monotonic()
    assert output(f"print(client.get_me(TOKEN).user_name)\n{end}", url) == "ada\n"
    assert time.monotonic() - began < TIMEOUT / 2


@pytest.mark.parametrize("call", ["get_me('other')", "close()"])
def test_a_finalizer_at_the_end_of_the_process_gets_an_error_and_never_hangs(
    url: str, call: str
) -> None:
    code = f"""
    class Late:
        def __init__(self, client):
            self.client = client

        def __del__(self):
            try:
                self.client.{call}
            except RuntimeError as error:
                print(error)

    client.get_me(TOKEN)
    late = Late(client)
    """
    error = "BlockingProxyAuthClient cannot be used while the interpreter exits\n"
    assert output(code, url) == ("" if call == "close()" else error)


def test_a_signal_handler_closes_the_client_and_ends_the_process_during_a_lookup(
    url: str, proxy: FakeProxy
) -> None:
    proxy.delay = TIMEOUT
    code = """
    def end(*_):
        client.close()
        print("closed")
        sys.exit(0)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    client.get_me(TOKEN)
    """
    began = time.monotonic()
    assert output(code, url) == "closed\n"
    assert time.monotonic() - began < TIMEOUT / 2


def test_ctrl_c_ends_a_script_that_waits_for_a_slow_proxy(url: str, proxy: FakeProxy) -> None:
    proxy.delay = TIMEOUT
    with started(*RUN, HEAD + "client.get_me(TOKEN)", url) as process:
        deadline = time.monotonic() + TIMEOUT
        while not proxy.calls:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT / 2)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert TOKEN not in errors.replace(HEAD, "")


def test_an_event_loop_that_cannot_start_is_an_error_and_the_next_call_works(url: str) -> None:
    code = """
    sys.unraisablehook = lambda _: None  # asyncio cannot delete the loop that it could not make
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limit[1]))
    try:
        client.get_me(TOKEN)
    except OSError as error:
        print(error.strerror)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    print(client.get_me(TOKEN).user_name)
    """
    assert output(
        "import asyncio, anyio._backends._asyncio\n" + dedent(code), url
    ).splitlines() == [
        "Too many open files",
        "ada",
    ]
