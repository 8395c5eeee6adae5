"""The endpoints that apps call to check a token: `get-me` and both `test-app-…`."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Request, Response
from starlette.status import HTTP_403_FORBIDDEN, HTTP_404_NOT_FOUND

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.state import get_mock_state
from oxaigen_auth_mock.web.api_models import Detail, Responses

PERMISSION_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")

REFUSED: Final[Responses] = {
    401: {"model": Detail, "description": "The token is missing or invalid"},
    403: {"model": Detail, "description": "The token is valid, but not allowed to do this"},
}
INVALID_NAME: Final[Responses] = {
    404: {"model": Detail, "description": "Not a valid name of a permission"}
}

token_router: APIRouter = APIRouter(prefix="/_oxa_auth", tags=["checks"], responses=REFUSED)


@token_router.get("/get-me")
async def get_me(request: Request) -> Response:
    """Return the profile of the token's user."""
    mock = get_mock_state(request)
    persona = mock.authenticate(mock.token_from(request))
    return _json(mock.personas.profile(persona), NO_STORE)


@token_router.post("/test-app-token")
async def test_app_token(request: Request) -> Response:
    """Return `true` if the token is valid for this application."""
    mock = get_mock_state(request)
    mock.authenticate(mock.token_from(request))
    return _json(b"true")


@token_router.post("/test-app-permission/{name}", responses=INVALID_NAME)
async def test_app_permission(
    name: Annotated[str, Path(description="Case-insensitive")], request: Request
) -> Response:
    """Return `true` if the user has the permission; 404 if no permission can have this name."""
    if PERMISSION_NAME.fullmatch(name) is None:
        raise HTTPException(HTTP_404_NOT_FOUND)
    mock = get_mock_state(request)
    if not mock.authenticate(mock.token_from(request)).has_permission(name):
        raise HTTPException(HTTP_403_FORBIDDEN, "Missing permission.")
    return _json(b"true")


def _json(body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return JSON that was rendered in advance, without validating or encoding it per call."""
    return Response(body, media_type="application/json", headers=headers)
