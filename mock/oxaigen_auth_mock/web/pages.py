"""The HTML pages: Jinja templates with autoescape, and their security headers."""

from importlib.resources import files
from secrets import token_urlsafe
from typing import Any, Final, get_args

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.status import HTTP_404_NOT_FOUND

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.faults.base import Endpoint

PACKAGE: Final = "oxaigen_auth_mock.web"
MEDIA_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
CONTROL_HEADERS: Final = {
    **NO_STORE,
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}
SIGN_IN_POLICY: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src data:"
SIGN_IN_HEADERS: Final = {
    **NO_STORE,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_environment: Final = Environment(
    loader=ChoiceLoader([PackageLoader(PACKAGE, name) for name in ("templates", "static")]),
    autoescape=True,
    undefined=StrictUndefined,
)


def static_files() -> dict[str, str]:
    """Return the scripts, styles and images of the pages by name."""
    folder = files(PACKAGE) / "static"
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}


def render(name: str, /, **values: Any) -> str:
    """Render a template. All values are escaped."""
    return _environment.get_template(name).render(values)


def sign_in_page(name: str, /, *, policy: str, **values: Any) -> HTMLResponse:
    """Return a page of the sign-in.

    Its scripts and styles are inline, because a front end's dev server may only forward
    `/_oxa_auth/` to the mock.

    Args:
        name: the template.
        policy: directives of the Content-Security-Policy besides those for scripts and styles.
        values: the variables of the template.
    """
    nonce = token_urlsafe(16)
    inline = f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
    headers = {
        **SIGN_IN_HEADERS,
        "Content-Security-Policy": f"{SIGN_IN_POLICY}; {inline}; {policy}",
    }
    return HTMLResponse(render(name, nonce=nonce, **values), headers=headers)


def control_page_router() -> APIRouter:
    """Return the routes of the control page at `/_mock/`, and of its files."""
    page = render("control.html", endpoints=get_args(Endpoint))
    assets = static_files()
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/_mock")
    async def redirect_to_page() -> Response:
        return RedirectResponse("/_mock/", headers=NO_STORE)

    @router.get("/_mock/")
    async def control_page() -> Response:
        return Response(page, media_type="text/html", headers=CONTROL_HEADERS)

    @router.get("/_mock/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise HTTPException(HTTP_404_NOT_FOUND)
        media_type = MEDIA_TYPES[name.rpartition(".")[2]]
        return Response(assets[name], media_type=media_type, headers=CONTROL_HEADERS)

    return router
