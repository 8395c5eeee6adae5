"""Extends the OpenAPI documents of FastAPI apps by what the dependencies of a route require.

FastAPI itself shows for each route one security scheme, and no responses of dependencies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from fastapi import FastAPI

__all__ = ["install_openapi"]


def install_openapi(app: FastAPI) -> None:
    """Extend the document of an app that generates it with a function of its own.

    Other apps need no call: `FastAPI.openapi` does the same as soon as a dependency of this package
    has been imported. Call it after `app.openapi = …`. What the function has written remains.

    >>> from fastapi.openapi.utils import get_openapi
    >>> app = FastAPI()
    >>> def document():
    ...     return get_openapi(title="Shop", version="3", routes=app.routes)
    >>> app.openapi = document
    >>> install_openapi(app)
    """
    generate = app.openapi
    extended = _extended(lambda _: generate())
    setattr(app, "openapi", wraps(generate)(partial(extended, app)))  # noqa: B010 (a method)


def _extended(generate: Callable[[FastAPI], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(generate)
    def openapi(app: FastAPI) -> dict[str, Any]:
        known = app.openapi_schema
        schema = generate(app)
        if schema is not known:
            from oxaigen_auth._request.openapi_document import extend  # noqa: PLC0415 (seldom used)

            extend(schema, app)
        return schema

    return openapi


def extend_fastapi() -> None:
    """Extend the documents of all apps. Those that use no dependency of this package do not change.

    FastAPI has no hook for a dependency to describe itself, and an app may have no other part of
    this package, so its method is wrapped.
    """
    setattr(FastAPI, "openapi", _extended(FastAPI.openapi))  # noqa: B010 (a method)
