"""A small app behind the Oxaigen proxy, with a public route and routes that identify the caller."""

from typing import Annotated

from fastapi import Depends, FastAPI

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    User,
    get_current_user,
    get_current_user_optional,
    require_permission,
)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/v1/me")
async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user


@app.get("/v1/greeting")
async def greeting(user: Annotated[User | None, Depends(get_current_user_optional)]) -> str:
    return f"Hello, {user.first_name}!" if user else "Hello!"


@app.get("/v1/audit")
async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> dict[str, str]:
    return {"seen_by": str(user.email)}


@app.get("/v1/billing")
async def billing(user: Annotated[User, Depends(require_permission("billing"))]) -> dict[str, str]:
    return {"seen_by": str(user.email)}
