"""Leaks of each kind, planted: the watch over all the tests finds them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import subprocess
import sys
import urllib.parse
from collections import deque
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import Depends

from oxaigen_auth import (
    OxaigenAuthSettings,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    User,
)

# Where leaks are planted: the tests of the search know what it searches.
from oxaigen_auth._request.identity import CLIENT, Identity, identify
from oxaigen_auth._upstream.request import build_request
from oxaigen_auth._validation.question import FlightKey, Question, Secret, user_question
from oxaigen_auth._validation.verdict import Accepted, Rejected
from tests.support.apps import GOOD, get, make_app
from tests.support.fake_proxy import FakeProxy
from tests.support.heap_search import Graph
from tests.support.paths import ROOT
from tests.support.raw_server import PROFILE, answer, serving
from tests.support.token_leaks import Watch
from tests.support.token_leaks import watch as watch  # noqa: PLC0414
from tests.support.tokens import MARK, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio


def foreign(source: str, **names: Any) -> Any:
    """Return the `it` of code that is not the tests', whose functions are therefore entered."""
    exec(compile(source, "foreign.py", "exec"), {"__name__": "foreign"}, names)  # noqa: S102
    return names["it"]


def closure() -> Any:
    return foreign("def make(token): return lambda: token\nit = make(token)", token=TOKEN)


def suspended() -> Any:
    source = "def make(token): yield token\nit = make(token)\nnext(it)"
    return foreign(source, token=TOKEN)


def traced() -> Any:
    source = "def fail(token): 1 / 0\ntry: fail(token)\nexcept Exception as error: it = error"
    return foreign(source, token=TOKEN)


def cached() -> Any:
    remember = lru_cache(lambda text: text and None)
    remember(TOKEN)
    return remember


def in_context() -> Any:
    context = contextvars.copy_context()
    context.run(contextvars.ContextVar[str]("leak").set, TOKEN)
    return context


class Thing:
    def __init__(self) -> None:
        self.token = TOKEN


LEAKS: dict[str, Callable[[], Any]] = {
    "attribute": lambda: TOKEN,
    "part of bytes": lambda: b"Bearer " + TOKEN.encode(),
    "bytearray": lambda: bytearray(TOKEN, "ascii"),
    "memoryview": lambda: memoryview(TOKEN.encode()),
    "list in a dict": lambda: {"a": [TOKEN]},
    "key": lambda: {(TOKEN, 1): None},
    "deque": lambda: deque([TOKEN]),
    "partial": lambda: partial(print, TOKEN),
    "closure": closure,
    "default": lambda: foreign("def it(token=token): ...", token=TOKEN),
    "suspended generator": suspended,
    "local of a traceback": traced,
    "cause": lambda: foreign("it = KeyError()\nit.__cause__ = cause", cause=ValueError(TOKEN)),
    "lru_cache": cached,
    "context variable": in_context,
    "slot": lambda: Rejected(TOKEN),
    "instance": lambda: foreign("class Thing: ...\nit = Thing()\nit.token = token", token=TOKEN),
}


def a_client() -> ProxyAuthClient:
    return ProxyAuthClient("http://127.0.0.1:9", settings=OxaigenAuthSettings(breaker=False))


@pytest.mark.parametrize("kind", LEAKS)
def test_a_token_that_a_client_holds_is_found(kind: str, watch: Watch) -> None:
    client: Any = a_client()
    watch.search_clients()
    assert watch.take() == []
    client.leak = LEAKS[kind]()
    watch.search_clients()
    assert any(way.startswith("in use: ProxyAuthClient > ") for way in watch.take())
    del client.leak


def test_objects_of_the_tests_are_not_searched(watch: Watch) -> None:
    client: Any = a_client()

    def closure() -> str:
        return token

    token = TOKEN
    client.leak = [Thing(), closure, (x for x in [token])]
    assert closure() == TOKEN
    watch.search_clients()
    assert watch.take() == []


def test_a_token_in_a_key_of_the_cache_is_found(watch: Watch) -> None:
    client = a_client()
    store = client.validator.store
    store.put(store.flight_key(user_question(TOKEN, "base")), Accepted(User()), store.clock())
    watch.search_clients()
    assert watch.take() == []
    store.put(FlightKey(Question(TOKEN.encode(), "base"), 0), Accepted(User()), store.clock())
    watch.search_clients()
    found = watch.take()
    assert any(
        "VerdictStore > VerdictCaches > Cache > dict > bytes holds it" in way for way in found
    )
    assert any(way.endswith("VerdictStore shows it in its repr") for way in found)


def test_a_repr_that_shows_a_token_is_found_where_holding_it_is_allowed() -> None:
    identity = Identity(ProxyAuthClient(), token=TOKEN)
    assert Graph(MARK, is_end=lambda thing: thing is identity).find(identity) == []
    identity.host_error = TOKEN
    found = Graph(MARK, is_end=lambda thing: thing is identity).find(identity)
    assert found == ["Identity shows it in its repr"]


@pytest.mark.parametrize("where", ["args", "extra", "exception", "message"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_a_token_in_a_log_record_is_found(where: str, level: int, watch: Watch) -> None:
    log = logging.getLogger("oxaigen_auth")
    log.log(level, "nothing %s", "here", extra={"harmless": 1})
    assert watch.take() == []
    ways: dict[str, dict[str, Any]] = {
        "args": {"msg": "%s", "extra": None},
        "extra": {"msg": "there", "extra": {"what": [TOKEN.encode()]}},
        "exception": {"msg": "there", "exc_info": ValueError(TOKEN)},
        "message": {"msg": f"a {TOKEN}"},
    }
    options = ways[where]
    args = (TOKEN,) * (where == "args")
    log.log(level, options.pop("msg"), *args, **options)
    assert len(watch.take()) == 1


async def test_a_token_in_an_exception_of_the_client_is_found(watch: Watch) -> None:
    failure = OxaigenAuthUpstreamError("down")
    inner = traced()

    def fail(_: object) -> None:
        raise failure

    broken_store: Any = SimpleNamespace(get=fail)
    kinds: list[tuple[list[str], Callable[[], None]]] = [
        ([], lambda: None),
        (["exception: OxaigenAuthUpstreamError > "], lambda: setattr(failure, "__cause__", inner)),
        (["text of "], lambda: setattr(failure, "message", f"no {TOKEN}")),
    ]
    for starts, spoil in kinds:
        spoil()
        async with a_client() as client:
            client.validator.store = broken_store
            with pytest.raises(OxaigenAuthUpstreamError):
                await client.get_me(TOKEN)
        found = watch.take()
        assert bool(found) == bool(starts)
        assert all(any(way.startswith(start) for way in found) for start in starts)


async def test_a_token_in_an_answer_of_an_app_is_found(watch: Watch) -> None:
    app = make_app()

    def dependency() -> str:
        return TOKEN

    @app.get("/echo")
    async def echo(token: str = Depends(dependency)) -> str:
        return token

    async with serving(FakeProxy()):
        assert (await get(app, "/echo", GOOD)).json() == TOKEN
    assert [way[:17] for way in watch.take()] == ["answer of an app:"]


async def test_a_request_that_an_idle_connection_keeps_is_found_when_it_is_closed(
    watch: Watch,
) -> None:
    async with serving(FakeProxy()) as server:
        async with ProxyAuthClient(server.url, settings=OxaigenAuthSettings()) as client:
            await client.get_me(TOKEN)
        assert watch.take() == []
        async with ProxyAuthClient(server.url, settings=OxaigenAuthSettings()) as client:
            await client.get_me(TOKEN)
            state: Any = client.validator.loops.current()
            ((_, transport),) = state.upstream._transports._idle  # noqa: SLF001
            (connection,) = transport._pool.connections  # noqa: SLF001
            connection.leak = build_request(user_question(TOKEN, "http://x"), Secret(TOKEN))
    found = watch.take()
    assert any(way.endswith("> bytes holds it") for way in found)
    assert any(way.endswith("> Request is a request that is kept") for way in found)
    assert all("AsyncConnectionPool" in way for way in found)


async def test_a_running_lookup_may_hold_its_token(watch: Watch) -> None:
    looked = anyio.Event()

    async def look(_: bytes) -> bytes:
        watch.search_clients(this_loop=True)
        looked.set()
        return answer(200, PROFILE)

    async with serving(look) as server, ProxyAuthClient(server.url) as client:
        await client.get_me(TOKEN)
    assert looked.is_set()
    assert watch.take() == []


def test_a_token_in_a_leftover_of_the_sdk_is_found(watch: Watch) -> None:
    # It keeps URLs of earlier tests, some of which have a password.
    urllib.parse.clear_cache()  # type: ignore[attr-defined]  # without a type in typeshed
    watch.search_all()
    assert watch.take() == []
    left = [Rejected(TOKEN)]
    watch.search_all()
    assert "left over: Rejected > str holds it" in watch.take()
    assert left


def test_a_leftover_task_is_searched(anyio_backend: Any) -> None:
    assert anyio_backend
    source = "async def it(token, wait): await wait()"

    async def main() -> list[str]:
        coroutine = foreign(source, token=TOKEN)(TOKEN, anyio.sleep_forever)
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0)
        found = [*Graph(MARK).find(task), *Graph(MARK, tasks=True).find(task)]
        task.cancel()
        return found

    assert asyncio.run(main()) == ["Task > it > str holds it"]


async def test_the_http_library_logs_no_token_even_at_debug(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the headers of answers, which are the proxy's, as docs/security.md says."""
    caplog.set_level(logging.DEBUG)
    async with serving(FakeProxy(answer(200, PROFILE, set_cookie="sid=1"))) as server:
        async with ProxyAuthClient(server.url) as client:
            await client.get_me(TOKEN)
    library = [r for r in caplog.records if r.name.startswith("http")]
    assert {r.name.partition(".")[0] for r in library} <= {"httpcore", "httpcore2"}
    assert {r.name.partition(".")[2] for r in library} == {"connection", "http11"}
    said = [r.getMessage() for r in library]
    assert any("send_request_headers.complete" in text for text in said)
    assert any("sid=1" in text for text in said)
    assert watch.take() == []


async def test_the_http_librarys_debug_log_can_be_switched_off_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpcore", "httpcore2"):
        caplog.set_level(logging.INFO, logger=name)
    async with serving(FakeProxy(answer(200, PROFILE, set_cookie="sid=1"))) as server:
        async with ProxyAuthClient(server.url) as client:
            await client.get_me(TOKEN)
    assert not [r for r in caplog.records if r.name.startswith("http")]


def test_a_test_that_leaks_fails_and_the_next_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(
        "import logging\n"
        "from oxaigen_auth._validation.verdict import Rejected\n"
        "from tests.support.tokens import TOKEN\n"
        "left = []\n"
        "def test_one(): logging.warning(TOKEN)\n"
        "def test_two(): pass\n"
        "def test_three(): left.append(Rejected(TOKEN))\n"
    )
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.token_leaks",
        "--leaks",
        "-q",
        "-W",
        "ignore",
    ]
    ended = subprocess.run(  # noqa: S603 (our own code)
        [*run, "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout
    assert "1 failed, 2 passed, 1 error" in said
    assert "log record of root" in said
    assert "left over: Rejected > str holds it" in said


async def test_a_permission_check_that_raises_leaves_no_token_in_its_frames() -> None:
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    async with serving(FakeProxy()) as server:
        client = ProxyAuthClient(server.url, settings=OxaigenAuthSettings())
        identity = await identify({"type": "http", "headers": headers, CLIENT: client})
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await identity.check_permission("audit")


def test_a_thorough_watch_fails_a_test_for_what_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[str] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append("all that was there"))
    watch = Watch(thorough=True)
    monkeypatch.setattr(watch, "search_all", lambda: watch.found.append("left over: a token"))
    begin, end = watch.pytest_collection_finish(), watch.pytest_runtest_teardown()
    next(begin)
    next(end)
    assert list(begin) == []
    assert frozen == ["all that was there"]
    with pytest.raises(pytest.fail.Exception, match="left over: a token"):
        next(end)
