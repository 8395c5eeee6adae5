"""Errors for dependencies without `Depends`, and for `Depends(require_permission)`."""

from __future__ import annotations

from typing import NoReturn

from oxaigen_auth.errors import OxaigenAuthConfigurationError


class ScopelessDependency:
    """A dependency of this package: it checks no OAuth2 scopes, and works in `Depends(...)` only.

    `name` is the expression for it in an app. Without `Depends`, as a parameter's default or in
    `Annotated`, FastAPI takes it for request data, and calls the route without the dependency.
    """

    name: str

    def __deepcopy__(self, _: object) -> NoReturn:
        """Raise: FastAPI copies a parameter's default, and would pass the copy to the route."""
        raise OxaigenAuthConfigurationError(missing_depends(self))


class DeclaredInCode:
    """Annotates a parameter of `require_permission`, which FastAPI must not fill from a request."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: object) -> NoReturn:
        raise TypeError(
            "require_permission is called with a permission's name when a route is declared: "
            'write Depends(require_permission("audit")), not Depends(require_permission)'
        )


def missing_depends(dependency: ScopelessDependency) -> str:
    return f"{dependency.name} does nothing without Depends: write Depends({dependency.name})"
