"""The endpoints after a sign-in, `token-exchange`, `refresh` and `logout`, and their cookies."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, StringConstraints
from starlette.status import HTTP_200_OK, HTTP_400_BAD_REQUEST, HTTP_401_UNAUTHORIZED

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.identity_provider.base import ProviderError, Tokens
from oxaigen_auth_mock.identity_provider.state_token import InvalidStateError
from oxaigen_auth_mock.routes.cookie_problems import foreign_cookie_problem
from oxaigen_auth_mock.state import MockState, get_mock_state
from oxaigen_auth_mock.web.api_models import Detail, Responses

NO_TOKENS: Final = Tokens("", "")

EXCHANGE_REFUSED: Final[Responses] = {
    400: {"model": Detail, "description": "The code or the state is invalid"}
}
REFRESH_REFUSED: Final[Responses] = {
    401: {"model": Detail, "description": "The refresh token is missing or invalid"}
}


class Grant(BaseModel):
    """The parameters with which an identity provider redirects to the callback."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    state: Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class Lifetimes(BaseModel):
    """How long the tokens in the cookies are valid, in seconds."""

    expires_in: int
    refresh_expires_in: int


class SignedIn(Lifetimes):
    return_to: str


class SignedOut(BaseModel):
    revoked: bool


session_router: APIRouter = APIRouter(prefix="/_oxa_auth", tags=["session"])


@session_router.post("/token-exchange", response_model=SignedIn, responses=EXCHANGE_REFUSED)
async def token_exchange(grant: Grant, request: Request) -> Response:
    """Exchange a code for tokens, which are set as cookies."""
    mock = get_mock_state(request)
    if not grant.code.strip() or not grant.state.strip():
        raise HTTPException(HTTP_400_BAD_REQUEST, "Invalid token exchange payload")
    try:
        sign_in = mock.signer.read(grant.state)
        tokens = mock.provider.exchange_code(sign_in.ticket, grant.code)
    except (InvalidStateError, ProviderError) as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, str(error)) from error
    return _with_cookies(mock, tokens, {"return_to": sign_in.return_to, **_lifetimes(mock)})


@session_router.post("/refresh", response_model=Lifetimes, responses=REFRESH_REFUSED)
async def refresh(request: Request) -> Response:
    """Exchange the refresh token in the cookie for new tokens, which are set as cookies."""
    mock = get_mock_state(request)
    token = _refresh_token(mock, request)
    if token is None:
        return _refused(mock, "No refresh token")
    foreign = foreign_cookie_problem(request, mock)
    if foreign is not None:
        mock.warn(request, foreign)
    if mock.is_revoked(token):
        return _refused(mock, "Refresh failed: invalid_grant")
    try:
        tokens = mock.provider.refresh(token)
    except ProviderError as error:
        return _refused(mock, f"Refresh failed: {error}")
    return _with_cookies(mock, tokens, _lifetimes(mock))


@session_router.post("/logout", response_model=SignedOut)
async def logout(request: Request) -> Response:
    """Clear the cookies, and end the session of the refresh token if there is one."""
    mock = get_mock_state(request)
    token = _refresh_token(mock, request)
    if token is not None:
        mock.provider.end_session(token)
    return _with_cookies(mock, NO_TOKENS, {"revoked": token is not None})


def _refresh_token(mock: MockState, request: Request) -> str | None:
    return request.cookies.get(mock.settings.refresh_cookie) or None


def _lifetimes(mock: MockState) -> dict[str, int]:
    return {
        "expires_in": mock.settings.expires_in,
        "refresh_expires_in": mock.settings.refresh_expires_in,
    }


def _refused(mock: MockState, detail: str) -> Response:
    return _with_cookies(mock, NO_TOKENS, {"detail": detail}, HTTP_401_UNAUTHORIZED)


def _with_cookies(
    mock: MockState, tokens: Tokens, body: dict[str, Any], status: int = HTTP_200_OK
) -> Response:
    """Return a response that sets both cookies; an empty token clears its cookie."""
    settings = mock.settings
    response = JSONResponse(body, status, NO_STORE)
    for name, token, max_age, httponly in (
        (settings.access_cookie, tokens.access, settings.expires_in, False),
        (settings.refresh_cookie, tokens.refresh, settings.refresh_expires_in, True),
    ):
        response.set_cookie(
            name,
            token,
            max_age=max_age if token else 0,
            path="/",
            httponly=httponly,
            secure=settings.tls,
            samesite="none" if settings.tls else "lax",
        )
    return response
