"""The endpoints that apps call to learn who has a token, and what they may do."""

import re
from functools import partial
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Path, Request, Response
from pydantic import BaseModel
from starlette.status import HTTP_403_FORBIDDEN, HTTP_404_NOT_FOUND

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.state import proxy_of

PERMISSION_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


class Detail(BaseModel):
    """Why a call was refused, in a sentence."""

    detail: str


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Detail, "description": "No token, or one that is not good"},
    403: {"model": Detail, "description": "Good, but not for this app, or not for this"},
}
UNKNOWN_NAME: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Detail, "description": "No permission can be called that"}
}


def add_checks(app: FastAPI) -> None:
    """Add `get-me` and both `test-app-…` endpoints: to the app itself, as a router costs time."""
    add = partial(app.api_route, tags=["checks"])
    add("/_oxa_auth/get-me", methods=["GET"], responses=REFUSALS)(get_me)
    add("/_oxa_auth/test-app-token", methods=["POST"], responses=REFUSALS)(test_app_token)
    add(
        "/_oxa_auth/test-app-permission/{name}",
        methods=["POST"],
        responses=REFUSALS | UNKNOWN_NAME,
    )(test_app_permission)


async def get_me(request: Request) -> Response:
    """Answer the profile of the user whose token came along."""
    proxy = proxy_of(request)
    persona = proxy.check(proxy.token_of(request))
    return _json(proxy.roster.profile(persona), NO_STORE)


async def test_app_token(request: Request) -> Response:
    """Answer `true` to a token that is good for this app."""
    proxy = proxy_of(request)
    proxy.check(proxy.token_of(request))
    return _json(b"true")


async def test_app_permission(
    name: Annotated[str, Path(description="Compared without case")], request: Request
) -> Response:
    """Answer `true` if the user has the permission; 404 to a name that no permission can have."""
    if PERMISSION_NAME.fullmatch(name) is None:
        raise HTTPException(HTTP_404_NOT_FOUND)
    proxy = proxy_of(request)
    if not proxy.check(proxy.token_of(request)).may(name):
        raise HTTPException(HTTP_403_FORBIDDEN, "Missing permission.")
    return _json(b"true")


def _json(body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Answer what was rendered beforehand: nothing is validated or encoded per call."""
    return Response(body, media_type="application/json", headers=headers)
