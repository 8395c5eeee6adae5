"""`to_dict`, `model_dump`, `model_dump_json` and `attrs.evolve`."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole
from tests.support.apps import TestClient
from tests.unit.oxaigen_auth._models.test_pydantic import FILTERS
from tests.unit.oxaigen_auth.test_models import FULL, full_user


class Entry(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: int | str | None = None
    name: str | None = None


class Described(Entry):
    description: str | None = None


class Twin(BaseModel):
    """A user as a pydantic model, without fields that are unset."""

    is_authenticated: bool = True
    id: int | None = None
    user_name: str | None = None
    email: str | None = None
    account_type: str | None = None
    enabled: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    user_workspace: Entry | None = None
    workspace_roles: list[Described] = Field(default_factory=list)
    workspace_permissions: list[Described] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


OPTIONS: list[dict[str, Any]] = [
    {},
    *(it for it in FILTERS if "exclude_unset" not in it),
    {"context": {"a": 1}, "round_trip": True, "warnings": False, "serialize_as_any": False},
    {"include": {"workspace_roles": {0: {"name"}}}, "exclude_none": True},
    {"include": {"user_name", "email"}, "exclude": {"email"}},
    {"exclude": {"unknown"}, "include": None},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("profile", [FULL, {"user_name": "ada"}, {}], ids=["full", "sparse", "no"])
def test_a_user_is_dumped_as_a_pydantic_model_is(
    options: dict[str, Any], profile: dict[str, Any]
) -> None:
    twin, user = Twin.model_validate(profile), full_user() if profile is FULL else User(**profile)
    assert user.model_dump(**options) == twin.model_dump(**options)
    assert user.model_dump(mode="json", **options) == twin.model_dump(mode="json", **options)
    assert user.model_dump_json(**options) == twin.model_dump_json(**options)
    assert user.model_dump_json(indent=2, **options) == twin.model_dump_json(indent=2, **options)


def test_a_user_is_dumped_without_the_fields_that_have_their_default() -> None:
    assert User(id=7).model_dump(exclude_unset=True) == {"is_authenticated": True, "id": 7}
    assert User(id=7).model_dump(exclude_defaults=True) == {"id": 7}


def test_an_entry_is_dumped_with_its_unknown_fields_beside_the_others() -> None:
    role = WorkspaceRole(1, "owner", extra={"since": 2020})
    assert role.model_dump(exclude_none=True) == {"id": 1, "name": "owner", "since": 2020}
    assert json.loads(role.model_dump_json(exclude={"since"})) == {
        "id": 1,
        "name": "owner",
        "description": None,
    }


def test_the_dict_of_a_user_is_that_of_a_response() -> None:
    app, user = FastAPI(), attrs.evolve(full_user(), extra={"at": datetime(2020, 1, 2, tzinfo=UTC)})

    @app.get("/")
    async def route() -> User:
        return user

    with TestClient(app) as client:
        assert user.to_dict() == client.get("/").json()
    assert user.to_dict()["extra"] == {"at": "2020-01-02T00:00:00Z"}
    assert user.model_dump()["extra"] == user.extra


def test_changing_what_was_dumped_does_not_change_the_user() -> None:
    user = full_user()
    for dumped in (user.to_dict(), user.model_dump(), user.model_dump(mode="json")):
        dumped["extra"]["theme"]["dark"].clear()
        dumped["workspace_roles"][0].clear()
        dumped["user_workspace"]["plan"]["seats"].clear()
    assert user == full_user()


def test_a_value_without_json_is_named_by_its_type() -> None:
    user = User(extra={"it": object()})
    for write in (user.to_dict, user.model_dump_json):
        with pytest.raises(PydanticSerializationError, match="object"):
            write()
    assert user.model_dump(mode="json", fallback=lambda _: "it")["extra"] == {"it": "it"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude_non": True}, "has no option 'exclude_non': did you mean exclude_none"),
        (
            {"zzz": 1},
            "has no option 'zzz': the options are by_alias, context, exclude, exclude_def",
        ),
    ],
)
def test_an_unknown_option_is_an_error(options: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        User().model_dump(**options)
    assert str(caught.value).startswith(f"User.model_dump() {message}")
    with pytest.raises(TypeError) as caught:
        WorkspaceRole().model_dump_json(**options)
    assert str(caught.value).startswith(f"WorkspaceRole.model_dump_json() {message}")


CHANGES: list[dict[str, Any]] = [
    {"is_authenticated": False},
    {"id": 2},
    {"first_name": "x", "last_name": None},
    {"user_workspace": None},
    {"user_workspace": UserWorkspace("other")},
    {"workspace_roles": []},
    {"workspace_roles": [WorkspaceRole(name="guest")]},
    {"workspace_permissions": [*full_user().workspace_permissions, WorkspacePermission(name="x")]},
    {"extra": {}},
    {"extra": {"theme": None, "team": ["x"]}},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_evolve_changes_the_given_fields_and_keeps_the_others(changes: dict[str, Any]) -> None:
    user = full_user()
    other = attrs.evolve(user, **changes)
    expected = {name: getattr(user, name) for name in dict(user)} | changes
    assert {name: getattr(other, name) for name in dict(other)} == expected
    assert other == User(**expected)
    assert user == full_user()


def test_evolve_of_a_nested_entry_keeps_its_unknown_fields() -> None:
    user = full_user()
    roles = [attrs.evolve(role, name="guest") for role in user.workspace_roles]
    other = attrs.evolve(user, workspace_roles=roles)
    assert other.has_role("guest")
    assert other.workspace_roles[0].extra == {"since": 2024}
    assert user.user_workspace
    moved = attrs.evolve(user, user_workspace=attrs.evolve(user.user_workspace, id="x"))
    assert moved.to_dict()["user_workspace"] == {
        "id": "x",
        "name": "Works",
        "plan": {"seats": [1, 2]},
    }


def test_evolve_checks_types_and_names() -> None:
    with pytest.raises(TypeError, match=r"^User\.email must be str or None, not int$"):
        attrs.evolve(User(), email=1)  # type: ignore[arg-type]
    wrong: dict[str, Any]
    for wrong in ({"_extra": {}}, {"_workspace_roles": []}, {"department": "x"}):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            attrs.evolve(User(), **wrong)


def test_the_models_have_no_further_attributes_per_instance() -> None:
    for model in (User(), UserWorkspace(), WorkspaceRole(), WorkspacePermission()):
        assert not hasattr(model, "__dict__")


def test_cattrs_is_imported_with_the_first_use() -> None:
    code = (
        "import sys; from oxaigen_auth import User; assert 'cattrs' not in sys.modules;"
        "User.from_dict({'id': 1}); assert 'cattrs' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (our own code)
