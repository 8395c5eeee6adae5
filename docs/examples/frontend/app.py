"""A protected app that serves its own front end. The proxy, or its mock, has another origin.

Run in two terminals, in this folder:

    oxaigen-auth-mock --pick
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 app:app

and open http://127.0.0.1:8000 in a browser. Both need the same host name, here 127.0.0.1: cookies
do not depend on the port, so the app receives the cookie that the mock sets. `?mock=` in the page's
URL sets the URL of the mock, if it is not http://127.0.0.1:8765.
"""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from oxaigen_auth import OxaigenAuthMiddleware, User, get_current_user, require_permission

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)


@app.get("/v1/me")
async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user


@app.get("/v1/audit")
async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> dict[str, str]:
    return {"seen_by": str(user.email)}


app.mount("/", StaticFiles(directory=Path(__file__).with_name("static"), html=True))
