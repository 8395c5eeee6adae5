"""What code does with a user, a client and the settings, by name. It runs with either package."""

from __future__ import annotations

import copy
import json
import pickle
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

sdk: Any = import_module("oxaigen_auth")  # Any: much of this is an error with this package
models: Any = sdk
if not hasattr(sdk, "UserWorkspace"):
    models = import_module("oxaigen_auth.src.authentication.models")

PROFILE: dict[str, Any] = {"user_name": "bob", "workspace_roles": [{"id": 1, "name": "owner"}]}


def _assign(user: Any) -> str:
    user.email = "x"
    return str(user.email)


def _append(user: Any) -> int:
    user.workspace_roles.append(models.WorkspaceRole(id=2, name="guest"))
    return len(user.workspace_roles)


def _assign_setting() -> Any:
    sdk.OxaigenAuthSettings.CACHE_TTL_SECONDS = 30
    return sdk.OxaigenAuthSettings.CACHE_TTL_SECONDS


USER: dict[str, Callable[[Any], Any]] = {
    "model_dump": lambda u: u.model_dump(),
    "model_dump-json-mode": lambda u: u.model_dump(mode="json"),
    "model_dump-exclude": lambda u: u.model_dump(exclude={"email", "extra"}),
    "model_dump-exclude-nested": lambda u: u.model_dump(exclude={"user_workspace": {"name"}}),
    "model_dump-include": lambda u: u.model_dump(include={"user_name": True, "extra": {"team"}}),
    "model_dump-exclude-none": lambda u: u.model_dump(exclude_none=True),
    "model_dump-exclude-unset": lambda u: u.model_dump(exclude_unset=True),
    "model_dump-exclude-defaults": lambda u: u.model_dump(exclude_defaults=True),
    "model_dump-by-alias": lambda u: u.model_dump(by_alias=True),
    "model_dump-unknown-option": lambda u: u.model_dump(exclude_non=True),
    "model_dump_json": lambda u: u.model_dump_json(),
    "model_dump_json-indent": lambda u: u.model_dump_json(indent=2, exclude={"id"}),
    "model_dump-role": lambda u: u.workspace_roles[0].model_dump(exclude_none=True),
    "model_dump_json-workspace": lambda u: u.user_workspace.model_dump_json(),
    "type-adapter": lambda u: TypeAdapter(sdk.User).dump_python(u),
    "dict-of-user": lambda u: [type(value).__name__ for _, value in dict(u).items()],
    "names": lambda u: list(dict(u)),
    "dict-method": lambda u: u.dict(),
    "json-method": lambda u: u.json(),
    "model_copy": lambda u: u.model_copy(update={"email": None}).email,
    "copy-method": lambda u: u.copy().email,
    "model_validate": lambda _: sdk.User.model_validate(PROFILE).user_name,
    "model_validate_json": lambda _: sdk.User.model_validate_json(json.dumps(PROFILE)).user_name,
    "parse_obj": lambda _: sdk.User.parse_obj(PROFILE).user_name,
    "model_construct": lambda _: sdk.User.model_construct(user_name="x").user_name,
    "model_fields": lambda _: list(sdk.User.model_fields),
    "nested-dicts": lambda _: sdk.User(**PROFILE).has_role("owner"),
    "unknown-argument": lambda _: sdk.User(department="R&D").extra,
    "coerced-argument": lambda _: sdk.User(id="7").id,
    "wrong-argument": lambda _: sdk.User(id="seven"),
    "plain-user": lambda _: dict(sdk.User()),
    "incomplete-workspace": lambda _: models.UserWorkspace().id,
    "is-base-model": lambda u: isinstance(u, BaseModel),
    "assign": _assign,
    "append": _append,
    "extra": lambda u: u.extra,
    "role-attributes": lambda u: [u.workspace_roles[0].id, u.workspace_roles[0].name],
    "role-unknown-attribute": lambda u: u.workspace_roles[0].since,
    "hash": lambda u: isinstance(hash(u), int),
    "equal": lambda u: [u == copy.copy(u), u == copy.deepcopy(u), u == sdk.User()],
    "pickle": lambda u: pickle.loads(pickle.dumps(u)) == u,  # noqa: S301 (our own)
    "has_role": lambda u: [u.has_role(name) for name in ("owner", "OWNER", "x")],
    "has_permission": lambda u: [u.has_permission(name) for name in ("audit", "Audit", "x")],
    "has_role-keyword": lambda u: u.has_role(role_name="owner"),
    "has_permission-keyword": lambda u: u.has_permission(permission_name="audit"),
    "is_anonymous": lambda u: [u.is_anonymous, sdk.User(is_authenticated=False).is_anonymous],
    "read-user": lambda _: TypeAdapter(sdk.User).validate_python(PROFILE).user_name,
}
OTHER: dict[str, Callable[[Any, Any, Any], Any]] = {
    "static-get_me": lambda _, t, url: sdk.ProxyAuthClient.get_me(
        bearer_token=t, proxy_base_url=url
    ),
    "get_me": lambda _, t, url: _name(
        sdk.ProxyAuthClient().get_me(bearer_token=t, proxy_base_url=url)
    ),
    "test_permission": lambda _, t, url: sdk.ProxyAuthClient().test_permission(
        bearer_token=t, permission_name="audit", proxy_base_url=url
    ),
    "permission-path": lambda _, t, url: sdk.ProxyAuthClient().test_permission(
        bearer_token=t, permission_name="a/../b", proxy_base_url=url
    ),
    "ftp-url": lambda _, t, __: sdk.ProxyAuthClient().get_me(
        bearer_token=t, proxy_base_url="ftp://x"
    ),
    "setting-of-class": lambda *_: sdk.OxaigenAuthSettings.CACHE_TTL_SECONDS,
    "assign-setting": lambda *_: _assign_setting(),
    "same-dependency": lambda *_: (
        sdk.require_permission("audit") is sdk.require_permission("audit")
    ),
    "bad-permission-name": lambda *_: sdk.require_permission("a b"),
    "no-permission-name": lambda *_: sdk.require_permission(None),
    "error-message": lambda *_: sdk.OxaigenAuthUpstreamError(message="x").message,
    "error-text": lambda *_: str(sdk.OxaigenAuthUnauthenticatedError(message="x")),
    "dependency-name": lambda *_: sdk.get_current_user.__name__,
}
PROBES: dict[str, Callable[[Any, Any, Any], Any]] = OTHER | {
    name: lambda user, *_, act=act: act(user) for name, act in USER.items()
}


async def _name(found: Any) -> Any:
    return (await found).user_name
