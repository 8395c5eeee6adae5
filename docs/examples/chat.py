"""A chat over WebSockets for signed-in users; `chat.html` is its page.

    oxaigen-auth-mock
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 chat:app

Then open http://127.0.0.1:8000/ in two windows.
"""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import HTMLResponse

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OxaigenAuthMiddleware,
    extract_bearer_token,
    watch_user,
)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware, exclude=("/",))
room: set[WebSocket] = set()


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(Path(__file__).with_name("chat.html").read_text(encoding="utf-8"))


@app.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    async with watch_user(websocket) as user:
        await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)
        room.add(websocket)
        try:
            async for text in websocket.iter_text():
                for member in list(room):
                    await member.send_text(f"{user.user_name}: {text}")
        finally:
            room.discard(websocket)


@app.post("/sign-out")
async def sign_out(
    user: CurrentUser,
    token: Annotated[str | None, Depends(extract_bearer_token)],
    client: AuthClient,
) -> str:
    if token is not None:
        client.forget(token)  # closes the user's WebSockets as well
    return f"Good-bye, {user.user_name}"
