"""The app that runs with the published package and with this one.

It imports only what both have, and is written as their users write apps.
"""

from __future__ import annotations

import logging
from typing import Any

from fastapi import Depends, FastAPI, Request, Security, WebSocket
from pydantic import BaseModel

import oxaigen_auth
from oxaigen_auth import (
    OxaigenAuthMiddleware,
    User,
    derive_proxy_base_url,
    extract_bearer_token,
    get_current_user,
    get_current_user_optional,
    require_permission,
)

from .probes import PROBES

logging.disable(logging.CRITICAL)


class Wrapped(BaseModel):
    user: User
    note: str = "x"


def add_identity_routes(app: FastAPI) -> None:
    @app.api_route("/me", methods=["GET", "POST"])
    async def me(user: User = Depends(get_current_user)) -> Any:
        return {"user": user.user_name}

    @app.api_route("/maybe", methods=["GET", "POST"])
    async def maybe(user: Any = Depends(get_current_user_optional)) -> Any:
        return {"user": user and user.user_name}

    @app.get("/audit")
    async def audit(user: User = Depends(require_permission("audit"))) -> Any:
        return {"user": user.user_name}

    @app.get("/state")
    async def state(request: Request) -> Any:
        user = request.state.user
        return {"user": user and user.user_name, "auth_error": request.state.auth_error}

    @app.get("/scopes")
    async def scopes(user: User = Security(get_current_user, scopes=["audit"])) -> Any:
        return {"user": user.user_name}

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, user: User = Depends(get_current_user)) -> None:
        await websocket.accept()
        await websocket.send_json({"user": user.user_name})
        await websocket.close()


def add_response_routes(app: FastAPI) -> None:
    filters: dict[str, dict[str, Any]] = {
        "whole": {},
        "none": {"response_model_exclude_none": True},
        "unset": {"response_model_exclude_unset": True},
        "exclude": {"response_model_exclude": {"email": True, "user_workspace": {"name"}}},
        "include": {"response_model_include": {"user_name", "workspace_roles"}},
    }
    for name, options in filters.items():

        @app.get(f"/profile/{name}", response_model=User, **options)
        async def profile(user: User = Depends(get_current_user)) -> Any:
            return user

    @app.get("/profile/list")
    async def many(user: User = Depends(get_current_user)) -> list[User]:
        return [user, user]

    @app.get("/profile/wrapped", response_model_exclude={"user": {"email"}})
    async def wrapped(user: User = Depends(get_current_user)) -> Wrapped:
        return Wrapped(user=user)

    @app.get("/profile/any")
    async def anything(user: User = Depends(get_current_user)) -> Any:
        return {"it": user}

    @app.get("/profile/dict", response_model=User)
    async def from_dict(user: User = Depends(get_current_user)) -> Any:
        return {"user_name": user.user_name}

    @app.post("/body")
    async def body(user: User) -> Any:
        return {"user": user.user_name}


def add_other_routes(app: FastAPI) -> None:
    @app.get("/probe/{name}")
    async def probe(name: str, request: Request, user: User = Depends(get_current_user)) -> Any:
        try:
            value = PROBES[name](
                user, extract_bearer_token(request), derive_proxy_base_url(request)
            )
            return {"value": await value if hasattr(value, "__await__") else value}
        except Exception as error:  # noqa: BLE001 (probes may raise anything)
            return {"raises": type(error).__name__}

    @app.get("/token")
    async def token(request: Request) -> Any:
        return {"token": extract_bearer_token(request), "url": derive_proxy_base_url(request)}

    @app.get("/raise/{name}")
    async def fail(name: str) -> Any:
        raise getattr(oxaigen_auth, name)(message="no")

    @app.get("/package")
    async def package() -> Any:
        return oxaigen_auth.__file__

    @app.get("/openapi")
    async def openapi() -> Any:
        return app.openapi()["paths"]["/me"]["get"].get("security")


def make_app(*parts: Any) -> FastAPI:
    app = FastAPI()
    for part in parts:
        part(app)
    return app


overridden = make_app(add_identity_routes)
overridden.dependency_overrides[get_current_user] = lambda: User(user_name="other")
behind = make_app(add_identity_routes, add_response_routes)
behind.add_middleware(OxaigenAuthMiddleware)
app = make_app(add_identity_routes, add_response_routes, add_other_routes)
app.mount("/behind", behind)
app.mount("/overridden", overridden)
