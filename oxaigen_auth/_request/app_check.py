"""Find routes that would let in whom they should not: ignored scopes, a `User` without `Depends`.

Reads the routes of a FastAPI app, and of the apps mounted in it. What cannot be read, such as a
foreign ASGI app, is passed over.
"""

from __future__ import annotations

import logging
from dataclasses import is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_type_hints

from attrs import field, frozen
from fastapi import routing
from pydantic import BaseModel
from starlette.datastructures import State

from oxaigen_auth.errors import OxaigenAuthConfigurationError
from oxaigen_auth.models import User

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.types import Scope

_log = logging.getLogger("oxaigen_auth")

_CHECK = "oxaigen_auth_check"  # in the app's state
_PARAMETERS = ("path_params", "query_params", "header_params", "cookie_params", "body_params")


class ScopelessDependency:
    """A dependency of ours: it checks no OAuth2 scopes, and is of use within `Depends(...)` only.

    `name` is how an app writes it. FastAPI takes one that stands alone, as a parameter's default
    or in `Annotated`, for a part of what the caller sends, and calls the route without asking it.
    """

    name: str

    def __deepcopy__(self, _: object) -> NoReturn:
        """Refuse to reach a route as the default of a parameter, which FastAPI copies."""
        raise OxaigenAuthConfigurationError(_stands_alone(self))


class DeclaredInCode:
    """Annotates a parameter of `require_permission` that FastAPI must not take from a request."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: object) -> NoReturn:
        raise TypeError(
            "require_permission is called with a permission's name when a route is declared: "
            'write Depends(require_permission("audit")), not Depends(require_permission)'
        )


def _stands_alone(dependency: ScopelessDependency) -> str:
    return f"{dependency.name} does nothing without Depends: write Depends({dependency.name})"


@frozen
class AppCheck:
    """What is wrong with an app, in sentences, and the sets of scopes that its own code checks."""

    faults: list[str] = field(factory=list)
    checked_scopes: set[frozenset[str]] = field(factory=set)


def check_app(app: object) -> AppCheck:
    """Read the routes of an app and of those that are mounted in it, and remember the result."""
    found = AppCheck()
    try:
        for route in _routes(app):
            _check_scopes(route, found)
            found.faults.extend(_forgotten_depends(route))
    except Exception:  # noqa: BLE001 (an app that cannot be read is not to be shut out)
        _log.debug("Cannot read the routes of %r", type(app), exc_info=True)
    state = getattr(app, "state", None)
    if isinstance(state, State):
        setattr(state, _CHECK, found)
    return found


def refuse_faulty_app(app: object) -> None:
    """Read an app's routes before it starts.

    Raises:
        OxaigenAuthConfigurationError: names each route that declares what it does not get.
    """
    faults = check_app(app).faults
    if faults:
        raise OxaigenAuthConfigurationError("\n  ".join(["These routes are wrong:", *faults]))


def check_once(scope: Scope) -> None:
    """Log what is wrong with the connection's app, where its start did not."""
    app = scope.get("app")
    if app is not None and _known(app) is None:
        for fault in check_app(app).faults:
            _log.error("%s", fault)


def refuse_scopes(scope: Scope, scopes: list[str]) -> None:
    """Refuse a connection whose route gives scopes to a dependency of ours, unless it checks them.

    Raises:
        OxaigenAuthConfigurationError: nothing checks the scopes.
    """
    app, given = scope.get("app"), frozenset(scopes)
    known = _known(app) or AppCheck()
    if given not in known.checked_scopes and given not in check_app(app).checked_scopes:
        raise OxaigenAuthConfigurationError(f"{scope.get('path')}: {_nobody_checks(given)}")


def _known(app: object) -> AppCheck | None:
    return getattr(getattr(app, "state", None), _CHECK, None)


@frozen
class _Route:
    """A FastAPI route: `dependant` is the root of its tree of dependencies."""

    name: str
    dependant: Any
    overrides: Mapping[Any, Any]

    @property
    def tree(self) -> list[Any]:
        return list(self._below(self.dependant))

    def call(self, dependant: Any) -> Any:
        """Return what is called, out of a `partial` or a bound `__call__`."""
        call: Any = self.overrides.get(dependant.call, dependant.call)
        while isinstance(call, partial):
            call = call.func
        bound = getattr(call, "__self__", None)
        return bound if _is_ours(bound) else call

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
    """Yield an app's routes as they are reached: later FastAPIs keep included routers apart."""
    expand: Any = getattr(routing, "iter_route_contexts", iter)
    yield from expand(app.routes or ())


def _routes(app: object) -> Iterator[_Route]:
    for prefix, found in _apps(app, "", set()):
        overrides = getattr(found, "dependency_overrides", {})
        for route in _contexts(found):
            dependant = getattr(route, "dependant", None)
            if dependant is not None:
                methods = sorted(getattr(route, "methods", None) or ["WebSocket"])
                yield _Route(f"{', '.join(methods)} {prefix}{route.path}", dependant, overrides)


def _check_scopes(route: _Route, found: AppCheck) -> None:
    ours = [it for it in route.tree if isinstance(route.call(it), ScopelessDependency)]
    readers = [it for it in route.tree if it.security_scopes_param_name and it not in ours]
    checked = frozenset[str]().union(*map(_scopes, readers))
    for dependency in ours:
        scopes = _scopes(dependency)
        if scopes <= checked:
            found.checked_scopes.add(scopes)
            continue
        fault = f"{route.name}: {_nobody_checks(scopes - checked)}"
        if fault not in found.faults:
            found.faults.append(fault)


def _scopes(dependant: Any) -> frozenset[str]:
    """Return the scopes given to a dependency, and to those around it."""
    names = ("security_scopes", "parent_oauth_scopes", "own_oauth_scopes")
    return frozenset().union(*(getattr(dependant, name, None) or () for name in names))


def _nobody_checks(scopes: frozenset[str]) -> str:
    named = ", ".join(map(repr, sorted(scopes)))
    write = " and ".join(f'Depends(require_permission("{scope}"))' for scope in sorted(scopes))
    return f"nothing checks the scopes {named} given to Security(...); write {write} instead"


def _forgotten_depends(route: _Route) -> Iterator[str]:
    for dependant in route.tree:
        hints = _hints(dependant.call)
        for kind in _PARAMETERS:
            for parameter in getattr(dependant, kind):
                alone = _alone(parameter, hints)
                if alone is not None:
                    yield f"{route.name}: {_stands_alone(alone)}, in {parameter.name!r}"
                elif _holds_user(parameter.field_info.annotation, set()):
                    yield f"{route.name}: {_write_depends(dependant.call, parameter)}"


def _alone(parameter: Any, hints: Mapping[str, Any]) -> ScopelessDependency | None:
    """Return the dependency of ours that a parameter has as its default, or in `Annotated`."""
    beside = getattr(hints.get(parameter.name), "__metadata__", ())
    found = (it for it in (parameter.field_info.default, *beside) if _is_ours(it))
    return next(found, None)


def _is_ours(thing: object) -> bool:
    return isinstance(thing, ScopelessDependency)


def _hints(call: Any) -> dict[str, Any]:
    try:
        return get_type_hints(call, include_extras=True)
    except Exception:  # noqa: BLE001 (FastAPI could read them in its own way)
        return {}


def _write_depends(call: Any, parameter: Any) -> str:
    function = getattr(call, "__name__", type(call).__name__)
    optional = type(None) in get_args(parameter.field_info.annotation)
    dependency = "get_current_user_optional" if optional else "get_current_user"
    user = "User | None" if optional else "User"
    return (
        f"{function}() would take a User from the request, in {parameter.name!r}; "
        f"write user: Annotated[{user}, Depends({dependency})], and take it from nowhere else"
    )


def _holds_user(annotation: Any, seen: set[Any]) -> bool:
    """Tell whether a value of this type is a `User`, or holds one."""
    annotation = getattr(annotation, "__value__", annotation)  # of a `type` statement
    parts = get_args(annotation)
    if not parts and isinstance(annotation, type) and annotation not in seen:
        seen.add(annotation)
        if issubclass(annotation, User):
            return True
        parts = _fields(annotation)
    return any(_holds_user(part, seen) for part in parts)


def _fields(model: type) -> tuple[Any, ...]:
    """Return the types of the fields that pydantic fills."""
    if issubclass(model, BaseModel):
        return tuple(field.annotation for field in model.model_fields.values())
    if is_dataclass(model) or hasattr(model, "__required_keys__"):  # as a TypedDict has
        return tuple(get_type_hints(model).values())
    return ()
