"""A pytest plugin that searches for the tests' tokens in places that must not contain any.

Always: log records, responses of apps, exceptions that leave the client with everything that they
refer to, and everything that is reachable from the clients, also when one closes its connections.
With `--leaks` also everything of the SDK that is left in the process after a test. Warnings are
errors, so that they are among the exceptions.

It wraps methods of the SDK for the whole run, because tests do not expose all of their clients. An
exception refers to its traceback, that to the frames that it left, and those to their locals, until
they are cleared (`traceback.clear_frames`). `gc.freeze` excludes all existing objects from later
collections, which then visit only what the tests make.
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

from oxaigen_auth import middleware
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._dependencies import permissions, users
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

# The functions from which exceptions reach the code of users and frameworks.
ENTRIES = (
    (ProxyAuthClient, "get_me"),
    (ProxyAuthClient, "test_permission"),
    (Identity, "check_permission"),
    (Identity, "check_permissions"),
    *((module, "identify") for module in (permissions, users)),
    (middleware, "identify"),
)

# Objects that an exception's frames refer to, and that are searched separately.
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
    parser.addoption("--leaks", action="store_true", help="search all remaining objects for tokens")


def pytest_configure(config: pytest.Config) -> None:
    watch = Watch(thorough=bool(config.getoption("--leaks")))
    watch.install()
    config.pluginmanager.register(watch, "token-leaks")


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Watch:
    """The watch of the whole run. After `take`, its findings do not fail the test."""
    found = request.config.pluginmanager.get_plugin("token-leaks")
    assert isinstance(found, Watch)
    return found


@define(eq=False)
class Watch(logging.Handler):
    """Collects the places where the mark was found. The test then fails."""

    thorough: bool
    found: list[str] = field(factory=list[str], init=False)
    clients: list[ref[ProxyAuthClient]] = field(factory=list, init=False)  # of this test

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def install(self) -> None:
        """Observe log records, exceptions, responses and clients until the process ends."""
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
        texts = [record.getMessage(), *map(str, vars(record).values()), repr(vars(record))]
        if record.exc_info:
            texts += traceback.format_exception(record.exc_info[1])
        if any(shows(MARK, text) for text in texts):
            self.found.append(f"log record of {record.name}: {record.getMessage()}")

    def search_error(self, error: BaseException) -> None:
        """Search its texts, its attributes, its causes, and the frames below this one."""
        texts = [str(error), repr(error), *traceback.format_exception(error)]
        if any(shows(MARK, text) for text in texts):
            self.found.append(f"text of {error!r}")
        graph = Graph(MARK, is_end=_is_searched_elsewhere)
        self.found += [f"exception: {trail}" for trail in graph.find(error)]

    def search_answer(self, message: Message) -> None:
        if shows(MARK, repr(message)):
            self.found.append(f"answer of an app: {message}")

    def search_clients(self, *more: object, this_loop: bool = False) -> None:
        graph = Graph(MARK, this_loop=this_loop)
        live = [client() for client in list(self.clients)]
        self.found += [f"in use: {trail}" for trail in graph.find(*live, *more)]

    def search_all(self) -> None:
        """Search all that is left of the SDK in the process, when nothing runs any more.

        Except requests, which contain their own token and may be kept by a test.
        """
        gc.collect()
        modules = [vars(m) for n, m in sys.modules.items() if n.split(".")[0] == "oxaigen_auth"]
        ours = [thing for module in modules for thing in module.values()]
        ours += [x for x in gc.get_objects() if is_ours(x) and not isinstance(x, Identity)]
        graph = Graph(MARK, tasks=True, is_end=_is_request)
        self.found += [f"left over: {trail}" for trail in graph.find(*ours)]

    def _noting(self, original: Any) -> Any:
        @functools.wraps(original)
        def noted(client: ProxyAuthClient, *args: Any, **options: Any) -> None:
            original(client, *args, **options)
            self.clients.append(ref(client))

        return noted

    def _closing(self, original: Any) -> Any:
        @functools.wraps(original)
        async def closed(proxy: Proxy) -> None:
            self.search_clients(proxy, this_loop=True)  # while its connections are still idle
            await original(proxy)

        return closed

    def _serving(self, original: Any) -> Any:
        @functools.wraps(original)
        async def served(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
            async def watched(message: Message) -> None:
                self.search_answer(message)
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
                self.search_error(error)
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
        self.search_clients()
        self._fail_if_found()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        yield
        self.clients = []  # they have been searched by now
        if self.thorough:
            self.search_all()
        self._fail_if_found()

    def _fail_if_found(self) -> None:
        found = self.take()
        if found:
            pytest.fail(
                "\n  ".join(["A token was found in:", *dict.fromkeys(found)]), pytrace=False
            )


def _is_request(thing: object) -> bool:
    return isinstance(thing, dict) and {"type", "headers"} <= thing.keys()


def _is_searched_elsewhere(thing: object) -> bool:
    return _is_request(thing) or isinstance(thing, (*CORE, Identity))
