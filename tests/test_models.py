from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import attrs
import pytest
from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter, ValidationError

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole

FIELDS = [
    "is_authenticated",
    "id",
    "user_name",
    "email",
    "account_type",
    "enabled",
    "first_name",
    "last_name",
    "user_workspace",
    "workspace_roles",
    "workspace_permissions",
    "extra",
]
ENTRIES = [UserWorkspace, WorkspaceRole, WorkspacePermission]

each_entry = pytest.mark.parametrize("model", ENTRIES)


def full_user() -> User:
    return User(
        id=1,
        user_name="ada",
        email="ada@example.com",
        account_type="internal",
        enabled=True,
        first_name="Ada",
        last_name="L",
        user_workspace=UserWorkspace("w", "Works", extra={"plan": {"seats": [1, 2]}}),
        workspace_roles=[WorkspaceRole(1, "owner", extra={"since": 2024})],
        workspace_permissions=[WorkspacePermission(1, "audit", "May look", extra={"by": "eve"})],
        extra={"theme": {"dark": [True]}},
    )


FULL = {
    "is_authenticated": True,
    "id": 1,
    "user_name": "ada",
    "email": "ada@example.com",
    "account_type": "internal",
    "enabled": True,
    "first_name": "Ada",
    "last_name": "L",
    "user_workspace": {"id": "w", "name": "Works", "plan": {"seats": [1, 2]}},
    "workspace_roles": [{"id": 1, "name": "owner", "description": None, "since": 2024}],
    "workspace_permissions": [{"id": 1, "name": "audit", "description": "May look", "by": "eve"}],
    "extra": {"theme": {"dark": [True]}},
}


def test_a_user_of_whom_nothing_is_known_is_signed_in_and_may_nothing() -> None:
    user = User()
    assert user.is_authenticated
    assert not user.is_anonymous
    assert not user.has_role("owner")
    assert not user.has_permission("audit")
    assert dict(user) == {
        **dict.fromkeys(FIELDS),
        "is_authenticated": True,
        "workspace_roles": [],
        "workspace_permissions": [],
        "extra": {},
    }


def test_a_user_who_is_not_authenticated_is_anonymous() -> None:
    assert User(is_authenticated=False).is_anonymous


@pytest.mark.parametrize("model", [User, *ENTRIES])
def test_an_attribute_of_a_model_cannot_be_set_or_added(model: type[Any]) -> None:
    value = model()
    for name in ("id", "surprise"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(value, name, 2)
    assert value == model()


def test_two_users_share_no_default() -> None:
    first, second = User(), User()
    first.workspace_roles.append(WorkspaceRole(name="owner"))
    first.workspace_permissions.append(WorkspacePermission(name="audit"))
    first.extra["x"] = 1
    assert second == User()


def test_a_role_is_held_under_exactly_its_name() -> None:
    user = User(workspace_roles=[WorkspaceRole(name=None), WorkspaceRole(name="owner")])
    assert user.has_role("owner")
    assert not user.has_role("Owner")
    assert not user.has_role("own")
    assert not user.has_role("")


def test_a_permission_is_held_under_its_name_in_any_case() -> None:
    permissions = [WorkspacePermission(name=None), WorkspacePermission(name="workspaceOwnership")]
    user = User(workspace_permissions=permissions)
    assert user.has_permission("workspaceownership")
    assert user.has_permission("WORKSPACEOWNERSHIP")
    assert not user.has_permission("workspace")
    assert not user.has_permission("None")
    assert not user.has_permission("")


@each_entry
def test_what_is_unknown_of_an_entry_is_a_new_dict_at_every_read(model: type[Any]) -> None:
    entry = model(extra={"deep": {"list": [1]}})
    entry.extra["deep"]["list"].append(2)
    entry.extra["more"] = 1
    assert entry.extra == {"deep": {"list": [1]}}


@each_entry
def test_an_entry_without_unknown_fields_reads_an_empty_dict(model: type[Any]) -> None:
    model().extra["x"] = 1
    assert model().extra == {}
    assert model() == model(extra={}) == model(extra=None)
    assert hash(model()) == hash(model())


@each_entry
def test_writing_an_entry_out_gives_nothing_of_it_away(model: type[Any]) -> None:
    entry = model(extra={"deep": [1]})
    dict(entry)["deep"].append(2)
    assert entry.extra == {"deep": [1]}


def test_nothing_done_to_what_is_read_of_a_user_reaches_it() -> None:
    user = full_user()
    user.workspace_roles.clear()
    user.workspace_permissions.append(WorkspacePermission(name="all"))
    user.extra["theme"]["dark"].append(False)
    dict(user)["extra"]["theme"]["dark"].append(False)
    assert user == full_user()


def test_a_user_takes_nothing_over_that_its_maker_may_still_change() -> None:
    roles = [WorkspaceRole(name="owner")]
    user = User(workspace_roles=roles)
    roles.clear()
    assert user.workspace_roles == [WorkspaceRole(name="owner")]


def test_a_changed_user_differs_in_every_attribute_from_one_of_whom_nothing_is_known() -> None:
    user = attrs.evolve(full_user(), is_authenticated=False)
    default = dict(User())
    assert [name for name, value in user if value != default[name]] == FIELDS


def test_attrs_can_evolve_every_model() -> None:
    assert attrs.evolve(full_user(), id=2).id == 2
    entry = WorkspaceRole(1, "owner", extra={"x": 1})
    assert attrs.evolve(entry, name="guest") == WorkspaceRole(1, "guest", extra={"x": 1})


def pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 (made a moment ago)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickled])
def test_a_user_can_be_copied_and_pickled(way: Any) -> None:
    assert way(full_user()) == full_user()
    assert way(UserWorkspace("w", extra={"x": 1})) == UserWorkspace("w", extra={"x": 1})


def test_a_repr_shows_what_is_in_a_model() -> None:
    shown = repr(full_user())
    assert shown.startswith("User(is_authenticated=True, id=1, user_name='ada'")
    assert "WorkspaceRole(id=1, name='owner'" in shown
    assert "'theme'" in shown


def test_a_user_is_written_out_in_the_documented_order() -> None:
    assert list(dict(full_user())) == FIELDS
    assert jsonable_encoder(full_user()) == FULL
    assert json.dumps(jsonable_encoder(full_user())) == json.dumps(FULL)


def test_pydantic_writes_a_user_out_as_fastapi_does() -> None:
    adapter = TypeAdapter(dict[str, list[User | None]])
    written = adapter.dump_json({"users": [full_user(), None]})
    assert json.loads(written) == {"users": [FULL, None]}
    assert json.dumps(json.loads(written)) == json.dumps({"users": [FULL, None]})


def test_pydantic_writes_a_user_out_where_anything_is_declared() -> None:
    adapter = TypeAdapter(dict[str, Any])
    for _ in range(2):
        assert adapter.dump_python({"it": full_user()}) == {"it": FULL}
        assert json.loads(adapter.dump_json({"it": full_user()})) == {"it": FULL}
    workspace = full_user().user_workspace
    assert adapter.dump_python({"it": workspace}) == {"it": FULL["user_workspace"]}


def test_pydantic_takes_a_user_and_no_look_alike() -> None:
    adapter = TypeAdapter(User)
    user = full_user()
    assert adapter.validate_python(user) is user
    with pytest.raises(ValidationError):
        adapter.validate_python({"id": 1})


def test_pydantic_reads_a_user_from_json() -> None:
    profile = {"id": 1, "user_workspace": {"id": "w"}, "workspace_roles": [{"name": "owner"}]}
    user = TypeAdapter(User).validate_json(json.dumps(profile))
    expected = User(
        id=1, user_workspace=UserWorkspace("w"), workspace_roles=[WorkspaceRole(name="owner")]
    )
    assert user == expected


@pytest.mark.parametrize("mode", ["serialization", "validation"])
def test_the_json_schema_of_a_user_is_a_definition_that_lists_its_fields(mode: Any) -> None:
    schema = TypeAdapter(tuple[User, User]).json_schema(mode=mode)
    assert schema["prefixItems"] == [{"$ref": "#/$defs/User"}] * 2
    properties = schema["$defs"]["User"]["properties"]
    assert list(properties) == FIELDS
    assert properties["workspace_roles"]["items"] == {"$ref": "#/$defs/WorkspaceRole"}
    assert list(schema["$defs"]["WorkspaceRole"]["properties"]) == ["id", "name", "description"]
    assert list(schema["$defs"]["UserWorkspace"]["properties"]) == ["id", "name"]
