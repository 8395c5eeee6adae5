"""Errors for dependencies without `Depends`, and for `Depends(require_permission)` and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

from oxaigen_auth.errors import OxaigenAuthConfigurationError

BEARER_SCHEME = "OxaigenBearer"  # the name in OpenAPI

F = TypeVar("F", bound="Callable[..., Any]")


class ScopelessDependency:
    """A dependency of this package: it checks no OAuth2 scopes, and works in `Depends(...)` only.

    Without `Depends`, as a parameter's default or in `Annotated`, FastAPI takes it for request
    data, and calls the route without the dependency.

    Attributes:
        name: the expression for it in an app.
        identifies: it determines who the caller is.
        is_optional: it admits callers that are not signed in.
        all_of: the permissions of which the caller must hold each one.
        any_of: the permissions of which the caller must hold at least one.
        roles: the roles of which the caller must hold each one.
        any_role: the roles of which the caller must hold at least one.
    """

    name: str
    identifies: bool = True
    is_optional: bool = False
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    any_role: tuple[str, ...] = ()

    def __deepcopy__(self, _: object) -> NoReturn:
        """Raise: FastAPI copies a parameter's default, and would pass the copy to the route."""
        raise OxaigenAuthConfigurationError(missing_depends(self))


class DeclaredInCode:
    """Annotates a parameter of `require_permission` and the like, which no request may fill."""

    def __init__(self, function: str, what: str, example: str) -> None:
        self._error = (
            f"{function} is called with {what} when a route is declared: "
            f"write Depends({function}({example})), not Depends({function})"
        )

    def __get_pydantic_core_schema__(self, _: object, __: object) -> NoReturn:
        raise TypeError(self._error)


def takes_names(noun: str, example: str) -> Callable[[F], F]:
    """Make a function raise an error that shows how to write it for no names, or a list of them."""

    def decorate(function: F) -> F:
        @wraps(function)
        def call(*names: Any, **options: Any) -> Any:
            if not names and not options:
                raise TypeError(
                    f"{function.__name__} needs a name: write {_call(function, [example])}"
                )
            for name in names:
                if isinstance(name, list | tuple | set | frozenset) and name:
                    raise ValueError(f"{name!r} is not a {noun}: write {_call(function, name)}")
            return function(*names, **options)

        return cast("F", call)

    return decorate


def _call(function: Callable[..., Any], names: Iterable[object]) -> str:
    return f"{function.__name__}({listed(names)})"


def listed(names: Iterable[object]) -> str:
    """Return names as they are written in a call: `"audit", "write"`."""
    return ", ".join(f'"{name}"' if isinstance(name, str) else repr(name) for name in names)


class EnteredInRoute:
    """Annotates a parameter of `watch_user`, which is no dependency."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: object) -> NoReturn:
        raise TypeError(
            "watch_user is entered in the body of a WebSocket route: write "
            "`async with watch_user(websocket) as user:`, not Depends(watch_user)"
        )


def missing_depends(dependency: ScopelessDependency) -> str:
    return f"{dependency.name} does nothing without Depends: write Depends({dependency.name})"
