"""Searches everything that is reachable from some objects for a text.

`gc.get_referents` returns what an object refers to directly, as its type reports it to the garbage
collector: the items of containers, slots and `__dict__` of instances, the cells of closures, the
arguments of partials, the entries of an `lru_cache`, the values of a context, the traceback and
causes of an exception, the locals of a frame, the frame of a suspended coroutine or generator.
Strings and bytes are among them, although the collector does not track those. Weak references are
not followed. Where a type refers to more than it owns (a function to the globals of its module, a
frame to its caller), `_SPECIAL` leaves that out. It uses private attributes of the SDK; `_ENDS` has
one of trio, whose `Runner` refers to every task.

The search ends at what belongs to the process or to the tests: modules, classes, event loops, and
functions, frames and objects of the tests, which hold every token.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from pathlib import Path
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any, TypeAlias

import trio
from attrs import define, field

from oxaigen_auth._core.background import running_loop
from oxaigen_auth._core.flight import Flight
from oxaigen_auth._upstream.proxy import Proxy
from oxaigen_auth._validation.loop_state import LoopStates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TESTS = str(Path(__file__).parents[1])

Trail: TypeAlias = "tuple[Trail | None, object]"

_ENDS = (
    type,
    ModuleType,
    CodeType,
    asyncio.AbstractEventLoop,
    logging.Filterer,
    logging.Logger,
    threading.Thread,
    trio._core._run.Runner,  # noqa: SLF001
)
_TASKS = (asyncio.Task, trio.lowlevel.Task)
_HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "h11"}


def shows(text: str, value: object) -> bool:
    """Return whether a string, or bytes, contains the text."""
    if isinstance(value, str):
        return text in value
    return isinstance(value, (bytes, bytearray)) and text.encode() in value


def is_ours(thing: object) -> bool:
    return _package(thing) == "oxaigen_auth"


@define(eq=False)
class Graph:
    """Walks from objects to all that they refer to, except from those for which `is_end` is true.

    A running lookup and its callers hold their token, so tasks are searched only with `tasks`, if
    no lookup runs. With `this_loop` the connections of other event loops, which may run in other
    threads, are not searched.
    """

    text: str
    tasks: bool = False
    this_loop: bool = False
    is_end: Callable[[object], bool] = lambda _: False
    seen: dict[int, object] = field(factory=dict[int, object], init=False)

    def find(self, *roots: object) -> list[str]:
        """Return the path to each object that holds or shows the text, and to each kept request."""
        found = []
        trails: list[Trail] = [(None, root) for root in roots]
        while trails:
            trail = trails.pop()
            thing = trail[1]
            if id(thing) in self.seen:
                continue
            self.seen[id(thing)] = thing  # a reference, so that nothing else gets its id
            found += [f"{_format(trail)} {fault}" for fault in self._faults(thing)]
            trails += [(trail, held) for held in self._held(thing)]
        return found

    def _faults(self, thing: object) -> Iterator[str]:
        if shows(self.text, thing):
            yield "holds it"
        if is_ours(thing) and shows(self.text, repr(thing)):
            yield "shows it in its repr"
        if type(thing).__name__ == "Request" and _package(thing) in _HTTP_LIBRARIES:
            yield "is a request that is kept"

    def _held(self, thing: Any) -> Iterable[object]:
        if isinstance(thing, _ENDS) or self.is_end(thing) or _is_of_tests(thing):
            return []
        if isinstance(thing, _TASKS) and not self.tasks:
            return []
        for kind, held in _SPECIAL.items():
            if isinstance(thing, kind):
                return held(self, thing)
        return gc.get_referents(thing)


def _held_by_function(_: Graph, function: FunctionType) -> list[object]:
    """Leave out the globals of its module."""
    defaults = [function.__defaults__, function.__kwdefaults__]
    return [function.__closure__, *defaults, vars(function)]


def _held_by_dict(_: Graph, content: dict[Any, Any]) -> list[object]:
    """Leave out the globals of modules."""
    return [] if "__builtins__" in content else gc.get_referents(content)


def _held_by_frame(_: Graph, frame: FrameType) -> list[object]:
    """Leave out its caller."""
    return [held for held in gc.get_referents(frame) if not isinstance(held, FrameType)]


def _held_by_flight(_: Graph, flight: Flight[Any]) -> list[object]:
    if not flight.done.is_set():  # a lookup under way
        return []
    return [held for held in gc.get_referents(flight) if held is not flight._table]  # noqa: SLF001


def _held_by_proxy(graph: Graph, proxy: Proxy) -> list[object]:
    """Leave out the transports of calls under way."""
    pool = proxy._transports  # noqa: SLF001
    idle = {id(transport) for _, transport in list(pool._idle)}  # noqa: SLF001
    graph.seen |= {id(it): it for it in pool._all if id(it) not in idle}  # noqa: SLF001
    return gc.get_referents(proxy)


def _held_by_loop_states(graph: Graph, loops: LoopStates) -> list[object]:
    states = loops._states  # noqa: SLF001
    held = [thing for thing in gc.get_referents(loops) if thing is not states]
    if graph.this_loop:
        return [*held, states.get(running_loop())]
    return [*held, *states.values()]


# Types that own less than they refer to.
_SPECIAL: dict[type, Callable[[Graph, Any], Iterable[object]]] = {
    FunctionType: _held_by_function,
    dict: _held_by_dict,
    FrameType: _held_by_frame,
    Flight: _held_by_flight,
    Proxy: _held_by_proxy,
    LoopStates: _held_by_loop_states,
}


def _is_of_tests(thing: Any) -> bool:
    code: CodeType | None = None
    match thing:
        case FunctionType():
            code = thing.__code__
        case FrameType():
            code = thing.f_code
        case CoroutineType():
            code = thing.cr_code
        case GeneratorType():
            code = thing.gi_code
        case AsyncGeneratorType():
            code = thing.ag_code
    if code is not None:
        return code.co_filename.startswith(TESTS)
    return _package(thing) in {"tests", "_pytest", "pluggy", "hypothesis"}


def _package(thing: object) -> str:
    return str(type(thing).__module__).partition(".")[0]  # not a string for some C types


def _format(trail: Trail) -> str:
    names: list[str] = []
    rest: Trail | None = trail
    while rest is not None:
        rest, thing = rest
        names.append(getattr(thing, "__qualname__", None) or type(thing).__qualname__)
    return " > ".join(reversed(names))
