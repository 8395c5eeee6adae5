"""The endpoints that are the mock's own, for tests and people: no proxy has them."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.status import HTTP_204_NO_CONTENT

from oxaigen_auth_mock.proxy import proxy_of


def control_router() -> APIRouter:
    router = APIRouter(tags=["mock"])
    router.get("/health")(health)
    router.get("/_mock/api/calls")(calls)
    router.delete("/_mock/api/calls", status_code=HTTP_204_NO_CONTENT)(reset_calls)
    return router


async def health() -> dict[str, str]:
    """Answer as long as the mock runs, and say that it is one."""
    return {"status": "ok", "service": "oxaigen-auth-mock"}


async def calls(request: Request) -> Response:
    """Count the calls to the token and permission checks, together and per token.

    A token goes by its fingerprint, the first 12 hex digits of its SHA-256; calls without one are
    under `none`. `most_at_once` says how many calls were running at the same time, at most.
    """
    return JSONResponse(proxy_of(request).journal.counts.report())


async def reset_calls(request: Request) -> Response:
    """Start counting anew."""
    proxy_of(request).journal.clear()
    return Response(status_code=HTTP_204_NO_CONTENT)
