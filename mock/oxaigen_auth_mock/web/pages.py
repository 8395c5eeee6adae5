"""Serves the control page at `/_mock/`, and the files of all the mock's pages beside it.

Knows nothing of the mock's state: the page asks the API for it.
"""

from importlib.resources import files
from typing import Final

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse
from starlette.status import HTTP_404_NOT_FOUND

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.web.rendering import page_file

MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS: Final = {
    **NO_STORE,
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


def page_router() -> APIRouter:
    """The control page, its files below `/_mock/assets`, and the ways that lead to it."""
    page = page_file("control.html")
    assets = _assets()
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/_mock")
    async def lead_to_the_page() -> Response:
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


def _assets() -> dict[str, str]:
    """Read the files that pages load; their HTML is not among them."""
    pages = files("oxaigen_auth_mock.web") / "static"
    names = (file.name for file in pages.iterdir())
    return {name: page_file(name) for name in names if name.rpartition(".")[2] in MEDIA_TYPES}
