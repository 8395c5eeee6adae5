"""Finds the routes of a FastAPI app and of the apps mounted in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from attrs import frozen
from fastapi import routing

from oxaigen_auth._hints.dependencies import ScopelessDependency


@frozen
class Route:
    """A FastAPI route: `dependant` is the root of its tree of dependencies."""

    name: str
    dependant: Any
    overrides: Mapping[Any, Any]

    @property
    def tree(self) -> list[Any]:
        return list(self._below(self.dependant))

    def call(self, dependant: Any) -> Any:
        """Return the called object, unwrapped from a `partial` or a bound `__call__`."""
        call: Any = self.overrides.get(dependant.call, dependant.call)
        while isinstance(call, partial):
            call = call.func
        bound = getattr(call, "__self__", None)
        return bound if isinstance(bound, ScopelessDependency) else call

    def _below(self, dependant: Any) -> Iterator[Any]:
        yield dependant
        if dependant.call not in self.overrides:
            for part in dependant.dependencies:
                yield from self._below(part)


def _apps(app: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    while app is not None and not hasattr(app, "routes"):
        app = getattr(app, "app", None)
    if app is None or id(app) in seen:
        return
    seen.add(id(app))
    yield prefix, app
    for route in _contexts(app):
        if getattr(route, "dependant", None) is None:
            path = f"{prefix}{getattr(route, 'path', None) or ''}"
            yield from _apps(getattr(route, "app", None), path, seen)


def _contexts(app: Any) -> Iterator[Any]:
    """Yield an app's routes, also those of included routers, which later FastAPIs keep apart."""
    expand: Any = getattr(routing, "iter_route_contexts", iter)
    yield from expand(app.routes or ())


def routes_of(app: object) -> Iterator[Route]:
    for prefix, found in _apps(app, "", set()):
        overrides = getattr(found, "dependency_overrides", {})
        for route in _contexts(found):
            dependant = getattr(route, "dependant", None)
            if dependant is not None:
                methods = sorted(getattr(route, "methods", None) or ["WebSocket"])
                yield Route(f"{', '.join(methods)} {prefix}{route.path}", dependant, overrides)


def operations_of(app: Any) -> Iterator[tuple[str, str, Route]]:
    """Yield path, method and route of an app's own operations; its OpenAPI document may omit some.

    Overrides are for tests, and do not change the document.
    """
    for route in _contexts(app):
        dependant = getattr(route, "dependant", None)
        for method in getattr(route, "methods", None) or () if dependant else ():
            yield route.path_format, method.lower(), Route(route.name, dependant, {})
