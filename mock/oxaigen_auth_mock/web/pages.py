"""The control page at `/_mock/`, and its files below `/_mock/assets`."""

from typing import Final, get_args

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse
from starlette.status import HTTP_404_NOT_FOUND

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.faults.match import Endpoint
from oxaigen_auth_mock.web.rendering import render, static_files

MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS: Final = {
    **NO_STORE,
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def control_page_router() -> APIRouter:
    """Return the routes of the control page, its files and the redirects to it."""
    page = render("control.html", endpoints=get_args(Endpoint))
    assets = static_files()
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/_mock")
    async def redirect_to_page() -> Response:
        return RedirectResponse("/_mock/", headers=NO_STORE)

    @router.get("/_mock/")
    async def control_page() -> Response:
        return Response(page, media_type="text/html", headers=HEADERS)

    @router.get("/_mock/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise HTTPException(HTTP_404_NOT_FOUND)
        media_type = MEDIA_TYPES[name.rpartition(".")[2]]
        return Response(assets[name], media_type=media_type, headers=HEADERS)

    return router
