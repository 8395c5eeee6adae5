"""`from_dict` reads what `to_dict` wrote, and the proxy's profiles."""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

import attrs
import pytest

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole
from oxaigen_auth._upstream.profile import structure_user
from tests.unit.oxaigen_auth.test_models import FULL, full_user

MODELS: list[Any] = [User, UserWorkspace, WorkspaceRole, WorkspacePermission]
USERS = [
    full_user(),
    User(),
    User(is_authenticated=False),
    User(extra={"extra": {"extra": [1]}, "email": "another"}),
    User(workspace_roles=[WorkspaceRole(extra={"extra": {"deep": [None]}})]),
]


@pytest.mark.parametrize("user", USERS)
def test_a_user_that_was_written_is_read_as_the_same_user(user: User) -> None:
    assert User.from_dict(user.to_dict()) == user
    assert User.from_dict(json.loads(json.dumps(user.to_dict()))) == user
    assert User.from_dict(json.loads(user.model_dump_json())) == user
    assert User.from_dict(user.model_dump()) == user
    for entry in (*user.workspace_roles, *user.workspace_permissions):
        assert type(entry).from_dict(entry.to_dict()) == entry


def test_a_workspace_that_was_written_is_read_as_the_same_workspace() -> None:
    for workspace in (UserWorkspace(), UserWorkspace("w", "W", extra={"plan": {"seats": [1]}})):
        assert UserWorkspace.from_dict(workspace.to_dict()) == workspace


def test_a_profile_of_the_proxy_is_read_as_the_sdk_reads_it() -> None:
    profile = {k: v for k, v in FULL.items() if k != "extra"} | {"theme": {"dark": [True]}}
    assert User.from_dict(profile) == structure_user(profile) == full_user()
    sparse = {"id": "7", "email": None, "workspace_roles": None}
    assert User.from_dict(sparse) == structure_user(sparse) == User(id=7)


def test_unknown_fields_are_kept_beside_those_of_extra() -> None:
    data = {"id": 7, "team": "x", "extra": {"plan": "free", "team": "y"}}
    assert User.from_dict(data).extra == {"plan": "free", "team": "x"}
    assert User.from_dict({"id": 7, "extra": None}).extra == {}


def test_changing_the_data_later_does_not_change_the_model() -> None:
    data = full_user().to_dict()
    user = User.from_dict(data)
    data["extra"]["theme"]["dark"].clear()
    data["user_workspace"]["plan"]["seats"].clear()
    data["workspace_roles"].clear()
    assert user == full_user()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"is_authenticated": "s3cret"}, "User.is_authenticated: expected a boolean"),
        ({"id": "s3cret"}, "User.id: expected an integer"),
        ({"email": ["s3cret"]}, "User.email: expected a string"),
        ({"user_workspace": "s3cret"}, "User.user_workspace: expected an object"),
        ({"user_workspace": {"id": ["s3cret"]}}, "User.user_workspace.id: expected a string"),
        ({"workspace_roles": "s3cret"}, "User.workspace_roles: expected a list"),
        ({"workspace_roles": [{}, "s3cret"]}, "User.workspace_roles[1]: expected an object"),
        (
            {"workspace_permissions": [{"name": {"s3cret": 1}}]},
            "User.workspace_permissions[0].name: expected a string",
        ),
        ({"id": 7, "extra": "s3cret"}, "User.extra: expected an object"),
        ({"detail": "s3cret"}, "User: none of the documented fields has a value"),
        ({"workspace_roles": [{"x": 1}]}, "User: none of the documented fields has a value"),
        ({}, "User: none of the documented fields has a value"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_without_the_value(
    data: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as caught:
        User.from_dict(data)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("model", MODELS)
def test_only_a_dict_is_read(model: Any) -> None:
    name = model.__name__
    data: Any
    for data in (None, 1, [{}], model()):
        with pytest.raises(TypeError) as caught:
            model.from_dict(data)
        assert str(caught.value) == f"from_dict takes a dict, not {type(data).__name__}"
    with pytest.raises(TypeError) as caught:
        model.from_dict('{"id": 1}')
    assert str(caught.value) == (
        f"from_dict takes a dict, not str: write {name}.from_dict(json.loads(…))"
    )


def test_a_field_of_an_entry_with_a_wrong_type_is_named() -> None:
    with pytest.raises(ValueError, match=r"^WorkspaceRole\.name: expected a string$"):
        WorkspaceRole.from_dict({"name": 1})


def test_a_model_of_an_app_is_read_with_its_own_fields() -> None:
    @attrs.frozen(kw_only=True)
    class Own(User):
        team: str | None = None

    own = Own(user_name="ada", team="x", extra={"plan": "free"})
    assert Own.from_dict({"user_name": "ada", "team": "x", "plan": "free"}) == own
    assert Own.from_dict(own.to_dict()) == own

    @attrs.frozen
    class Role(WorkspaceRole):
        level: int = 1

    role = Role.from_dict({"name": "owner", "level": 2, "since": 2020})
    assert role == Role(name="owner", level=2, extra={"since": 2020})
    assert Role.from_dict({"name": "owner"}).level == 1
