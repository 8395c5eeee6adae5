"""A chat over WebSockets for signed-in users; `chat.html` is its page.

    oxaigen-auth-mock
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 chat:app

Then open http://127.0.0.1:8000/ in two windows.
"""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    ProxyAuthClient,
    User,
    extract_bearer_token,
    get_current_user,
    watch_user,
)

auth = ProxyAuthClient()
app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware, client=auth)
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
async def sign_out(request: Request, user: Annotated[User, Depends(get_current_user)]) -> str:
    token = extract_bearer_token(request)
    if token is not None:
        auth.forget(token)  # closes the user's WebSockets as well
    return f"Good-bye, {user.user_name}"
