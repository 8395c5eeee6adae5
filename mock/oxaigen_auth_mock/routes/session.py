"""What follows a sign-in: `token-exchange`, `refresh` and `logout`, and the cookies they set."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, StringConstraints
from starlette.status import HTTP_200_OK, HTTP_400_BAD_REQUEST, HTTP_401_UNAUTHORIZED

from oxaigen_auth_mock.asgi.exchange import NO_STORE
from oxaigen_auth_mock.identity_provider.base import ProviderError, Tokens
from oxaigen_auth_mock.identity_provider.state_token import StateError
from oxaigen_auth_mock.routes.token import Detail
from oxaigen_auth_mock.state import MockProxy, proxy_of

CLEARED: Final = Tokens("", "")

NOT_EXCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Detail, "description": "The code or the state is not good"}
}
NOT_REFRESHED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Detail, "description": "No refresh token, or one that is not good"}
}


class Grant(BaseModel):
    """What an identity provider hands back for the proxy to redeem."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    state: Annotated[str, StringConstraints(min_length=1, max_length=8192)]


class Lifetimes(BaseModel):
    """How long the tokens in the cookies last, in seconds."""

    expires_in: int
    refresh_expires_in: int


class SignedIn(Lifetimes):
    return_to: str


class SignedOut(BaseModel):
    revoked: bool


def sessions_router() -> APIRouter:
    router = APIRouter(prefix="/_oxa_auth", tags=["session"])
    router.post("/token-exchange", response_model=SignedIn, responses=NOT_EXCHANGED)(token_exchange)
    router.post("/refresh", response_model=Lifetimes, responses=NOT_REFRESHED)(refresh)
    router.post("/logout", response_model=SignedOut)(logout)
    return router


async def token_exchange(grant: Grant, request: Request) -> Response:
    """Take a code for tokens, which come as cookies."""
    proxy = proxy_of(request)
    if not grant.code.strip() or not grant.state.strip():
        raise HTTPException(HTTP_400_BAD_REQUEST, "Invalid token exchange payload")
    try:
        sign_in = proxy.signer.read(grant.state)
        tokens = proxy.provider.exchange(sign_in.ticket, grant.code)
    except (StateError, ProviderError) as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, str(error)) from error
    return _with_cookies(proxy, tokens, {"return_to": sign_in.return_to, **_lifetimes(proxy)})


async def refresh(request: Request) -> Response:
    """Take the refresh token in the cookie for new tokens, which come as cookies."""
    proxy = proxy_of(request)
    token = _refresh_token(proxy, request)
    if token is None:
        return _refused(proxy, "No refresh token")
    if proxy.is_revoked(token):
        return _refused(proxy, "Refresh failed: invalid_grant")
    try:
        tokens = proxy.provider.refresh(token)
    except ProviderError as error:
        return _refused(proxy, f"Refresh failed: {error}")
    return _with_cookies(proxy, tokens, _lifetimes(proxy))


async def logout(request: Request) -> Response:
    """Clear the cookies and, if there is a refresh token, end its session."""
    proxy = proxy_of(request)
    token = _refresh_token(proxy, request)
    if token is not None:
        proxy.provider.sign_out(token)
    return _with_cookies(proxy, CLEARED, {"revoked": token is not None})


def _refresh_token(proxy: MockProxy, request: Request) -> str | None:
    return request.cookies.get(proxy.settings.refresh_cookie_name) or None


def _lifetimes(proxy: MockProxy) -> dict[str, int]:
    settings = proxy.settings
    return {
        "expires_in": settings.expires_in,
        "refresh_expires_in": settings.refresh_expires_in,
    }


def _refused(proxy: MockProxy, detail: str) -> Response:
    return _with_cookies(proxy, CLEARED, {"detail": detail}, HTTP_401_UNAUTHORIZED)


def _with_cookies(
    proxy: MockProxy, tokens: Tokens, body: dict[str, Any], status: int = HTTP_200_OK
) -> Response:
    """Answer with both cookies; an empty token clears its own."""
    settings = proxy.settings
    response = JSONResponse(body, status, NO_STORE)
    for name, token, lasts, hidden in (
        (settings.access_cookie_name, tokens.access, settings.expires_in, False),
        (settings.refresh_cookie_name, tokens.refresh, settings.refresh_expires_in, True),
    ):
        response.set_cookie(
            name, token, max_age=lasts if token else 0, path="/", httponly=hidden, samesite="lax"
        )
    return response
