"""User code that handles users; only type checkers read it."""

from __future__ import annotations

from typing import Any, assert_type

import attrs

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole

user = User(
    id=7,
    user_name="ada",
    user_workspace=UserWorkspace("w", name="W", extra={"plan": "team"}),
    workspace_roles=[WorkspaceRole(1, "owner", "May do all")],
    workspace_permissions=(WorkspacePermission(name="audit"),),
    extra={"department": "R&D"},
)
assert_type(user.is_authenticated, bool)
assert_type(user.is_anonymous, bool)
assert_type(user.id, int | None)
assert_type(user.user_name, str | None)
assert_type(user.email, str | None)
assert_type(user.account_type, str | None)
assert_type(user.enabled, bool | None)
assert_type(user.first_name, str | None)
assert_type(user.last_name, str | None)
assert_type(user.user_workspace, UserWorkspace | None)
assert_type(user.workspace_roles, list[WorkspaceRole])
assert_type(user.workspace_permissions, list[WorkspacePermission])
assert_type(user.extra, dict[str, Any])
assert_type(user.has_role("owner"), bool)
assert_type(user.has_permission("audit"), bool)
assert_type(hash(user), int)
assert_type(user == user, bool)  # noqa: PLR0124 (its type)

role = user.workspace_roles[0]
assert_type(role.id, int | None)
assert_type(role.name, str | None)
assert_type(role.description, str | None)
assert_type(role.extra, dict[str, Any])
if user.user_workspace:
    assert_type(user.user_workspace.id, str | None)
    assert_type(user.user_workspace.to_dict(), dict[str, Any])

assert_type(user.to_dict(), dict[str, Any])
assert_type(user.model_dump(), dict[str, Any])
assert_type(user.model_dump(mode="json", exclude={"email"}, exclude_none=True), dict[str, Any])
assert_type(user.model_dump(include={"workspace_roles": {0: {"name"}}}), dict[str, Any])
assert_type(user.model_dump_json(indent=2, exclude_unset=True, by_alias=True), str)
assert_type(role.model_dump_json(), str)
assert_type(User.from_dict({"id": 7}), User)
assert_type(WorkspaceRole.from_dict({"id": 7}), WorkspaceRole)
assert_type(attrs.evolve(user, first_name="Ada"), User)
assert_type(attrs.evolve(user, workspace_roles=[attrs.evolve(role, name="guest")]), User)
assert_type(dict(user), dict[str, Any])
assert_type(dict(role), dict[str, Any])


@attrs.frozen(kw_only=True)
class Employee(User):
    department: str | None = None


employee = Employee(user_name="ada", department="R&D")
assert_type(employee.department, str | None)
assert_type(employee.has_role("owner"), bool)
assert_type(Employee.from_dict({"id": 7}), Employee)
