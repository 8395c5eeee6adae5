"""User code of WebSocket routes; only type checkers read it."""

from __future__ import annotations

from typing import Annotated, assert_type

from fastapi import Depends, FastAPI, WebSocket

from oxaigen_auth import CurrentUser, User, require_permission, watch_user

app = FastAPI()


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    async with watch_user(websocket) as user:
        assert_type(user, User)
        await websocket.accept()


@app.websocket("/chat")
async def chat(websocket: WebSocket, user: CurrentUser) -> None:
    async with watch_user(websocket, "chat", "write", max_outage_seconds=60) as watched:
        assert_type(watched == user, bool)


@app.websocket("/feed")
async def feed(
    websocket: WebSocket, user: Annotated[User, Depends(require_permission("feed"))]
) -> None:
    await websocket.accept(subprotocol="feed.v1")
    await websocket.send_json(user.to_dict())
