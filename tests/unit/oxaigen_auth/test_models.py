from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import attrs
import pytest
from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter

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


def test_a_default_user_is_authenticated_and_has_no_permissions() -> None:
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


def test_roles_are_compared_exactly() -> None:
    user = User(workspace_roles=[WorkspaceRole(name=None), WorkspaceRole(name="owner")])
    assert user.has_role("owner")
    assert not user.has_role("Owner")
    assert not user.has_role("own")
    assert not user.has_role("")


def test_permissions_are_compared_exactly() -> None:
    permissions = [WorkspacePermission(name=None), WorkspacePermission(name="workspaceOwnership")]
    user = User(workspace_permissions=permissions)
    assert user.has_permission("workspaceOwnership")
    assert not user.has_permission("workspaceownership")
    assert not user.has_permission("WORKSPACEOWNERSHIP")
    assert not user.has_permission("workspace")
    assert not user.has_permission("None")
    assert not user.has_permission("")


@each_entry
def test_extra_of_an_entry_is_a_new_dict_at_every_read(model: type[Any]) -> None:
    entry = model(extra={"deep": {"list": [1]}})
    entry.extra["deep"]["list"].append(2)
    entry.extra["more"] = 1
    assert entry.extra == {"deep": {"list": [1]}}


@each_entry
def test_extra_of_an_entry_without_unknown_fields_is_empty(model: type[Any]) -> None:
    model().extra["x"] = 1
    assert model().extra == {}
    assert model() == model(extra={}) == model(extra=None)
    assert hash(model()) == hash(model())


@each_entry
def test_changing_a_serialized_entry_does_not_change_the_entry(model: type[Any]) -> None:
    entry = model(extra={"deep": [1]})
    dict(entry)["deep"].append(2)
    assert entry.extra == {"deep": [1]}


def test_changing_what_was_read_from_a_user_does_not_change_the_user() -> None:
    user = full_user()
    user.workspace_roles.clear()
    user.workspace_permissions.append(WorkspacePermission(name="all"))
    user.extra["theme"]["dark"].append(False)
    dict(user)["extra"]["theme"]["dark"].append(False)
    assert user == full_user()


def test_changing_the_arguments_of_a_user_does_not_change_the_user() -> None:
    roles = [WorkspaceRole(name="owner")]
    user = User(workspace_roles=roles)
    roles.clear()
    assert user.workspace_roles == [WorkspaceRole(name="owner")]


@pytest.mark.parametrize("model", [User, *ENTRIES])
def test_changing_a_dict_passed_to_a_model_does_not_change_the_model(model: type[Any]) -> None:
    extra: dict[str, Any] = {"deep": {"list": [1]}}
    value = model(extra=extra)
    extra["deep"]["list"].append(2)
    extra["more"] = 1
    assert value.extra == {"deep": {"list": [1]}}
    assert value == model(extra={"deep": {"list": [1]}})


@pytest.mark.parametrize("model", [User, *ENTRIES])
def test_a_model_can_be_hashed_whatever_its_unknown_fields_hold(model: type[Any]) -> None:
    one, same = (model(extra={"tags": ["a", {"b": [None]}]}) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert {one, same, model()} == {one, model()}
    assert one != model(extra={"tags": []})
    assert one != model()


def test_users_with_unknown_fields_at_every_level_can_be_hashed() -> None:
    assert hash(full_user()) == hash(full_user())
    assert {full_user(): 1}[full_user()] == 1
    assert len({full_user(), attrs.evolve(full_user(), id=2)}) == 2


def test_a_full_user_differs_from_the_default_in_every_attribute() -> None:
    user = attrs.evolve(full_user(), is_authenticated=False)
    default = dict(User())
    assert [name for name, value in user if value != default[name]] == FIELDS


def test_attrs_can_evolve_every_model() -> None:
    assert attrs.evolve(full_user(), id=2).id == 2
    entry = WorkspaceRole(1, "owner", extra={"x": 1})
    assert attrs.evolve(entry, name="guest") == WorkspaceRole(1, "guest", extra={"x": 1})


def pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 (made a moment ago)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickled, attrs.evolve])
def test_a_user_can_be_copied_and_pickled(way: Any) -> None:
    user = way(full_user())
    user.extra["theme"]["dark"].append(False)
    assert user == full_user()
    assert hash(user) == hash(full_user())
    assert way(UserWorkspace("w", extra={"x": 1})) == UserWorkspace("w", extra={"x": 1})


def test_a_repr_shows_what_is_in_a_model() -> None:
    shown = repr(full_user())
    assert shown.startswith("User(is_authenticated=True, id=1, user_name='ada'")
    assert "WorkspaceRole(id=1, name='owner'" in shown
    assert "'theme'" in shown


def test_a_user_is_serialized_in_the_documented_order() -> None:
    assert list(dict(full_user())) == FIELDS
    assert jsonable_encoder(full_user()) == FULL
    assert json.dumps(jsonable_encoder(full_user())) == json.dumps(FULL)


def test_pydantic_serializes_a_user_as_fastapi_does() -> None:
    adapter = TypeAdapter(dict[str, list[User | None]])
    written = adapter.dump_json({"users": [full_user(), None]})
    assert json.loads(written) == {"users": [FULL, None]}
    assert json.dumps(json.loads(written)) == json.dumps({"users": [FULL, None]})


def test_pydantic_serializes_a_user_declared_as_any() -> None:
    adapter = TypeAdapter(dict[str, Any])
    for _ in range(2):
        assert adapter.dump_python({"it": full_user()}) == {"it": FULL}
        assert json.loads(adapter.dump_json({"it": full_user()})) == {"it": FULL}
    workspace = full_user().user_workspace
    assert adapter.dump_python({"it": workspace}) == {"it": FULL["user_workspace"]}


@pytest.mark.parametrize("mode", ["serialization", "validation"])
def test_the_json_schema_of_a_user_is_a_definition_that_lists_its_fields(mode: Any) -> None:
    schema = TypeAdapter(tuple[User, User]).json_schema(mode=mode)
    assert schema["prefixItems"] == [{"$ref": "#/$defs/User"}] * 2
    properties = schema["$defs"]["User"]["properties"]
    assert list(properties) == FIELDS
    assert properties["workspace_roles"]["items"] == {"$ref": "#/$defs/WorkspaceRole"}
    assert list(schema["$defs"]["WorkspaceRole"]["properties"]) == ["id", "name", "description"]
    assert list(schema["$defs"]["UserWorkspace"]["properties"]) == ["id", "name"]
    for each in schema["$defs"].values():
        assert each["required"] == list(each["properties"])


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (User, {"id": "abc"}, "User.id must be int or None, not str"),
        (User, {"id": True}, "User.id must be int or None, not bool"),
        (User, {"id": 1.0}, "User.id must be int or None, not float"),
        (User, {"is_authenticated": "true"}, "User.is_authenticated must be bool, not str"),
        (User, {"is_authenticated": None}, "User.is_authenticated must be bool, not NoneType"),
        (User, {"enabled": 1}, "User.enabled must be bool or None, not int"),
        (User, {"email": b"x"}, "User.email must be str or None, not bytes"),
        (User, {"user_name": ["x"]}, "User.user_name must be str or None, not list"),
        (User, {"extra": []}, "extra must be dict or None, not list"),
        (User, {"extra": {1: 2}}, "a key of extra must be str, not int"),
        (UserWorkspace, {"id": 1}, "UserWorkspace.id must be str or None, not int"),
        (
            UserWorkspace,
            {"extra": {"name": "x"}},
            "UserWorkspace.extra must not hold 'name', a field",
        ),
        (WorkspaceRole, {"id": "1"}, "WorkspaceRole.id must be int or None, not str"),
        (WorkspaceRole, {"name": 1}, "WorkspaceRole.name must be str or None, not int"),
        (
            WorkspacePermission,
            {"id": False},
            "WorkspacePermission.id must be int or None, not bool",
        ),
        (
            WorkspacePermission,
            {"description": {}},
            "WorkspacePermission.description must be str or None, not dict",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_at_once(
    model: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        model(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "values", ["owner", b"x", {"name": "owner"}, {}, 1, None, WorkspaceRole(name="owner"), True]
)
def test_only_a_collection_of_entries_is_accepted(values: Any) -> None:
    kind = type(values).__name__
    with pytest.raises(TypeError, match=rf"^User.workspace_roles must be a list of .*not {kind}$"):
        User(workspace_roles=values)
    kept = full_user()
    with pytest.raises(TypeError, match=r"^User.workspace_permissions must be a list of"):
        attrs.evolve(kept, workspace_permissions=values)


@pytest.mark.parametrize("entry", ["owner", None, 1, WorkspacePermission(name="owner")])
def test_only_a_role_is_accepted_as_a_role(entry: Any) -> None:
    with pytest.raises(TypeError) as caught:
        User(workspace_roles=[WorkspaceRole(), entry])
    kind = type(entry).__name__
    assert str(caught.value) == f"User.workspace_roles[1] must be WorkspaceRole, not {kind}"


def test_an_entry_that_is_a_dict_is_refused_with_a_hint() -> None:
    entry: Any = {"id": 1, "name": "audit"}
    with pytest.raises(TypeError) as caught:
        User(workspace_permissions=[entry])
    assert str(caught.value) == (
        "User.workspace_permissions[0] must be WorkspacePermission, not dict:"
        " write WorkspacePermission(name=...)"
    )
    with pytest.raises(TypeError, match=r": write UserWorkspace\(name=\.\.\.\)$"):
        User(user_workspace=entry)


def test_entries_may_come_in_any_plain_collection() -> None:
    role = WorkspaceRole(name="owner")
    for roles in ([role], (role,), {role}, iter([role])):
        assert User(workspace_roles=roles).workspace_roles == [role]


def test_an_instance_of_a_string_subclass_is_accepted() -> None:
    class Name(str):
        __slots__ = ()

    assert User(user_name=Name("ada")) == User(user_name="ada")
