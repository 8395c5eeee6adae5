"""Mistakes of users: mypy reports an unused ignore, so each line must be an error."""

from __future__ import annotations

from fastapi import FastAPI, Request, WebSocket

from oxaigen_auth import (
    AuthClient,
    BlockingProxyAuthClient,
    CurrentUser,
    OptionalUser,
    OxaigenAuthHTTPError,
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    User,
    get_current_user_as,
    install_openapi,
    require_any_permission,
    require_permission,
    require_role,
    watch_user,
)
from oxaigen_auth.errors import Reason
from oxaigen_auth.observers import Accepted, Observer, Question, Verdict
from oxaigen_auth.testing import FakeProxy, SignIn, as_anonymous, as_user

app = FastAPI()

user = User(email=1)  # type: ignore[arg-type]
user = User(department="R&D")  # type: ignore[call-arg]
user.email = "x"  # type: ignore[misc]
user.dict()  # type: ignore[attr-defined]
user.model_dump(exclude_non=True)  # type: ignore[call-arg]
User.model_validate({})  # type: ignore[attr-defined]
User.from_dict("{}")  # type: ignore[arg-type]
require_permission(5)  # type: ignore[arg-type]
require_permission()  # type: ignore[call-arg]
require_permission("audit", 5)  # type: ignore[arg-type]
require_permission(["audit", "write"])  # type: ignore[arg-type]
require_any_permission()  # type: ignore[call-arg]
require_role(("owner", "admin"))  # type: ignore[arg-type]
get_current_user_as(str)  # type: ignore[type-var]
install_openapi(5)  # type: ignore[arg-type]
app.add_middleware(OxaigenAuthMiddleware, exclude=5)  # type: ignore[arg-type]
OxaigenAuthMiddleware(app, exclude=5)  # type: ignore[arg-type]
OxaigenAuthMiddleware(app, ProxyAuthClient())  # type: ignore[call-arg]
OxaigenAuthSettings(cache_ttl=5)  # type: ignore[call-arg]
OxaigenAuthSettings().cache_ttl  # type: ignore[attr-defined]  # noqa: B018
ProxyAuthClient(timeout=5)  # type: ignore[call-arg]
ProxyAuthClient(observers=[Observer])  # type: ignore[list-item]
ProxyAuthClient(transport="https://app.example.com")  # type: ignore[arg-type]
BlockingProxyAuthClient(transport=5)  # type: ignore[arg-type]
OxaigenAuthUpstreamError("Later.", "7")  # type: ignore[arg-type]
OxaigenAuthHTTPError(401, "No.", "expired")  # type: ignore[arg-type]
reason: Reason = "expired"  # type: ignore[assignment]

FakeProxy().count(endpoint="get_me")  # type: ignore[arg-type]
FakeProxy().add_user(User())  # type: ignore[arg-type]
as_user(app, permissions=5)  # type: ignore[arg-type]
as_user(app, "ada")  # type: ignore[arg-type]
as_anonymous()  # type: ignore[call-arg]
sign_in: SignIn = as_user  # type: ignore[assignment]
not_a_sign_in: SignIn = FakeProxy().add_user  # type: ignore[assignment]


class AuditTrail(Observer):
    def on_hit(self, question: Question) -> None: ...  # type: ignore[override]

    def on_result(self, question: Question, verdict: Verdict[User], /) -> None: ...  # type: ignore[override]


@app.get("/me")
async def me(user: CurrentUser, caller: OptionalUser, client: AuthClient) -> str | None:
    user.tenant  # type: ignore[attr-defined]  # noqa: B018
    client.get_me("a token").user_name  # type: ignore[attr-defined]  # noqa: B018
    await client.ping("https://app.example.com")  # type: ignore[call-arg]
    return caller.user_name  # type: ignore[union-attr]


async def watch(websocket: WebSocket, request: Request) -> None:
    async with watch_user(request):  # type: ignore[arg-type]
        pass
    async with watch_user(websocket, ["chat"]):  # type: ignore[arg-type]
        pass
    with watch_user(websocket):  # type: ignore[attr-defined]
        pass


def block(client: BlockingProxyAuthClient, accepted: Accepted[User]) -> None:
    client.get_me()  # type: ignore[call-arg]
    with client as same:
        same.get_me("a token").dict()  # type: ignore[attr-defined]
    accepted.value = User()  # type: ignore[misc]


async def work(token: str) -> None:
    await ProxyAuthClient.get_me(token)  # type: ignore[call-arg, arg-type]
    await ProxyAuthClient().get_me(token, "https://app.example.com")  # type: ignore[call-arg]
