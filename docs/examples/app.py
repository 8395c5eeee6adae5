"""FastAPI with the middleware, which identifies the caller of each request once.

With the mock:

    oxaigen-auth-mock
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 app:app
"""

from typing import Annotated

from fastapi import Depends, FastAPI, Response

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OptionalUser,
    OxaigenAuthMiddleware,
    User,
    extract_bearer_token,
    require_permission,
)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware, exclude=("/health", "/ready"))
Token = Annotated[str | None, Depends(extract_bearer_token)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/ready")
async def ready(client: AuthClient, response: Response) -> dict[str, bool]:
    """Ping the proxy. Its URL must be in the settings, as a probe's Host is an IP address."""
    answers = await client.ping()
    response.status_code = 200 if answers else 503
    return {"proxy": answers}


@app.get("/v1/me")
async def me(user: CurrentUser) -> User:
    return user


@app.get("/v1/greeting")
async def greeting(user: OptionalUser) -> str:
    return f"Hello, {user.first_name}!" if user else "Hello!"


@app.get("/v1/audit")
async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> dict[str, str]:
    return {"seen_by": str(user.email)}


@app.get("/v1/billing")
async def billing(user: Annotated[User, Depends(require_permission("billing"))]) -> dict[str, str]:
    return {"seen_by": str(user.email)}


@app.post("/v1/sign-out", status_code=204)
async def sign_out(token: Token, client: AuthClient) -> None:
    """Discard what this process has cached, after the page has signed out at the proxy."""
    if token is not None:
        client.forget(token)
