"""A pytest plugin that searches for the tests' tokens where none may be.

Always: log records, responses of apps, exceptions that leave the client with everything that they
refer to, and everything that is reachable from the clients, also when one closes its connections.
With `--leaks` also everything of the SDK that is left in the process after a test. Warnings are
errors, so that they are among the exceptions.

It wraps methods of the SDK for the whole run, as no test hands out all of its clients. An exception
refers to its traceback, that to the frames that it left, and those to their locals, until they
are cleared (`traceback.clear_frames`). `gc.freeze` excludes all objects that exist at that moment
from later collections, which then visit only what the tests make.
"""

from __future__ import annotations

import functools
import gc
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest
from attrs import define, field
from fastapi import FastAPI

from oxaigen_auth import dependencies, middleware
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._request.identity import Identity
from oxaigen_auth._upstream.proxy import Proxy
from oxaigen_auth._upstream.transport_pool import TransportPool
from oxaigen_auth._validation.loop_state import LoopState, LoopStates
from oxaigen_auth._validation.validator import Validator
from oxaigen_auth._validation.verdict_store import VerdictStore
from oxaigen_auth.client import ProxyAuthClient
from tests.support.heap_search import Graph, is_ours, shows
from tests.support.tokens import MARK

if TYPE_CHECKING:
    from collections.abc import Generator

    from starlette.types import Message, Receive, Scope, Send

# What exceptions leave by, to the code of users and frameworks.
ENTRIES = (
    (ProxyAuthClient, "get_me"),
    (ProxyAuthClient, "test_permission"),
    (Identity, "check_permission"),
    (dependencies, "identify"),
    (middleware, "identify"),
)

# What an exception's frames lead to, and what is looked through by itself.
CORE = (
    ProxyAuthClient,
    Validator,
    LoopStates,
    LoopState,
    VerdictStore,
    Proxy,
    SingleFlight,
    TransportPool,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--leaks", action="store_true", help="look for tokens in all that is left")


def pytest_configure(config: pytest.Config) -> None:
    watch = Watch(thorough=bool(config.getoption("--leaks")))
    watch.install()
    config.pluginmanager.register(watch, "secrecy-watch")


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Watch:
    """The one that watches all the tests; `take` keeps the test from failing by what it found."""
    found = request.config.pluginmanager.get_plugin("secrecy-watch")
    assert isinstance(found, Watch)
    return found


@define(eq=False)
class Watch(logging.Handler):
    """Collects where the mark was seen. A test during which that happens fails."""

    thorough: bool
    found: list[str] = field(factory=list[str], init=False)
    clients: list[ref[ProxyAuthClient]] = field(factory=list, init=False)  # of this test

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def install(self) -> None:
        """Stand where records, exceptions, answers and clients come by, until the process ends."""
        logging.getLogger().addHandler(self)
        places: list[tuple[object, str, Any]] = [
            *((owner, name, self._watching) for owner, name in ENTRIES),
            (ProxyAuthClient, "__init__", self._noting),
            (Proxy, "aclose", self._closing),
            (FastAPI, "__call__", self._serving),
        ]
        for owner, name, wrap in places:
            setattr(owner, name, wrap(getattr(owner, name)))

    def take(self) -> list[str]:
        found = self.found
        self.found = []
        return found

    def emit(self, record: logging.LogRecord) -> None:
        said = [record.getMessage(), *map(str, vars(record).values()), repr(vars(record))]
        if record.exc_info:
            said += traceback.format_exception(record.exc_info[1])
        if any(shows(MARK, text) for text in said):
            self.found.append(f"log record of {record.name}: {record.getMessage()}")

    def look_at_error(self, error: BaseException) -> None:
        """Look at its texts, its attributes, its causes, and the frames below this one."""
        said = [str(error), repr(error), *traceback.format_exception(error)]
        if any(shows(MARK, text) for text in said):
            self.found.append(f"text of {error!r}")
        graph = Graph(MARK, is_end=_is_looked_at_elsewhere)
        self.found += [f"exception: {way}" for way in graph.find(error)]

    def look_at_answer(self, message: Message) -> None:
        if shows(MARK, repr(message)):
            self.found.append(f"answer of an app: {message}")

    def look_at_clients(self, *more: object, this_loop: bool = False) -> None:
        graph = Graph(MARK, this_loop=this_loop)
        live = [client() for client in list(self.clients)]
        self.found += [f"in use: {way}" for way in graph.find(*live, *more)]

    def look_at_all(self) -> None:
        """Look at all that is left of the SDK in the process, where nothing runs any more.

        But for requests, which know their own token; what a test keeps of them is its affair.
        """
        gc.collect()
        modules = [vars(m) for n, m in sys.modules.items() if n.split(".")[0] == "oxaigen_auth"]
        ours = [thing for module in modules for thing in module.values()]
        ours += [x for x in gc.get_objects() if is_ours(x) and not isinstance(x, Identity)]
        graph = Graph(MARK, tasks=True, is_end=_is_request)
        self.found += [f"left over: {way}" for way in graph.find(*ours)]

    def _noting(self, original: Any) -> Any:
        @functools.wraps(original)
        def noted(client: ProxyAuthClient, *args: Any, **options: Any) -> None:
            original(client, *args, **options)
            self.clients.append(ref(client))

        return noted

    def _closing(self, original: Any) -> Any:
        @functools.wraps(original)
        async def closed(proxy: Proxy) -> None:
            self.look_at_clients(proxy, this_loop=True)  # while its connections are still idle
            await original(proxy)

        return closed

    def _serving(self, original: Any) -> Any:
        @functools.wraps(original)
        async def served(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
            async def watched(message: Message) -> None:
                self.look_at_answer(message)
                await send(message)

            await original(app, scope, receive, watched)

        return served

    def _watching(self, original: Any) -> Any:
        @functools.wraps(original)
        async def watched(*args: Any, **options: Any) -> Any:
            call = original(*args, **options)
            del args, options
            try:
                return await call
            except BaseException as error:
                self.look_at_error(error)
                raise

        return watched

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self) -> Generator[None]:
        yield
        if self.thorough:
            gc.collect()
            gc.freeze()

    def pytest_runtest_setup(self) -> None:
        logging.getLogger("oxaigen_auth").setLevel(logging.DEBUG)  # which a test may have changed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None]:
        yield
        self.look_at_clients()
        self._judge()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        yield
        self.clients = []  # what they hold by now has been looked at
        if self.thorough:
            self.look_at_all()
        self._judge()

    def _judge(self) -> None:
        found = self.take()
        if found:
            pytest.fail(
                "\n  ".join(["A token was found in:", *dict.fromkeys(found)]), pytrace=False
            )


def _is_request(thing: object) -> bool:
    return isinstance(thing, dict) and {"type", "headers"} <= thing.keys()


def _is_looked_at_elsewhere(thing: object) -> bool:
    return _is_request(thing) or isinstance(thing, (*CORE, Identity))
