from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import attrs
import pytest
from fastapi import Depends, FastAPI
from pydantic import TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    OxaigenAuthHTTPError,
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    User,
    get_current_user,
    get_current_user_as,
    require_permission,
)
from oxaigen_auth._request.app_check import check_app
from tests.support.apps import GOOD, get
from tests.support.fake_proxy import BASE, FakeProxy, profile
from tests.support.tokens import TOKEN

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Plan:
    name: str
    seats: int = 1


def _is_short(_: object, __: object, value: str) -> None:
    if value == "far too long":
        raise ValueError(value)


@attrs.frozen(kw_only=True)
class Member(User):
    tenant: str = attrs.field(validator=_is_short)
    level: int | None = None
    tags: list[str] = attrs.field(factory=list[str])
    names: Sequence[str] = ()
    pair: tuple[str, int] | None = None
    groups: frozenset[str] = frozenset()
    anything: list = attrs.field(factory=list)  # type: ignore[type-arg]
    score: float = 0.0
    kind: Literal["a", "b"] = "a"
    raw: Any = None
    plan: Plan | None = None
    seen: str = attrs.field(init=False, default="")
    label: str = attrs.field(default=attrs.Factory(lambda self: self.kind, takes_self=True))


MEMBER = {
    "user_name": "ada",
    "tenant": "acme",
    "level": "7",
    "tags": ["x"],
    "names": ["n"],
    "pair": ["p", 1],
    "groups": ["g"],
    "anything": [1, "2"],
    "score": 1,
    "kind": "b",
    "raw": {"deep": [1]},
    "plan": {"name": "gold", "colour": "red"},
    "theme": "dark",
}


def make_app(proxy: FakeProxy) -> FastAPI:
    app = FastAPI(dependencies=[Depends(get_current_user)])
    client = proxy.client(BASE, settings=OxaigenAuthSettings())
    app.add_middleware(OxaigenAuthMiddleware, client=client)

    @app.get("/", dependencies=[Depends(require_permission("audit"))])
    async def me(user: Annotated[Member, Depends(get_current_user_as(Member))]) -> Member:
        return user

    @app.get("/tenant")
    async def tenant(user: Annotated[Member, Depends(get_current_user_as(Member))]) -> Any:
        return {"tenant": user.tenant, "it": user}

    return app


async def test_declared_attributes_are_read_from_the_profile() -> None:
    proxy = FakeProxy(profile(**MEMBER))
    app = make_app(proxy)
    response = await get(app, "/", GOOD)
    body = response.json()
    assert response.status_code == 200
    assert {name: body[name] for name in MEMBER if name != "theme"} == {
        **{name: value for name, value in MEMBER.items() if name != "theme"},
        "level": 7,
        "plan": {"name": "gold", "seats": 1},
    }
    assert body["extra"] == {"theme": "dark"}
    assert body["is_authenticated"] is True
    in_dict = (await get(app, "/tenant", GOOD)).json()
    assert in_dict == {"tenant": "acme", "it": body}
    assert proxy.endpoints == ["get-me", "test-app-permission/audit"]


async def test_each_request_has_values_of_its_own() -> None:
    async with FakeProxy(profile(**MEMBER)).client(BASE, settings=OxaigenAuthSettings()) as client:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "headers": headers, "oxaigen_auth.client": client}
        for _ in range(2):
            user = await get_current_user_as(Member)(HTTPConnection(scope))
            assert (user.tags, user.raw) == (["x"], {"deep": [1]})
            user.tags.append("y")
            user.raw["deep"].append(2)


WRONG = [
    ({"tenant": None}, "missing @ profile.tenant"),
    ({"tenant": 7}, "wrong type @ profile.tenant"),
    ({"tenant": "far too long"}, "Member raised ValueError"),
    ({"level": True}, "wrong type @ profile.level"),
    ({"tags": "secret"}, "wrong type @ profile.tags"),
    ({"tags": ["x", 7]}, "wrong type @ profile.tags"),
    ({"names": "secret"}, "wrong type @ profile.names"),
    ({"groups": "secret"}, "wrong type @ profile.groups"),
    ({"anything": "secret"}, "wrong type @ profile.anything"),
    ({"pair": ["p", "secret"]}, "wrong type @ profile.pair"),
    ({"score": "1"}, "wrong type @ profile.score"),
    ({"score": True}, "wrong type @ profile.score"),
    ({"kind": "secret"}, "wrong type @ profile.kind"),
    ({"plan": {"name": 7}}, "wrong type @ profile.plan"),
]


@pytest.mark.parametrize(("change", "reason"), WRONG)
async def test_a_field_that_does_not_fit_is_unavailable_and_its_path_is_logged_once(
    change: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "oxaigen_auth")
    app = make_app(FakeProxy(profile(**{**MEMBER, **change})))
    for _ in range(2):
        response = await get(app, "/", GOOD)
        assert response.status_code == 502
        assert response.json() == {"detail": "Auth service unavailable"}
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"Callers get 502: the profile cannot be read as Member: {reason}"]


async def test_missing_fields_have_their_defaults() -> None:
    async with FakeProxy(profile(tenant="acme")).client(
        BASE, settings=OxaigenAuthSettings()
    ) as client:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "headers": headers, "oxaigen_auth.client": client}
        user = await get_current_user_as(Member)(HTTPConnection(scope))
    assert user == Member(tenant="acme")
    assert user.label == "a"


async def test_an_override_may_return_a_user_or_the_model() -> None:
    app = make_app(FakeProxy(profile()))
    app.dependency_overrides[get_current_user] = lambda: User(extra={"tenant": "hand"})
    assert (await get(app, "/tenant")).json()["tenant"] == "hand"
    app.dependency_overrides[get_current_user] = lambda: Member(tenant="made")
    assert (await get(app, "/tenant")).json()["tenant"] == "made"


async def test_the_response_filters_know_the_defaults_of_the_model() -> None:
    app = FastAPI()
    app.dependency_overrides[get_current_user] = lambda: Member(tenant="acme", score=1.0)

    @app.get("/", response_model_exclude_unset=True)
    async def unset(user: Annotated[Member, Depends(get_current_user_as(Member))]) -> Member:
        return user

    @app.get("/only", response_model_include={"tenant", "level"})
    async def only(user: Annotated[Member, Depends(get_current_user_as(Member))]) -> Member:
        return user

    assert (await get(app, "/")).json() == {
        "is_authenticated": True,
        "tenant": "acme",
        "score": 1.0,
        "label": "a",
    }
    assert (await get(app, "/only")).json() == {"tenant": "acme", "level": None}
    schema = app.openapi()["components"]["schemas"]["Member"]
    assert sorted(schema["required"]) == sorted(schema["properties"])
    assert schema["properties"]["tenant"] == {"title": "Tenant", "type": "string"}


def test_the_constructor_checks_the_types_of_the_model() -> None:
    with pytest.raises(TypeError, match=r"Member.tenant must be str, not int"):
        Member(tenant=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Member.tags must be list, not str"):
        Member(tenant="acme", tags="x")  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Born(User):
    born: datetime | None = None


async def test_a_type_that_json_does_not_have_is_an_error_of_the_app() -> None:
    async with FakeProxy(profile(born="2000-01-01")).client(
        BASE, settings=OxaigenAuthSettings()
    ) as client:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "headers": headers, "oxaigen_auth.client": client}
        with pytest.raises(TypeError, match=r"Born.born has a type that cannot be read from JSON"):
            await get_current_user_as(Born)(HTTPConnection(scope))


class Undecorated(User):
    tenant: str | None = None


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (Undecorated, r"decorate the class with @attrs.frozen\(kw_only=True\)"),
        (dict, "takes a subclass of User, not <class 'dict'>"),
        ("Member", "takes a subclass of User, not 'Member'"),
    ],
)
def test_a_class_that_is_no_model_is_refused_where_the_route_is_declared(
    model: Any, advice: str
) -> None:
    with pytest.raises(TypeError, match=advice):
        get_current_user_as(model)


def test_a_model_without_depends_is_not_read_from_the_request() -> None:
    app = FastAPI()

    @app.post("/")
    async def route(user: Member) -> None: ...

    advice = "user: Annotated[Member, Depends(get_current_user_as(Member))]"
    (fault,) = check_app(app).faults
    assert advice in fault
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Member).validate_python({"tenant": "acme"})
    assert advice in str(refused.value)


def test_equal_classes_share_one_dependency() -> None:
    assert get_current_user_as(Member) is get_current_user_as(Member)
    with pytest.raises(TypeError, match=r"write Depends\(get_current_user_as\(MyUser\)\)"):
        FastAPI().get("/", dependencies=[Depends(get_current_user_as)])(lambda: "in")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("extra", "M.extra is a field of User already"),
        ("workspace_roles", "M.workspace_roles is a field of User already"),
        ("_secret", "M._secret is private"),
        ("has_permission", r'would hide User.has_permission: .*user.extra\["has_permission"\]'),
        ("is_anonymous", "would hide User.is_anonymous"),
        ("model_dump", "would hide User.model_dump"),
    ],
)
def test_a_name_with_which_a_model_would_not_work_is_refused(name: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        type("M", (User,), {"__annotations__": {name: str}})


def test_an_alias_is_refused_where_the_route_is_declared() -> None:
    @attrs.frozen(kw_only=True)
    class Renamed(User):
        company: str = attrs.field(default="", alias="tenant")

    with pytest.raises(TypeError, match=r"Renamed\.company has an alias"):
        get_current_user_as(Renamed)


async def test_called_by_hand_without_a_token_it_raises_as_get_current_user() -> None:
    with pytest.raises(OxaigenAuthHTTPError) as caught:
        await get_current_user_as(Member)(HTTPConnection({"type": "http", "headers": []}))
    assert caught.value.status_code == 401
