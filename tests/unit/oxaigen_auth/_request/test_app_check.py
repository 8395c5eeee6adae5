"""What is found wrong with an app when it starts, and what happens where it was not looked at."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Security
from fastapi.security import SecurityScopes
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount
from typing_extensions import TypedDict

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OptionalUser,
    OxaigenAuthConfigurationError,
    OxaigenAuthMiddleware,
    User,
    get_current_user,
    get_current_user_as,
    get_current_user_optional,
    require_any_permission,
    require_permission,
    require_role,
)
from oxaigen_auth._request.app_check import check_app, refuse_faulty_app
from tests.support.apps import GOOD, TestClient, get, make_app
from tests.support.fake_proxy import FakeProxy
from tests.support.raw_server import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
OURS = pytest.mark.parametrize(
    "dependency",
    [
        get_current_user,
        get_current_user_optional,
        require_permission("audit"),
        require_permission("audit", "write"),
        require_any_permission("audit", "write"),
        require_role("owner"),
        get_current_user_as(User),
    ],
)


async def wrapped(_: User = Depends(get_current_user)) -> None: ...


async def checked(scopes: SecurityScopes, user: User = Depends(get_current_user)) -> User:
    assert scopes.scopes == ["read"]
    return user


async def nested(_: User = Security(wrapped, scopes=["write"])) -> None: ...


async def nothing() -> str:
    return "let in"


def app_of(*dependencies: Any) -> FastAPI:
    app = FastAPI()
    app.get("/it", dependencies=dependencies)(nothing)
    return app


def faults(app: object) -> list[str]:
    return check_app(app).faults


@OURS
def test_scopes_given_to_a_dependency_are_found(dependency: Any) -> None:
    (fault,) = faults(app_of(Security(dependency, scopes=["audit", "write"])))
    assert fault == (
        "GET /it: nothing checks the scopes 'audit', 'write' given to Security(...); write "
        'Depends(require_permission("audit")) and Depends(require_permission("write")) instead'
    )


@pytest.mark.parametrize("inner", [wrapped, nested])
def test_scopes_given_to_an_outer_dependency_are_found(inner: Any) -> None:
    (fault,) = faults(app_of(Security(inner, scopes=["audit"])))
    assert "'audit'" in fault


def test_scopes_are_found_in_routers_mounted_apps_and_websockets() -> None:
    scoped = Security(require_permission("audit"), scopes=["a"])
    router, outer, inner = APIRouter(dependencies=[scoped]), APIRouter(), FastAPI()
    router.get("/route")(nothing)
    router.websocket("/ws")(nothing)
    outer.include_router(router, prefix="/in")
    inner.get("/route", dependencies=[scoped])(nothing)
    app = FastAPI()
    app.include_router(outer, prefix="/out")
    app.mount("/inner", OxaigenAuthMiddleware(inner))
    app.mount("/again", app)
    found = [fault.split(":")[0] for fault in faults(OxaigenAuthMiddleware(app))]
    assert found == ["GET /out/in/route", "WebSocket /out/in/ws", "GET /inner/route"]


@pytest.mark.parametrize(
    "dependency",
    [
        Security(checked, scopes=["read"]),
        Security(get_current_user),
        Security(require_permission("audit"), scopes=[]),
        Security(nothing, scopes=["audit"]),
        Depends(wrapped),
    ],
)
def test_scopes_that_the_app_checks_itself_are_allowed(dependency: Any) -> None:
    assert faults(app_of(dependency)) == []


def test_an_overridden_dependency_is_not_checked() -> None:
    app = app_of(Security(wrapped, scopes=["audit"]), Security(get_current_user, scopes=["audit"]))
    app.dependency_overrides = {wrapped: nothing, get_current_user: nothing}
    assert faults(app) == []


async def foreign(scope: Scope, receive: Receive, send: Send) -> None: ...


class Odd:
    routes = 7


@pytest.mark.parametrize("app", [foreign, Starlette(routes=[Mount("/", foreign)]), Odd(), None])
def test_an_app_that_cannot_be_inspected_has_no_faults(app: object) -> None:
    assert faults(app) == []


class Payload(BaseModel):
    users: dict[str, User | int]
    again: Optional[Payload] = None  # noqa: UP045 (either spelling)


@dataclass
class Data:
    user: User


class Typed(TypedDict):
    user: User


async def bare(user: User) -> None: ...
async def with_default(user: User | None = None) -> None: ...
async def several(user: list[User]) -> None: ...
async def in_body(user: Annotated[User, Body()]) -> None: ...
async def in_payload(user: Payload) -> None: ...
async def in_data(user: Data) -> None: ...
async def in_typed(user: Typed) -> None: ...
async def deeper(_: None = Depends(bare)) -> None: ...


@pytest.mark.parametrize(
    "route",
    [bare, with_default, several, in_body, in_payload, in_data, in_typed, deeper],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_user_parameter_that_the_caller_would_fill_is_found(
    route: Callable[..., Any], method: str
) -> None:
    app = FastAPI()
    getattr(app, method)("/me")(route)
    (fault,) = faults(app)
    assert fault.startswith(f"{method.upper()} /me: ")
    optional = route is with_default
    assert f"Depends(get_current_user{'_optional' if optional else ''})" in fault
    assert f"{(bare if route is deeper else route).__name__}() would read a User" in fault


class Plain(BaseModel):
    kind: Literal["User", "user"]
    parent: Plain | None = None


async def innocent(a: int, b: list[str], c: dict[str, Any], d: Plain) -> list[User]: ...  # type: ignore[empty-body]  # never called


def test_what_a_route_returns_and_other_parameters_are_no_faults() -> None:
    app = make_app()
    app.post("/innocent/{a}")(innocent)
    assert faults(app) == []


@BACKENDS
@pytest.mark.parametrize("outside", [True, False])
def test_pitfall_38_an_app_whose_routes_ask_for_what_nobody_gives_does_not_start(
    backend: Any,
    caplog: pytest.LogCaptureFixture,
    outside: bool,  # noqa: FBT001
) -> None:
    app: Any = app_of(Security(get_current_user, scopes=["audit"]))
    app.post("/me")(bare)
    if outside:
        app = OxaigenAuthMiddleware(app)
    else:
        app.add_middleware(OxaigenAuthMiddleware)
    with (
        pytest.raises(OxaigenAuthConfigurationError) as caught,
        TestClient(app, backend=backend),
    ):
        ...
    assert 'require_permission("audit")' in caught.value.message
    assert "Depends(get_current_user)" in caught.value.message
    assert caught.value.message in caplog.text


@OURS
async def test_without_a_lifespan_a_route_with_ignored_scopes_is_refused(
    monkeypatch: pytest.MonkeyPatch, dependency: Any
) -> None:
    async with serving(FakeProxy()) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        app = app_of(Security(dependency, scopes=["audit"]))
        for _ in range(2):
            with pytest.raises(OxaigenAuthConfigurationError, match="/it: nothing checks the scop"):
                await get(app, "/it", GOOD)


@OURS
async def test_scopes_of_a_dependency_that_was_overridden_later_are_refused(
    monkeypatch: pytest.MonkeyPatch, dependency: Any
) -> None:
    async def stricter(_: Any = Security(dependency, scopes=["audit"])) -> None: ...

    app = app_of(Depends(wrapped))
    check_app(app)
    app.dependency_overrides[wrapped] = stricter
    async with serving(FakeProxy()) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        with pytest.raises(OxaigenAuthConfigurationError, match="nothing checks"):
            await get(app, "/it", GOOD)


async def test_a_route_that_checks_its_scopes_itself_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_of(Security(checked, scopes=["read"]))
    async with serving(FakeProxy()) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        for _ in range(2):
            assert (await get(app, "/it", GOOD)).json() == "let in"


async def test_without_a_lifespan_a_missing_depends_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app()
    app.post("/forgotten")(bare)
    for _ in range(2):
        assert (await get(app, "/me")).status_code == 401
    errors = [it.getMessage() for it in caplog.records if it.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("POST /forgotten: bare() would read a User from the request")


# Dependencies that stand alone, without `Depends`.

ALONE = [get_current_user, get_current_user_optional, require_permission("audit")]


@pytest.mark.parametrize("dependency", ALONE)
def test_pitfall_38_a_dependency_as_a_plain_default_fails_the_start_and_lets_nobody_in(
    dependency: Any,
) -> None:
    async def typed(user: User = dependency) -> None: ...

    async def bare(user=dependency) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    app = FastAPI()
    app.get("/typed")(typed)
    app.get("/bare")(bare)
    for path in ("/typed", "/bare"):
        with pytest.raises(OxaigenAuthConfigurationError, match="without Depends"):
            TestClient(app).get(path)
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        refuse_faulty_app(app)
    assert caught.value.message.count(f"write Depends({dependency.name}), in 'user'") == 2


@pytest.mark.parametrize("dependency", ALONE)
def test_pitfall_38_a_dependency_that_stands_alone_in_annotated_fails_the_start(
    dependency: Any,
) -> None:
    async def route(user: Any = None) -> None: ...

    route.__annotations__["user"] = Annotated[User | None, dependency]
    app = FastAPI()
    app.get("/")(route)
    with pytest.raises(OxaigenAuthConfigurationError) as caught:
        refuse_faulty_app(app)
    assert f"write Depends({dependency.name}), in 'user'" in caught.value.message


def test_type_hints_that_cannot_be_resolved_are_skipped() -> None:
    async def route(name: str) -> None: ...

    app = FastAPI()
    app.get("/")(route)
    route.__annotations__["name"] = "nowhere"
    refuse_faulty_app(app)


def test_pitfall_38_require_permission_without_its_call_is_refused_when_declared() -> None:
    async def route(user: Annotated[Any, Depends(require_permission)]) -> None: ...

    with pytest.raises(TypeError, match=r"not Depends\(require_permission\)"):
        FastAPI().get("/")(route)
    with pytest.raises(TypeError, match=r"not Depends\(require_permission\)"):
        FastAPI().get("/", dependencies=[Depends(require_permission)])(route)


def inside() -> None: ...


@pytest.mark.parametrize("wrap", [partial, lambda dependency: dependency.__call__])
def test_pitfall_38_scopes_for_a_wrapped_dependency_are_found(wrap: Any) -> None:
    app = FastAPI()
    dependency = Security(wrap(get_current_user), scopes=["admin"])
    app.get("/wrapped", dependencies=[dependency])(inside)
    assert "nothing checks the scopes 'admin'" in check_app(app).faults[0]


@pytest.mark.parametrize("alias", [CurrentUser, OptionalUser, AuthClient])
def test_an_annotation_in_depends_is_a_fault(alias: Any) -> None:
    app = FastAPI()
    app.get("/", dependencies=[Depends(alias)])(lambda: "in")
    (fault,) = check_app(app).faults
    assert fault == (
        "GET /: Depends(…) got an annotation, such as CurrentUser; "
        "write user: CurrentUser, without Depends"
    )
