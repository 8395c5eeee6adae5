"""User code of FastAPI apps; only type checkers read it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, assert_type

import attrs
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OptionalUser,
    OxaigenAuthMiddleware,
    ProxyAuthClient,
    User,
    aclose_client,
    current_user,
    derive_proxy_base_url,
    extract_bearer_token,
    get_auth_client,
    get_current_user,
    get_current_user_as,
    get_current_user_optional,
    install_exception_handlers,
    install_openapi,
    lifespan,
    require_any_permission,
    require_permission,
    require_role,
    testing,
)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)
app.add_middleware(OxaigenAuthMiddleware, client=ProxyAuthClient("https://app.example.com"))
app.add_middleware(OxaigenAuthMiddleware, exclude=("/health", "/static/*"))
app.add_middleware(OxaigenAuthMiddleware, exclude=["/health"])
OxaigenAuthMiddleware(app, client=None, exclude=("/health",))
assert_type(install_exception_handlers(app), None)
assert_type(install_openapi(app), None)

FastAPI(lifespan=lifespan)
Starlette(lifespan=lifespan)


@asynccontextmanager
async def own_lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with lifespan(app):
        yield


can_audit = require_permission("audit")
as_callable: Callable[..., Awaitable[User]] = can_audit
app.dependency_overrides[get_current_user] = lambda: User(user_name="ada")
can_edit: Callable[..., Awaitable[User]] = require_permission("audit", "write")
can_see: Callable[..., Awaitable[User]] = require_any_permission("audit", "admin")
is_owner: Callable[..., Awaitable[User]] = require_role("owner", "admin")
APIRouter(dependencies=[Depends(can_edit), Depends(can_see), Depends(is_owner)])
FastAPI(dependencies=[Depends(require_role("owner"))])
app.dependency_overrides[can_audit] = lambda: User(user_name="ada")


@app.get("/me")
async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user


@app.get("/greeting")
async def greeting(user: Annotated[User | None, Depends(get_current_user_optional)]) -> str:
    return f"Hello {user.first_name}" if user else "Hello"


@app.get("/audit", dependencies=[Depends(can_audit)])
async def audit(user: User = Depends(require_permission("audit"))) -> list[User]:
    return [user]


@app.get("/aliases")
async def aliases(user: CurrentUser, caller: OptionalUser, client: AuthClient) -> bool:
    assert_type(user, User)
    assert_type(caller, User | None)
    assert_type(client, ProxyAuthClient)
    return await client.ping()


@attrs.frozen(kw_only=True)
class Member(User):
    tenant: str | None = None


CurrentMember = Annotated[Member, Depends(get_current_user_as(Member))]
app.dependency_overrides[get_current_user_as(Member)] = lambda: Member(tenant="acme")


@app.get("/tenant")
async def tenant(member: CurrentMember) -> str | None:
    assert_type(member, Member)
    return member.tenant


@app.websocket("/ws")
async def ws(websocket: WebSocket, user: Annotated[User, Depends(get_current_user)]) -> None:
    assert_type(await get_current_user(websocket), User)
    await websocket.send_json(user.to_dict())


async def by_hand(request: Request) -> None:
    assert_type(await get_current_user(request), User)
    assert_type(await get_current_user_optional(request), User | None)
    assert_type(await require_permission("audit")(request), User)
    assert_type(await require_permission("audit", "write")(request), User)
    assert_type(await require_any_permission("audit", "admin")(request), User)
    assert_type(await require_role("owner")(request), User)
    assert_type(await get_current_user_as(Member)(request), Member)
    assert_type(await current_user(request), User | None)
    assert_type(await get_auth_client(request), ProxyAuthClient)
    assert_type(extract_bearer_token(request), str | None)
    assert_type(extract_bearer_token(request, cookie_name="token"), str | None)
    assert_type(derive_proxy_base_url(request), str)
    await aclose_client()
    testing.reset()


async def in_starlette(connection: HTTPConnection, websocket: WebSocket) -> None:
    assert_type(await current_user(connection), User | None)
    assert_type(await current_user(websocket), User | None)
    assert_type(extract_bearer_token(websocket), str | None)
    assert_type(derive_proxy_base_url(websocket), str)
