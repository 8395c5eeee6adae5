"""FastAPI without the middleware: dependencies, on a router and on routes, identify the caller.

With the mock:

    oxaigen-auth-mock --personas personas.toml
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 without_middleware:app
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response

import oxaigen_auth
from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    current_user,
    extract_bearer_token,
    get_current_user,
    install_exception_handlers,
    require_any_permission,
    require_role,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with oxaigen_auth.lifespan(app):
        app.state.reports = {"q1": "First quarter"}  # a database, for example
        yield


app = FastAPI(lifespan=lifespan)
install_exception_handlers(app)
Token = Annotated[str | None, Depends(extract_bearer_token)]
reports = APIRouter(prefix="/v1/reports", dependencies=[Depends(get_current_user)])


@app.get("/ready")
async def ready(client: AuthClient, response: Response) -> dict[str, bool]:
    answers = await client.ping()
    response.status_code = 200 if answers else 503
    return {"proxy": answers}


@app.get("/v1/greeting")
async def greeting(request: Request, personal: bool = False) -> str:  # noqa: FBT001, FBT002
    """Identify the caller only on request: otherwise the route does not wait for the proxy."""
    user = await current_user(request) if personal else None
    return f"Hello, {user.first_name}!" if user else "Hello!"


@reports.get("")
async def index(request: Request) -> list[str]:
    return list(request.app.state.reports)


@reports.get("/{name}", dependencies=[Depends(require_any_permission("audit", "export"))])
async def report(name: str, user: CurrentUser, request: Request) -> str:
    return f"{request.app.state.reports.get(name, 'Nothing')}, for {user.display_name}"


@reports.delete("/{name}", status_code=204, dependencies=[Depends(require_role("owner"))])
async def delete(name: str, request: Request) -> None:
    request.app.state.reports.pop(name, None)


@app.post("/v1/sign-out", status_code=204)
async def sign_out(token: Token, client: AuthClient) -> None:
    if token is not None:
        client.forget(token)


app.include_router(reports)
