"""Adds to an OpenAPI document what the dependencies of its operations require.

These are the security schemes as alternatives, permissions as their scopes (OpenAPI 3.1, "Security
Requirement Object"), roles and permissions in the description, and the responses to refused callers
(README.md, "Responses to the caller"). What is in the document already stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from attrs import field, frozen

from oxaigen_auth._hints.dependencies import BEARER_SCHEME, ScopelessDependency
from oxaigen_auth._request.app_routes import Route, operations_of
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.settings import current_settings

_COOKIE_SCHEME = "OxaigenCookie"
_SCHEMES = {BEARER_SCHEME, _COOKIE_SCHEME}
_ERROR = "OxaigenAuthRefusal"
MAX_ALTERNATIVES = 64  # sets of scopes per operation; more are only in its description


@frozen
class _Response:
    """A response to a refused caller; `headers` has the header names and their descriptions."""

    name: str
    description: str
    headers: dict[str, str] = field(factory=dict)
    to_optional: bool = False  # also if callers need not be signed in

    def as_json(self) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string"}
        headers = {k: {"description": it, "schema": text} for k, it in self.headers.items()}
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_ERROR}"}}}
        found = {"description": self.description, "headers": headers, "content": content}
        return {key: value for key, value in found.items() if value}


_CHALLENGE = {"WWW-Authenticate": "`Bearer`, with the error and the scope if there are any"}
_RETRY_AFTER = {"Retry-After": "when to try again, in seconds"}
_RESPONSES = {
    "400": _Response("OxaigenInvalidHost", "The request's host is invalid.", to_optional=True),
    "401": _Response("OxaigenUnauthenticated", "There is no valid token.", _CHALLENGE),
    "403": _Response("OxaigenForbidden", "The caller may not do this.", _CHALLENGE),
    "429": _Response(
        "OxaigenTooManyRequests", "Too many rejected tokens.", _RETRY_AFTER, to_optional=True
    ),
    "502": _Response(
        "OxaigenUnavailable", "The auth service is unavailable.", _RETRY_AFTER, to_optional=True
    ),
}


def extend(document: dict[str, Any], app: Any) -> None:
    """Extend the document of an app in place, once.

    Does not change operations without a dependency.
    """
    if _ERROR in document.get("components", {}).get("schemas", {}):
        return
    routes = {(path, method): route for path, method, route in operations_of(app)}
    found = [(routes[place], operation) for place, operation in _operations(document, routes)]
    protected = [(ours, it) for route, it in found if (ours := list(_dependencies(route)))]
    if not protected:
        return
    for ours, operation in protected:
        _extend_operation(operation, ours)
        if str(document.get("openapi")).startswith("3.0"):  # there, only OAuth2 has scopes
            operation["security"] = _without_scopes(operation["security"])
    _extend_components(document.setdefault("components", {}), app)


def _operations(document: dict[str, Any], places: Iterable[tuple[str, str]]) -> Iterator[Any]:
    for path, method in places:
        operation = document.get("paths", {}).get(path, {}).get(method)
        if operation is not None:
            yield (path, method), operation


def _dependencies(route: Route) -> Iterator[ScopelessDependency]:
    called = (route.call(dependant) for dependant in route.tree)
    return (it for it in called if isinstance(it, ScopelessDependency) and it.identifies)


def _extend_operation(operation: dict[str, Any], ours: Sequence[ScopelessDependency]) -> None:
    is_optional = all(dependency.is_optional for dependency in ours)
    operation["security"] = list(_security(operation.get("security", []), ours))
    written = operation.get("description", "")
    new = dict.fromkeys(it for it in _sentences(ours) if it not in written)
    if new:
        operation["description"] = "\n\n".join(filter(None, [written, *new]))
    responses = operation.setdefault("responses", {})
    for status, response in _RESPONSES.items():
        if response.to_optional or not is_optional:
            responses.setdefault(status, {"$ref": f"#/components/responses/{response.name}"})


def _security(
    known: Iterable[dict[str, list[str]]], ours: Sequence[ScopelessDependency]
) -> Iterator[dict[str, list[str]]]:
    """Yield the alternatives: each scheme, with each way to hold one of several permissions."""
    if all(dependency.is_optional for dependency in ours):
        yield {}
    given = [scope for entry in known for scope in entry.get(BEARER_SCHEME, [])]
    always = [*given, *(name for dependency in ours for name in dependency.all_of)]
    choices = {it.any_of for it in ours if it.any_of and not {*it.any_of} & {*always}}
    if prod(map(len, choices)) > MAX_ALTERNATIVES:
        choices = set()
    for choice in product(*sorted(choices)):
        scopes = list(dict.fromkeys([*always, *choice]))
        yield {BEARER_SCHEME: scopes}
        yield {_COOKIE_SCHEME: scopes}
    yield from (entry for entry in known if entry and not entry.keys() & _SCHEMES)


def _without_scopes(security: list[dict[str, list[str]]]) -> list[dict[str, list[str]]]:
    bare = [{k: [] if k in _SCHEMES else v for k, v in entry.items()} for entry in security]
    return [entry for index, entry in enumerate(bare) if entry not in bare[:index]]


def _sentences(ours: Sequence[ScopelessDependency]) -> Iterator[str]:
    for dependency in ours:
        for names, kind in ((dependency.all_of, "permission"), (dependency.roles, "role")):
            if names:
                yield f"Requires the {kind}{'s' * (len(names) > 1)} {_listed(names)}."
        for names, kind in ((dependency.any_of, "permissions"), (dependency.any_role, "roles")):
            if names:
                yield f"Requires one of the {kind} {_listed(names)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _extend_components(components: dict[str, Any], app: Any) -> None:
    components.setdefault("securitySchemes", {}).setdefault(
        _COOKIE_SCHEME,
        {
            "type": "apiKey",
            "in": "cookie",
            "name": _cookie_name(app),
            "description": "The cookie that the Oxaigen sign-in sets, with an access token.",
        },
    )
    components.setdefault("schemas", {}).setdefault(
        _ERROR,
        {
            "title": _ERROR,
            "type": "object",
            "properties": {"detail": {"title": "Detail", "type": "string"}},
            "required": ["detail"],
        },
    )
    responses = components.setdefault("responses", {})
    for response in _RESPONSES.values():
        responses.setdefault(response.name, response.as_json())


def _cookie_name(app: Any) -> str:
    """Return the name of the cookie that the client of the app's middleware reads."""
    given = (it.kwargs.get("client") for it in getattr(app, "user_middleware", ()))
    client = next((it for it in given if isinstance(it, ProxyAuthClient)), None)
    settings = current_settings() if client is None else client.settings
    return settings.access_token_cookie_name
