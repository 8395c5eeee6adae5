"""A protected app that serves its own front end; the proxy, or its mock, is at another origin.

Two terminals, in this folder:

    oxaigen-auth-mock --pick
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 app:app

and http://127.0.0.1:8000 in a browser. Both have to go by the same host name, here 127.0.0.1:
cookies know no ports, so the app gets the cookie that the mock sets. `?mock=` in the page's address
says where the mock is, if it is not at http://127.0.0.1:8765.
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
