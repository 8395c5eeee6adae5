"""The endpoints that apps call to learn who has a token, and what they may do."""

import re
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.status import HTTP_403_FORBIDDEN, HTTP_404_NOT_FOUND

from oxaigen_auth_mock.proxy import proxy_of

PERMISSION_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


def checks_router() -> APIRouter:
    """`get-me` and both `test-app-…` endpoints, below the proxy's own prefix."""
    router = APIRouter(prefix="/_oxa_auth", tags=["checks"])
    router.get("/get-me")(get_me)
    router.post("/test-app-token")(test_app_token)
    router.post("/test-app-permission/{name}")(test_app_permission)
    return router


async def get_me(request: Request) -> Response:
    """Answer the profile of the user whose token came along."""
    proxy = proxy_of(request)
    token = proxy.token_of(request)
    async with proxy.answering("get-me", token):
        profile = proxy.check(token).profile_json
    return _json(profile, {"Cache-Control": "no-store"})


async def test_app_token(request: Request) -> Response:
    """Answer `true` to a token that is good for this app."""
    proxy = proxy_of(request)
    token = proxy.token_of(request)
    async with proxy.answering("test-app-token", token):
        proxy.check(token)
    return _json(b"true")


async def test_app_permission(name: str, request: Request) -> Response:
    """Answer `true` if the user has the permission; 404 to a name that no permission can have."""
    proxy = proxy_of(request)
    token = proxy.token_of(request)
    async with proxy.answering("test-app-permission", token):
        if PERMISSION_NAME.fullmatch(name) is None:
            raise HTTPException(HTTP_404_NOT_FOUND)
        if not proxy.check(token).may(name):
            raise HTTPException(HTTP_403_FORBIDDEN, "Missing permission.")
    return _json(b"true")


def _json(body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Answer what was rendered beforehand: nothing is validated or encoded per call."""
    return Response(body, media_type="application/json", headers=headers)
