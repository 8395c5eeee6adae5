"""Signing in, up to the page that finishes it: `login`, `mock-authorize` and `callback`."""

from typing import Annotated, Any, Final
from urllib.parse import unquote, urlencode, urljoin, urlsplit

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel
from starlette.status import HTTP_302_FOUND, HTTP_400_BAD_REQUEST

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.identity_provider.base import ProviderError
from oxaigen_auth_mock.identity_provider.state_token import SignIn, StateError
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.routes.return_to import calling_origin, local_path
from oxaigen_auth_mock.routes.token import Detail
from oxaigen_auth_mock.state import MockProxy, proxy_of
from oxaigen_auth_mock.web.rendering import Markup, fill, json_markup, page, page_file

BASE: Final = "/_oxa_auth"
AUTHORIZE: Final = f"{BASE}/mock-authorize"
DENIED: Final = {"error": "access_denied", "error_description": "The user denied the access."}
NOTHING_TO_FINISH: Final = "There is no sign-in to finish here."

Text = Annotated[str, Query()]
As = Annotated[str, Query(alias="as", description=f"Who signs in; `{DENY}` for nobody")]


class Authorization(BaseModel):
    """Where the browser goes to sign in."""

    authorize_url: str


PAGE: Final[dict[str, Any]] = {"content": {"text/html": {"schema": {"type": "string"}}}}
PICKED: Final[dict[int | str, dict[str, Any]]] = {
    200: {**PAGE, "description": "A page on which to pick who signs in"},
    302: {"description": "On to the callback"},
    400: {"model": Detail, "description": "Not a good state, or nobody of that name"},
}


def login_router(authorize_path: str) -> APIRouter:
    """The way through a sign-in.

    Args:
        authorize_path: answers like `mock-authorize`, which is there in any case.
    """
    path = route_of(authorize_path)
    router = APIRouter(tags=["sign-in"])
    router.get(f"{BASE}/login", response_model=Authorization)(login)
    router.get(AUTHORIZE, response_class=Response, responses=PICKED)(authorize)
    router.get(f"{BASE}/callback", response_class=HTMLResponse)(callback)
    if path != AUTHORIZE:
        router.get(path, include_in_schema=False)(authorize)
    return router


def route_of(path: str) -> str:
    """Take from a path with a query, percent-encoded, what calls of it are told apart by."""
    return unquote(urlsplit(path).path)


async def login(
    request: Request,
    return_to: Annotated[str, Query(max_length=2048, description="Path to end at")] = "",
    as_: As = "",
    origin: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Tell where to sign in; the page that calls this is the one that hears of the end."""
    proxy = proxy_of(request)
    settings = proxy.settings
    if settings.login_authorize_url is not None:
        return _authorization(settings.login_authorize_url)
    goal = local_path(return_to, fallback=settings.return_to)
    caller = calling_origin(origin, settings.cors_origins)
    state = proxy.signer.sign(SignIn(goal, caller, proxy.provider.begin()))
    query = {"code": settings.auth_code, "state": state} | ({"as": as_} if as_ else {})
    return _authorization(_with_query(settings.authorize_path, query))


async def authorize(
    request: Request,
    state: Text,
    code: Annotated[str, Query(description="Ignored: there is one once somebody signs in")] = "",  # noqa: ARG001 - part of the wire
    as_: As = "",
) -> Response:
    """Play the identity provider: let somebody sign in, or ask who does."""
    proxy = proxy_of(request)
    try:
        sign_in = proxy.signer.read(state)
        name = as_ or proxy.auto_login
        if name == DENY:
            return _to_callback(state, DENIED)
        if name is None and (proxy.settings.pick or proxy.settings.personas is not None):
            return _pick_page(proxy, state)
        persona = _persona(proxy, name)
        return _to_callback(state, {"code": proxy.provider.code(sign_in.ticket, persona.name)})
    except (StateError, ProviderError) as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, str(error)) from error


async def callback(
    request: Request,
    code: Text = "",
    state: Text = "",
    error: Text = "",
    error_description: Text = "",
) -> Response:
    """Answer a page that exchanges the code, tells the app's window, or goes to the app."""
    proxy = proxy_of(request)
    try:
        sign_in = proxy.signer.read(state)
    except StateError:
        sign_in = SignIn(proxy.settings.return_to, None, "")
    failure = error_description or error or ("" if code and state else NOTHING_TO_FINISH)
    told = {
        "code": code,
        "state": state,
        "origin": sign_in.origin,
        "failure": failure or None,
        "exchange": f"{BASE}/token-exchange",
    }
    return page(
        "callback.html",
        policy="connect-src 'self'; form-action 'none'",
        style=page_file("callback.css"),
        script=page_file("callback.js"),
        again=urljoin(sign_in.origin or "", sign_in.return_to),
        sign_in=json_markup(told),
    )


def _persona(proxy: MockProxy, name: str | None) -> Persona:
    """Find who signs in; None is whoever does by default."""
    roster = proxy.roster
    if name is None and roster.personas:
        return roster.default
    persona = roster.named(name or "")
    if persona is None:
        there = ", ".join([each.name for each in roster.personas] + [DENY])
        wanted = "No persona is there" if name is None else f"No persona is called {name[:100]!r}"
        raise HTTPException(HTTP_400_BAD_REQUEST, f"{wanted}; `as` can be one of: {there}.")
    return persona


def _pick_page(proxy: MockProxy, state: str) -> Response:
    return page(
        "pick.html",
        policy="form-action 'self'",
        style=page_file("pick.css"),
        action=AUTHORIZE,
        code=proxy.settings.auth_code,
        state=state,
        personas=Markup("".join(_choice(each) for each in proxy.roster.personas)),
        deny=DENY,
    )


def _choice(persona: Persona) -> Markup:
    return fill(
        "persona.html",
        name=persona.name,
        state=persona.state,
        colour="good" if persona.state == "ok" else "warn",
        email=persona.email or "no e-mail address",
        roles=", ".join(persona.roles) or "none",
        permissions=", ".join(persona.permissions) or "none",
    )


def _authorization(url: str) -> Response:
    return JSONResponse({"authorize_url": url}, headers=NO_STORE)


def _to_callback(state: str, outcome: dict[str, str]) -> Response:
    url = _with_query(f"{BASE}/callback", {**outcome, "state": state})
    return RedirectResponse(url, HTTP_302_FOUND, NO_STORE)


def _with_query(path: str, query: dict[str, str]) -> str:
    """Add a query to a path that may have one already, and keep what is behind a `#`."""
    parts = urlsplit(path)
    both = "&".join(filter(None, (parts.query, urlencode(query))))
    return parts._replace(query=both).geturl()
