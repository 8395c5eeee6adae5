"""Starlette without FastAPI: `request.user`, `@requires`, and the client.

With the mock:

    oxaigen-auth-mock --personas personas.toml
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 starlette_app:app
"""

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    current_user,
    derive_proxy_base_url,
    extract_bearer_token,
    get_auth_client,
)


async def ready(request: Request) -> Response:
    answers = await (await get_auth_client(request)).ping()
    return JSONResponse({"proxy": answers}, 200 if answers else 503)


async def greeting(request: Request) -> Response:
    return PlainTextResponse(f"Hello, {request.user.display_name or 'guest'}!")


async def me(request: Request) -> Response:
    """Answer 401 to guests and 502 during an outage, where `@requires` always answers 403."""
    user = await current_user(request)
    if user is None:
        raise OxaigenAuthUnauthenticatedError("Not authenticated", "missing_token")
    return JSONResponse(user.to_dict())


@requires(["authenticated", "audit"])
async def audit(request: Request) -> Response:
    """Read the permission from the user's profile."""
    return PlainTextResponse(f"Seen by {request.user.email}")


async def export(request: Request) -> Response:
    """Ask the proxy for the permission. The middleware answers the errors of this package."""
    client, token = await get_auth_client(request), extract_bearer_token(request)
    if token is None:
        raise OxaigenAuthUnauthenticatedError("Not authenticated", "missing_token")
    proxy = derive_proxy_base_url(request)
    if not await client.test_permission(token, "export", proxy_base_url=proxy):
        raise OxaigenAuthPermissionDeniedError("Missing permission: export", permission="export")
    return PlainTextResponse("a,b\n1,2\n", media_type="text/csv")


async def sign_out(request: Request) -> Response:
    token = extract_bearer_token(request)
    if token is not None:
        (await get_auth_client(request)).forget(token)
    return Response(status_code=204)


app = Starlette(
    routes=[
        Route("/ready", ready),
        Route("/greeting", greeting),
        Route("/me", me),
        Route("/audit", audit),
        Route("/export", export),
        Route("/sign-out", sign_out, methods=["POST"]),
    ],
    middleware=[Middleware(OxaigenAuthMiddleware, exclude=("/ready",))],
)
