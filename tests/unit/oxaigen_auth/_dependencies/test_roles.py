from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    User,
    WorkspaceRole,
    get_current_user,
    require_any_role,
    require_role,
)
from tests.support.apps import GOOD, get
from tests.support.fake_proxy import BASE, DOWN, FakeProxy, profile
from tests.support.tokens import TOKEN

pytestmark = pytest.mark.anyio

EDITOR = profile(workspace_roles=[{"name": "editor"}, {"name": "staff"}])


def protected(proxy: FakeProxy, *roles: str) -> FastAPI:
    app = FastAPI()
    client = proxy.client(BASE, settings=OxaigenAuthSettings())
    app.add_middleware(OxaigenAuthMiddleware, client=client)

    @app.get("/")
    async def route(_: User = Depends(require_role(*roles))) -> str:
        return "in"

    return app


@pytest.mark.parametrize("roles", [["editor"], ["editor", "staff"]])
async def test_a_caller_whose_profile_has_the_roles_is_admitted(roles: list[str]) -> None:
    proxy = FakeProxy(EDITOR)
    assert (await get(protected(proxy, *roles), "/", GOOD)).json() == "in"
    assert proxy.endpoints == ["get-me"]


@pytest.mark.parametrize(
    ("roles", "detail"),
    [
        (["Editor"], "Missing role: Editor"),
        (["editor", "owner"], "Missing role: owner"),
        (["owner", "editor", "edit"], "Missing roles: owner, edit"),
    ],
)
async def test_absent_roles_are_named_without_a_challenge(roles: list[str], detail: str) -> None:
    response = await get(protected(FakeProxy(EDITOR), *roles), "/", GOOD)
    assert (response.status_code, response.json()) == (403, {"detail": detail})
    assert "www-authenticate" not in response.headers


async def test_without_an_accepted_token_the_answers_are_those_of_get_current_user() -> None:
    assert (await get(protected(FakeProxy(EDITOR), "editor"), "/")).status_code == 401
    assert (await get(protected(FakeProxy(DOWN), "editor"), "/", GOOD)).status_code == 502


async def test_an_override_of_get_current_user_decides_the_roles() -> None:
    app = protected(FakeProxy(EDITOR), "owner")
    owner = User(workspace_roles=[WorkspaceRole(name="owner")])
    app.dependency_overrides[get_current_user] = lambda: owner
    assert (await get(app, "/")).json() == "in"
    app.dependency_overrides[get_current_user] = lambda: User(user_name="eve")
    assert (await get(app, "/", GOOD)).status_code == 403


async def test_a_role_can_be_checked_without_fastapi() -> None:
    async with FakeProxy(EDITOR).client(BASE, settings=OxaigenAuthSettings()) as client:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "headers": headers, "oxaigen_auth.client": client}
        assert (await require_role("editor")(HTTPConnection(scope))).has_role("editor")


class Role(StrEnum):
    OWNER = "owner"


def test_equal_names_share_one_dependency() -> None:
    assert require_role("owner") is require_role(Role.OWNER)
    assert require_role("owner", "owner") is require_role("owner")
    assert require_role("a b", "c") is not require_role("c", "a b")


@pytest.mark.parametrize("name", ["", " ", None, 7])
def test_a_bad_role_is_refused_where_the_route_is_declared(name: Any) -> None:
    with pytest.raises(ValueError, match="is not the name of a role"):
        require_role(name)


def test_a_role_is_required_by_name() -> None:
    no_names: list[Any] = []
    with pytest.raises(TypeError, match=r'write require_role\("owner"\)'):
        require_role(*no_names)
    with pytest.raises(ValueError, match=r'not a role\b.*write require_role\("a", "b"\)'):
        require_role(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'write Depends\(require_role\("owner"\)\)'):
        FastAPI().get("/", dependencies=[Depends(require_role)])(lambda: "in")


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (["editor"], (200, "in")),
        (["owner", "staff"], (200, "in")),
        (["owner"], (403, {"detail": "Missing role: one of owner"})),
        (["owner", "admin"], (403, {"detail": "Missing role: one of owner, admin"})),
    ],
)
async def test_one_of_several_roles_suffices(roles: list[str], expected: tuple[int, Any]) -> None:
    app = protected(FakeProxy(EDITOR), "editor")
    app.get("/any", dependencies=[Depends(require_any_role(*roles))])(lambda: "in")
    response = await get(app, "/any", GOOD)
    assert (response.status_code, response.json()) == expected


def test_one_of_several_roles_is_declared_and_described_as_the_other_dependencies() -> None:
    assert require_any_role("a", "b", "a") is require_any_role("a", "b")
    with pytest.raises(TypeError, match=r'write require_any_role\("owner"\)'):
        require_any_role()  # type: ignore[call-arg]
    app = FastAPI()
    app.get("/", dependencies=[Depends(require_any_role("a", "b"))])(lambda: None)
    operation = app.openapi()["paths"]["/"]["get"]
    assert operation["description"] == "Requires one of the roles `a`, `b`."
    assert operation["security"] == [{"OxaigenBearer": []}, {"OxaigenCookie": []}]
