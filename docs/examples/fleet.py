r"""FastAPI for several workers: a sign-out that reaches all of them, by a user and by a service.

    oxaigen-auth-mock
    export OXAIGEN_AUTH_DEV_MODE=1 BACK_CHANNEL_SECRET=a-long-random-text
    hypercorn --workers 4 --bind 127.0.0.1:8000 fleet:app

The service, for example the one that deletes accounts, calls a route of any worker:

    curl -X POST -H "X-Back-Channel-Secret: $BACK_CHANNEL_SECRET" \
        http://127.0.0.1:8000/back-channel/sign-out/1
"""

import hmac
import os
from typing import Annotated, Any

from attrs import asdict
from fastapi import Depends, FastAPI, Header, HTTPException

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OxaigenAuthMiddleware,
    User,
    extract_bearer_token,
)


def back_channel(x_back_channel_secret: Annotated[str, Header()] = "") -> None:
    """Admit the services that know the secret, and nobody while it is unset."""
    expected = os.environ.get("BACK_CHANNEL_SECRET", "")
    if not expected or not hmac.compare_digest(x_back_channel_secret.encode(), expected.encode()):
        raise HTTPException(403, "Wrong secret")


app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware, exclude=("/health", "/back-channel/*"))


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/v1/me")
async def me(user: CurrentUser) -> User:
    return user


@app.post("/v1/sign-out", status_code=204)
async def sign_out(
    token: Annotated[str | None, Depends(extract_bearer_token)], client: AuthClient
) -> None:
    """Forget the caller's token in all workers, after the page has signed out at the proxy."""
    if token is not None:
        client.forget(token)


@app.post("/back-channel/sign-out/{user_id}", status_code=204, dependencies=[Depends(back_channel)])
async def sign_out_user(user_id: int, client: AuthClient) -> None:
    """Forget all tokens of a user, in all workers."""
    client.forget_user(user_id)


@app.get("/back-channel/worker", dependencies=[Depends(back_channel)])
async def worker(client: AuthClient) -> dict[str, Any]:
    """Return which process answered, and what its client has counted."""
    return {"pid": os.getpid(), **asdict(client.stats())}
