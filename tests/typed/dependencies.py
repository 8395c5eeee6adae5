"""User code of FastAPI apps; only type checkers read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI, Request, WebSocket

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    ProxyAuthClient,
    User,
    aclose_client,
    derive_proxy_base_url,
    extract_bearer_token,
    get_current_user,
    get_current_user_optional,
    install_exception_handlers,
    require_permission,
    testing,
)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)
app.add_middleware(OxaigenAuthMiddleware, client=ProxyAuthClient("https://app.example.com"))
install_exception_handlers(app)

can_audit = require_permission("audit")
as_callable: Callable[..., Awaitable[User]] = can_audit
app.dependency_overrides[get_current_user] = lambda: User(user_name="ada")
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


@app.websocket("/ws")
async def ws(websocket: WebSocket, user: Annotated[User, Depends(get_current_user)]) -> None:
    assert_type(await get_current_user(websocket), User)
    await websocket.send_json(user.to_dict())


async def by_hand(request: Request) -> None:
    assert_type(await get_current_user(request), User)
    assert_type(await get_current_user_optional(request), User | None)
    assert_type(await require_permission("audit")(request), User)
    assert_type(extract_bearer_token(request), str | None)
    assert_type(extract_bearer_token(request, cookie_name="token"), str | None)
    assert_type(derive_proxy_base_url(request), str)
    await aclose_client()
    testing.reset()
