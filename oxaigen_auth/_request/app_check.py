"""Finds routes that would admit every caller: ignored scopes, or a `User` without `Depends`.

Reads the routes of a FastAPI app and of the apps mounted in it. Ignores what it cannot read, such
as an ASGI app of another framework.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from attrs import field, frozen
from pydantic import BaseModel
from starlette.datastructures import State
from starlette.types import Scope

from oxaigen_auth._hints.dependencies import ScopelessDependency, missing_depends
from oxaigen_auth._request.app_routes import Route, routes_of
from oxaigen_auth.errors import OxaigenAuthConfigurationError
from oxaigen_auth.models import User

_log = logging.getLogger("oxaigen_auth")

_CHECK = "oxaigen_auth_check"  # key in the app's state
_PARAMETERS = ("path_params", "query_params", "header_params", "cookie_params", "body_params")


@frozen
class AppCheck:
    """The faults of an app, one sentence each, and the sets of scopes that its own code checks."""

    faults: list[str] = field(factory=list)
    checked_scopes: set[frozenset[str]] = field(factory=set)


def check_app(app: object) -> AppCheck:
    """Check the routes of an app and of its mounted apps, and store the result in its state."""
    found = AppCheck()
    try:
        for route in routes_of(app):
            _check_scopes(route, found)
            found.faults.extend(_forgotten_depends(route))
    except Exception:  # noqa: BLE001 (an app with unreadable routes may still run)
        _log.debug("Cannot read the routes of %r", type(app), exc_info=True)
    state = getattr(app, "state", None)
    if isinstance(state, State):
        setattr(state, _CHECK, found)
    return found


def refuse_faulty_app(app: object) -> None:
    """Check an app's routes before it starts.

    Raises:
        OxaigenAuthConfigurationError: a route has a fault; the message lists all of them.
    """
    faults = check_app(app).faults
    if faults:
        raise OxaigenAuthConfigurationError("\n  ".join(["Invalid routes:", *faults]))


def check_once(scope: Scope) -> None:
    """Log the faults of the connection's app, unless it has been checked already."""
    app = scope.get("app")
    if app is not None and _known(app) is None:
        for fault in check_app(app).faults:
            _log.error("%s", fault)


def refuse_scopes(scope: Scope, scopes: list[str]) -> None:
    """Refuse a connection whose route gives scopes to our dependencies, unless the app checks them.

    Raises:
        OxaigenAuthConfigurationError: nothing checks the scopes.
    """
    app, given = scope.get("app"), frozenset(scopes)
    known = _known(app) or AppCheck()
    if given not in known.checked_scopes and given not in check_app(app).checked_scopes:
        raise OxaigenAuthConfigurationError(f"{scope.get('path')}: {_unchecked(given)}")


def _known(app: object) -> AppCheck | None:
    return getattr(getattr(app, "state", None), _CHECK, None)


def _check_scopes(route: Route, found: AppCheck) -> None:
    ours = [it for it in route.tree if isinstance(route.call(it), ScopelessDependency)]
    readers = [it for it in route.tree if it.security_scopes_param_name and it not in ours]
    checked = frozenset[str]().union(*map(_scopes, readers))
    for dependency in ours:
        scopes = _scopes(dependency)
        if scopes <= checked:
            found.checked_scopes.add(scopes)
            continue
        fault = f"{route.name}: {_unchecked(scopes - checked)}"
        if fault not in found.faults:
            found.faults.append(fault)


def _scopes(dependant: Any) -> frozenset[str]:
    """Return the scopes given to a dependency, and to those around it."""
    names = ("security_scopes", "parent_oauth_scopes", "own_oauth_scopes")
    return frozenset().union(*(getattr(dependant, name, None) or () for name in names))


def _unchecked(scopes: frozenset[str]) -> str:
    named = ", ".join(map(repr, sorted(scopes)))
    write = " and ".join(f'Depends(require_permission("{scope}"))' for scope in sorted(scopes))
    return f"nothing checks the scopes {named} given to Security(...); write {write} instead"


def _forgotten_depends(route: Route) -> Iterator[str]:
    for dependant in route.tree:
        if hasattr(dependant.call, "__metadata__"):
            yield (
                f"{route.name}: Depends(…) got an annotation, such as CurrentUser; "
                "write user: CurrentUser, without Depends"
            )
        hints = _hints(dependant.call)
        for kind in _PARAMETERS:
            for parameter in getattr(dependant, kind):
                alone = _alone(parameter, hints)
                if alone is not None:
                    yield f"{route.name}: {missing_depends(alone)}, in {parameter.name!r}"
                elif _holds_user(parameter.field_info.annotation, set()):
                    yield f"{route.name}: {_write_depends(dependant.call, parameter)}"


def _alone(parameter: Any, hints: Mapping[str, Any]) -> ScopelessDependency | None:
    """Return the dependency of ours that a parameter has as its default, or in `Annotated`."""
    beside = getattr(hints.get(parameter.name), "__metadata__", ())
    candidates = (parameter.field_info.default, *beside)
    return next((it for it in candidates if isinstance(it, ScopelessDependency)), None)


def _hints(call: Any) -> dict[str, Any]:
    try:
        return get_type_hints(call, include_extras=True)
    except Exception:  # noqa: BLE001 (FastAPI could read them in its own way)
        return {}


def _write_depends(call: Any, parameter: Any) -> str:
    function = getattr(call, "__name__", type(call).__name__)
    annotation = parameter.field_info.annotation
    parts = get_args(annotation) or (annotation,)
    dependency, user = "get_current_user", "User"
    if type(None) in parts:
        dependency, user = "get_current_user_optional", "User | None"
    elif own := next(filter(_is_own_model, parts), None):
        dependency, user = f"get_current_user_as({own.__name__})", own.__name__
    return (
        f"{function}() would read a User from the request, in {parameter.name!r}; "
        f"write user: Annotated[{user}, Depends({dependency})], and in no other way"
    )


def _is_own_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, User) and part is not User


def _holds_user(annotation: Any, seen: set[Any]) -> bool:
    """Return whether a value of this type is a `User`, or contains one."""
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
