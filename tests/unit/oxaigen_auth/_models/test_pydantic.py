"""FastAPI and pydantic write users out, filtered as the route says, and never read one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Body, Depends, FastAPI, Header, Query
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import ResponseValidationError
from fastapi.testclient import TestClient
from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole
from tests.unit.oxaigen_auth.test_models import FIELDS, FULL, full_user

if TYPE_CHECKING:
    from collections.abc import Callable


class Other(BaseModel):
    id: int | None = None
    kind: str = "other"


class Reply(BaseModel):
    user: User


class Nest(BaseModel):
    users: list[User]
    by_name: dict[str, User]
    maybe: User | None
    first: User | Other
    last: Other | User
    anything: Any


FILTERS: list[dict[str, Any]] = [
    {"include": {"user_name"}},
    {"include": {"user_workspace": {"id"}}},
    {"include": {"extra": {"theme": {"dark"}}}},
    {"include": {"user_workspace": {"plan"}}},
    {"exclude": {"email"}},
    {"exclude": {"user_workspace": {"name", "plan"}}},
    {"exclude": {"workspace_roles": {0: {"id", "since"}}}},
    {"exclude": {"workspace_permissions": {"__all__": {"description"}}}},
    {"exclude": {"extra"}},
    {"exclude_none": True},
    {"exclude_unset": True},
    {"exclude_defaults": True},
    {"by_alias": True, "exclude": {"email"}},
]
EXPECTED: list[dict[str, Any]] = [
    {"user_name": "ada"},
    {"user_workspace": {"id": "w"}},
    {"extra": {"theme": {"dark": [True]}}},
    {"user_workspace": {"plan": {"seats": [1, 2]}}},
    {name: value for name, value in FULL.items() if name != "email"},
    FULL | {"user_workspace": {"id": "w"}},
    FULL | {"workspace_roles": [{"name": "owner", "description": None}]},
    FULL | {"workspace_permissions": [{"id": 1, "name": "audit", "by": "eve"}]},
    {name: value for name, value in FULL.items() if name != "extra"},
    FULL | {"workspace_roles": [{"id": 1, "name": "owner", "since": 2024}]},
    FULL | {"workspace_roles": [{"id": 1, "name": "owner", "since": 2024}]},
    {name: value for name, value in FULL.items() if name != "is_authenticated"}
    | {"workspace_roles": [{"id": 1, "name": "owner", "since": 2024}]},
    {name: value for name, value in FULL.items() if name != "email"},
]
each_filter = pytest.mark.parametrize(
    ("asked", "expected"),
    list(zip(FILTERS, EXPECTED, strict=True)),
    ids=map(str, range(len(FILTERS))),
)


def written(adapter: TypeAdapter[Any], value: object, **asked: Any) -> list[Any]:
    """Return what each of pydantic's ways of writing gives."""
    return [
        adapter.dump_python(value, **asked),
        adapter.dump_python(value, mode="json", **asked),
        json.loads(adapter.dump_json(value, **asked)),
    ]


@each_filter
@pytest.mark.parametrize(
    "declared",
    [User, User | None, User | Other, Other | User, User | UserWorkspace, RootModel[User], Any],
    ids=str,
)
def test_pitfall_37_a_filter_of_the_response_filters_a_user(
    declared: Any, asked: dict[str, Any], expected: dict[str, Any]
) -> None:
    user = RootModel[User](full_user()) if declared is RootModel[User] else full_user()
    for got in written(TypeAdapter(declared), user, **asked):
        assert json.dumps(got) == json.dumps(expected)


@each_filter
def test_pitfall_37_a_filter_of_a_route_filters_a_user(
    asked: dict[str, Any], expected: dict[str, Any]
) -> None:
    app = FastAPI()
    options = {f"response_model_{name}": value for name, value in asked.items()}

    @app.get("/", response_model=User, **options)
    async def bare() -> Any:
        return full_user()

    @app.get("/annotated", **options)
    async def annotated() -> User:
        return full_user()

    with TestClient(app) as client:
        for path in ("/", "/annotated"):
            assert client.get(path).text == json.dumps(
                expected, separators=(",", ":"), ensure_ascii=False
            )


EMAIL = {"email"}


@pytest.mark.parametrize(
    ("declared", "value", "exclude"),
    [
        (list[User], [full_user()], {"__all__": EMAIL}),
        (list[User], [full_user()], {0: EMAIL}),
        (dict[str, User], {"a": full_user()}, {"a": EMAIL}),
        (dict[str, list[User | None]], {"a": [full_user()]}, {"a": {0: EMAIL}}),
        (User | None, full_user(), EMAIL),
        (User | Other, full_user(), EMAIL),
        (Other | User, full_user(), EMAIL),
        (Reply, {"user": full_user()}, {"user": EMAIL}),
        (Reply, Reply(user=full_user()), {"user": EMAIL}),
        (list[Reply], [Reply(user=full_user())], {0: {"user": EMAIL}}),
        (Any, {"user": full_user()}, {"user": EMAIL}),
        (Any, [full_user()], {0: EMAIL}),
    ],
    ids=str,
)
def test_pitfall_37_a_filter_reaches_a_nested_user(
    declared: Any, value: object, exclude: Any
) -> None:
    app = FastAPI()

    @app.get("/", response_model=declared, response_model_exclude=exclude)
    async def route() -> Any:
        return value

    with TestClient(app) as client:
        answer = client.get("/").text
    assert "ada@example.com" not in answer
    assert '"user_name":"ada"' in answer


def test_pitfall_37_a_filter_reaches_every_user_in_a_model() -> None:
    user = full_user()
    nest = Nest(users=[user], by_name={"a": user}, maybe=user, first=user, last=user, anything=user)
    whole: dict[str, Any] = {"users": [FULL], "by_name": {"a": FULL}}
    whole |= dict.fromkeys(["maybe", "first", "last", "anything"], FULL)
    asked: Any = {"users": {"__all__": EMAIL}, "by_name": {"a": EMAIL}}
    asked |= dict.fromkeys(["maybe", "first", "last", "anything"], EMAIL)
    for got in written(TypeAdapter(Nest), nest):
        assert json.dumps(got) == json.dumps(whole)
    for got in written(TypeAdapter(Nest), nest, exclude=asked):
        assert "ada@example.com" not in json.dumps(got)
        assert list(got) == list(whole)


def test_pitfall_37_a_filter_of_an_entry_filters_it() -> None:
    user = full_user()
    adapter = TypeAdapter[Any](list[UserWorkspace | WorkspaceRole | WorkspacePermission])
    entries = [user.user_workspace, *user.workspace_roles, *user.workspace_permissions]
    exclude = {0: {"name", "plan"}, 1: {"id"}, 2: {"by", "description"}}
    for got in written(adapter, entries, exclude=exclude):
        assert got == [
            {"id": "w"},
            {"name": "owner", "description": None, "since": 2024},
            {"id": 1, "name": "audit"},
        ]


def test_a_union_member_that_is_not_a_user_is_kept_as_itself() -> None:
    either: list[Any] = [User | Other, Other | User]
    for declared in either:
        adapter = TypeAdapter[Any](declared)
        assert adapter.validate_python(Other(id=1)) == Other(id=1)
        for got in written(adapter, Other(id=1)):
            assert got == {"id": 1, "kind": "other"}


def test_a_user_is_validated_as_itself_beside_a_model_with_its_attributes() -> None:
    user = full_user()
    either: list[Any] = [User | Other, Other | User]
    for declared in either:
        adapter = TypeAdapter[Any](declared)
        assert adapter.validate_python(user, from_attributes=True) is user


def test_unset_and_default_fields_can_be_excluded_but_unknown_ones_are_kept() -> None:
    user = User(user_name="ada", workspace_roles=[WorkspaceRole(extra={"tags": [], "by": None})])
    roles: Any = [{"tags": [], "by": None}]
    for got in written(TypeAdapter(User), user, exclude_unset=True):
        assert got == {"is_authenticated": True, "user_name": "ada", "workspace_roles": roles}
    for got in written(TypeAdapter(User), user, exclude_defaults=True):
        assert got == {"user_name": "ada", "workspace_roles": roles}
    for got in written(TypeAdapter(User), User(is_authenticated=False), exclude_defaults=True):
        assert got == {"is_authenticated": False}


def test_the_encoder_filters_a_user_too() -> None:
    user = full_user()
    assert jsonable_encoder(user, include={"id", "email"}, exclude=EMAIL) == {"id": 1}
    assert jsonable_encoder(Reply(user=user), include={"user": {"id"}}) == {"user": {"id": 1}}
    assert None not in jsonable_encoder(User(), exclude_none=True).values()


def test_a_route_without_a_declared_model_answers_with_the_whole_user() -> None:
    app = FastAPI()

    @app.get("/")
    async def route():  # type: ignore[no-untyped-def]  # noqa: ANN202 (undeclared on purpose)
        return full_user()

    with TestClient(app) as client:
        assert client.get("/").json() == FULL


def test_in_openapi_a_user_has_one_schema_whose_fields_are_all_required() -> None:
    app = FastAPI()

    @app.post("/")
    async def route(_: Annotated[Reply, Body()]) -> User | None: ...

    schemas = app.openapi()["components"]["schemas"]
    assert schemas["User"]["required"] == FIELDS
    assert schemas["WorkspaceRole"]["required"] == ["id", "name", "description"]
    assert {"User", "Reply", "UserWorkspace", "WorkspaceRole", "WorkspacePermission"} < set(schemas)


REFUSED = "a User is never read from a request: write `user: Annotated[User, Depends(get_current"


@pytest.mark.parametrize("value", [{}, {"id": 1}, FULL, None, "ada", 1, [], [["id", 1]]])
def test_a_user_is_never_built_from_a_callers_input(value: Any) -> None:
    either: list[Any] = [User, User | Other]
    for declared in either:
        adapter = TypeAdapter[Any](declared)
        ways: list[Callable[[], Any]] = [
            lambda: adapter.validate_python(value),  # noqa: B023 (called at once)
            lambda: adapter.validate_python(value, from_attributes=True),  # noqa: B023
            lambda: adapter.validate_json(json.dumps(value)),  # noqa: B023
        ]
        for validate in ways:
            try:
                assert not isinstance(validate(), User)
            except ValidationError as error:
                assert REFUSED in str(error)  # noqa: PT017 (another model may take it)


def test_a_model_of_an_app_does_not_read_a_user_either() -> None:
    ways: list[Callable[[], Any]] = [
        lambda: Reply.model_validate({"user": {"id": 1}}),
        lambda: Reply.model_validate_json('{"user": {"id": 1}}'),
        lambda: Reply.model_validate_strings({"user": {"id": "1"}}),
    ]
    for validate in ways:
        with pytest.raises(ValidationError, match=REFUSED[:40]):
            validate()
    assert Reply.model_validate({"user": full_user()}).user == full_user()


@pytest.mark.parametrize("model", [UserWorkspace, WorkspaceRole, WorkspacePermission])
def test_an_entry_is_not_built_from_input_and_an_instance_is_accepted(model: type[Any]) -> None:
    adapter = TypeAdapter[Any](model)
    entry = model(name="x")
    assert adapter.validate_python(entry) is entry
    with pytest.raises(ValidationError, match="declare a model of your own for what callers send"):
        adapter.validate_python({"name": "x"})


@pytest.mark.parametrize(
    "declared",
    [
        User,
        User | None,
        list[User],
        Reply,
        Annotated[User, Body()],
        Annotated[User, Body(embed=True)],
        Annotated[User, Query()],
        Annotated[User, Header()],
    ],
    ids=str,
)
@pytest.mark.parametrize("body", [{"id": 5}, {"user": {"id": 5}}, [{"id": 5}], {}], ids=str)
def test_no_parameter_becomes_a_user_from_the_callers_input(declared: Any, body: Any) -> None:
    app = FastAPI()

    async def route(user: Any) -> None: ...

    route.__annotations__["user"] = declared
    app.post("/")(route)
    with TestClient(app) as client:
        answer = client.post("/?user=5&id=5", json=body, headers={"user": "5"})
    assert answer.status_code == 422


@pytest.mark.parametrize("depends", [Depends(), Depends(User)])
def test_a_class_is_no_dependency_that_fastapi_could_call_with_a_query(depends: Any) -> None:
    app = FastAPI()

    async def route(user: User) -> None: ...

    route.__annotations__["user"] = Annotated[User, depends]
    with pytest.raises(TypeError, match=REFUSED[:40]):
        app.get("/")(route)


def test_a_route_that_returns_a_dict_instead_of_a_user_gets_a_clear_error() -> None:
    app = FastAPI()

    @app.get("/")
    async def route() -> User:
        forgery: Any = {"id": 1}
        return forgery  # type: ignore[no-any-return]

    with TestClient(app) as client, pytest.raises(ResponseValidationError) as caught:
        client.get("/")
    assert "a route that answers with a User returns the object, not a dict" in str(caught.value)
