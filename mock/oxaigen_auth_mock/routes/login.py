"""The endpoints of a sign-in: `login`, `mock-authorize` and `callback`."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final
from urllib.parse import unquote, urlencode, urljoin, urlsplit

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.status import HTTP_302_FOUND, HTTP_400_BAD_REQUEST

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.config.constraints import DENY
from oxaigen_auth_mock.identity_provider.base import ProviderError
from oxaigen_auth_mock.identity_provider.state_token import InvalidStateError, SignIn
from oxaigen_auth_mock.personas.model import Persona
from oxaigen_auth_mock.routes.cookie_problems import foreign_cookie_problem, site_problem
from oxaigen_auth_mock.routes.return_to import allowed_origin, safe_return_to
from oxaigen_auth_mock.state import MockState, get_mock_state
from oxaigen_auth_mock.web.api_models import Detail, Responses
from oxaigen_auth_mock.web.pages import sign_in_page
from oxaigen_auth_mock.web.validation_errors import UNPROCESSABLE

BASE: Final = "/_oxa_auth"
AUTHORIZE: Final = f"{BASE}/mock-authorize"
DENIED: Final = {"error": "access_denied", "error_description": "The user denied the access."}
NO_SIGN_IN: Final = "There is no sign-in to complete."
INCOMPLETE: Final = "The address of this page is not complete."

Text = Annotated[str, Query()]
As = Annotated[str, Query(alias="as", description=f"Persona to sign in; `{DENY}` to refuse")]


class Authorization(BaseModel):
    """The URL at which the browser continues the sign-in."""

    authorize_url: str


HTML_PAGE: Final[dict[str, Any]] = {"content": {"text/html": {"schema": {"type": "string"}}}}
AUTHORIZED: Final[Responses] = {
    200: {**HTML_PAGE, "description": "A page to choose a persona"},
    302: {"description": "A redirect to the callback"},
    400: {
        **HTML_PAGE,
        "model": Detail,
        "description": "The state is invalid, or there is no such persona; a page in a browser",
    },
}


class SignInRoute(APIRoute):
    """A route whose errors are a page if a browser shows them, and JSON for other clients."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_page(request: Request) -> Response:
            try:
                return await handle(request)
            except (HTTPException, RequestValidationError) as error:
                if not _is_navigation(request):
                    raise
                return _failure_page(error)

        return handle_with_page


login_router: APIRouter = APIRouter(prefix=BASE, tags=["sign-in"], route_class=SignInRoute)


def route_path(url_path: str) -> str:
    """Return the decoded path, without the query, under which a route receives calls."""
    return unquote(urlsplit(url_path).path)


@login_router.get("/login", response_model=Authorization)
async def login(
    request: Request,
    return_to: Annotated[str, Query(max_length=2048, description="Path to return to")] = "",
    as_: As = "",
    origin: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Return the URL to sign in at. The calling page's origin is notified of the outcome."""
    mock = get_mock_state(request)
    settings = mock.settings
    if settings.login_authorize_url is not None:
        return _authorization(settings.login_authorize_url)
    path = safe_return_to(return_to, fallback=settings.return_to)
    caller = allowed_origin(origin, settings.cors_origins)
    warning = site_problem(request, caller)
    if warning is not None:
        mock.warn(request, warning)
    ticket = mock.provider.start_sign_in()
    state = mock.signer.sign(SignIn(path, caller, ticket, warning or ""))
    query = {"code": settings.auth_code, "state": state} | ({"as": as_} if as_ else {})
    return _authorization(_with_query(settings.authorize_path, query))


@login_router.get("/mock-authorize", response_class=Response, responses=AUTHORIZED)
async def authorize(
    request: Request,
    state: Text,
    code: Annotated[str, Query(description="Ignored: signing in issues a code")] = "",  # noqa: ARG001 - part of the wire
    as_: As = "",
) -> Response:
    """Act as the identity provider: sign in a persona, or ask which one."""
    mock = get_mock_state(request)
    try:
        sign_in = mock.signer.read(state)
        name = as_ or mock.auto_login
        if name == DENY:
            return _to_callback(state, DENIED)
        if name is None and (mock.settings.pick or mock.settings.personas is not None):
            return _pick_page(mock, state, _warnings(mock, request, sign_in))
        persona = _persona(mock, name)
        issued = mock.provider.issue_code(sign_in.ticket, persona.name)
        return _to_callback(state, {"code": issued})
    except (InvalidStateError, ProviderError) as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, str(error)) from error


@login_router.get("/callback", response_class=HTMLResponse)
async def callback(
    request: Request,
    code: Text = "",
    state: Text = "",
    error: Text = "",
    error_description: Text = "",
) -> Response:
    """Return a page that exchanges the code and notifies the app's window or returns to the app."""
    mock = get_mock_state(request)
    try:
        sign_in = mock.signer.read(state)
    except InvalidStateError:
        sign_in = SignIn(mock.settings.return_to, None, "")
    warnings = _warnings(mock, request, sign_in)
    failure = error_description or error or ("" if code and state else NO_SIGN_IN)
    return sign_in_page(
        "callback.html",
        policy="connect-src 'self'; form-action 'none'",
        app_url=urljoin(sign_in.origin or "", sign_in.return_to),
        warnings=warnings,
        sign_in={
            "code": code,
            "state": state,
            "origin": sign_in.origin,
            "failure": failure or None,
            "stay": bool(warnings),
            "exchange": f"{BASE}/token-exchange",
        },
    )


def _is_navigation(request: Request) -> bool:
    """Return whether a browser shows the response: a `fetch` accepts `*/*` or JSON."""
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and "application/json" not in accepted


def _failure_page(error: HTTPException | RequestValidationError) -> Response:
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    else:
        status, message = UNPROCESSABLE, INCOMPLETE
    page = sign_in_page("failed.html", policy="form-action 'none'", message=message)
    page.status_code = status
    return page


def _persona(mock: MockState, name: str | None) -> Persona:
    """Return the persona of this name, or the default persona for None."""
    persona = mock.personas.default if name is None else mock.personas.named(name)
    if persona is None:
        choices = ", ".join([*mock.personas.names, DENY])
        problem = "There is no persona" if name is None else f"No persona is called {name[:100]!r}"
        raise HTTPException(HTTP_400_BAD_REQUEST, f"{problem}; `as` can be one of: {choices}.")
    return persona


def _warnings(mock: MockState, request: Request, sign_in: SignIn) -> list[str]:
    """Return what is wrong with the cookies of a sign-in, for its pages."""
    foreign = foreign_cookie_problem(request, mock)
    if foreign is not None:
        mock.warn(request, foreign)
    return [warning for warning in (sign_in.warning, foreign) if warning]


def _pick_page(mock: MockState, state: str, warnings: list[str]) -> Response:
    return sign_in_page(
        "pick.html",
        policy="form-action 'self'",
        action=AUTHORIZE,
        warnings=warnings,
        code=mock.settings.auth_code,
        state=state,
        personas=list(mock.personas),
        deny=DENY,
    )


def _authorization(url: str) -> Response:
    return JSONResponse({"authorize_url": url}, headers=NO_STORE)


def _to_callback(state: str, outcome: dict[str, str]) -> Response:
    url = _with_query(f"{BASE}/callback", {**outcome, "state": state})
    return RedirectResponse(url, HTTP_302_FOUND, NO_STORE)


def _with_query(path: str, query: dict[str, str]) -> str:
    """Append to the query of a path, and keep its fragment."""
    parts = urlsplit(path)
    combined = "&".join(filter(None, (parts.query, urlencode(query))))
    return parts._replace(query=combined).geturl()
