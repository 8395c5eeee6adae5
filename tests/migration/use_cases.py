"""What an app does: responses with users, overrides, code that handles users and clients."""

from __future__ import annotations

from typing import Any

from tests.migration.case import PROFILE, Case, differs, profile
from tests.support.raw_server import answer

ROLE: dict[str, Any] = {"id": 1, "name": "owner", "description": None, "since": 2020}
CHANGES = {"workspace_roles": [ROLE], "team": "x"}
FULL = profile(**CHANGES)
WRITTEN = PROFILE | {"workspace_roles": [ROLE], "extra": {"team": "x"}}
SET = {k: v for k, v in WRITTEN.items() if v is not None} | {
    "workspace_roles": [{k: v for k, v in ROLE.items() if v is not None}],
    "workspace_permissions": [{"id": 1, "name": "audit"}],
}
SPARSE = answer(200, b'{"user_name": "ada"}')

RESPONSES = [
    *(
        Case(f"a response: {folder}{name}", f"/{folder}profile/{name}", user=FULL)
        for folder in ("", "behind/")
        for name in ("whole", "none", "exclude", "include", "list", "wrapped", "any")
    ),
    Case("a response of a sparse profile", "/profile/whole", user=SPARSE),
    Case(
        "a response without what is unset",
        "/profile/unset",
        user=FULL,
        difference=differs("`response_model_exclude_unset` omits", body=SET),
    ),
    Case(
        "a response without what is unset, of a sparse profile",
        "/profile/unset",
        user=SPARSE,
        difference=differs(
            "`response_model_exclude_unset` omits",
            body={"is_authenticated": True, "user_name": "ada"},
        ),
    ),
    Case(
        "an object called extra",
        "/profile/whole",
        user=profile(extra={"a": 1}, b=2),
        difference=differs(
            "a profile's field called `extra`",
            body=PROFILE | {"extra": {"extra": {"a": 1}, "b": 2}},
        ),
    ),
    Case(
        "a dict instead of a user",
        "/profile/dict",
        difference=differs("a route `-> User`", status=500, body="Internal Server Error"),
    ),
    Case(
        "a user in the body",
        "/body",
        method="POST",
        headers=("Content-Type: application/json",),
        body=b'{"user_name": "root"}',
        difference=differs(
            "a route with `user: User` and no `Depends`",
            status=422,
            body={
                "detail": [
                    {
                        "type": "missing",
                        "loc": ["query", "user"],
                        "msg": "Field required",
                        "input": None,
                    }
                ]
            },
        ),
    ),
    Case(
        "scopes",
        "/scopes",
        difference=differs(
            "`Security(get_current_user", status=500, body="Internal Server Error", calls=()
        ),
    ),
    Case(
        "the security of a route in OpenAPI",
        "/openapi",
        headers=(),
        difference=differs(
            "OpenAPI: routes with a dependency", body=[{"OxaigenBearer": []}, {"OxaigenCookie": []}]
        ),
    ),
    *(
        Case(f"{name} in a route", f"/raise/{name}", headers=())
        for name in (
            "OxaigenAuthUnauthenticatedError",
            "OxaigenAuthPermissionDeniedError",
            "OxaigenAuthUpstreamError",
        )
    ),
]
OVERRIDE = "an override of `get_current_user` also applies"
OVERRIDES = [
    Case("an override", "/overridden/me", headers=()),
    Case("an override and the optional user", "/overridden/maybe", headers=()),
    Case(
        "an override and a permission",
        "/overridden/audit",
        difference=differs(
            OVERRIDE,
            calls=("GET /_oxa_auth/get-me", "POST /_oxa_auth/test-app-permission/audit"),
        ),
    ),
    Case(
        "an override and a permission without a token",
        "/overridden/audit",
        headers=(),
        difference=differs(OVERRIDE, challenge="Bearer"),
    ),
]


def value(row: str, it: Any) -> Any:
    return differs(row, body={"value": it})


def raises(row: str, error: str, **more: Any) -> Any:
    return differs(row, body={"raises": error}, **more)


DICT = "`user.dict()`, `user.json()`"
VALIDATE = "`User.model_validate(data)`"
COPY = "`user.model_copy("
KEYWORD = "`user.has_role(role_name=…)`"
WRONG = '`User(id="7")` becomes 7'
PROBES: dict[str, Any] = {
    "model_dump-exclude-unset": value("`model_dump(exclude_unset=True)` omits", SET),
    "dict-of-user": value(
        "`dict(user)` contains models",
        [
            *("bool", "int", "str", "str", "str", "bool", "str", "NoneType"),
            "dict",
            "list",
            "list",
            "dict",
        ],
    ),
    "dict-method": raises(DICT, "AttributeError"),
    "json-method": raises(DICT, "AttributeError"),
    "model_copy": raises(COPY, "AttributeError"),
    "copy-method": raises(COPY, "AttributeError"),
    "model_validate": raises(VALIDATE, "AttributeError"),
    "parse_obj": raises(VALIDATE, "AttributeError"),
    "nested-dicts": raises(VALIDATE, "TypeError"),
    "model_validate_json": raises("`User.model_validate_json(text)`", "AttributeError"),
    "model_construct": raises("`User.model_construct(…)`", "AttributeError"),
    "model_fields": raises("`isinstance(user, BaseModel)`", "AttributeError"),
    "is-base-model": value("`isinstance(user, BaseModel)`", it=False),
    "unknown-argument": raises('`User(department="R&D")`', "TypeError"),
    "coerced-argument": raises(WRONG, "TypeError"),
    "wrong-argument": raises(WRONG, "TypeError"),
    "incomplete-workspace": value("`UserWorkspace`, roles and permissions require", None),
    "assign": raises("`user.email = …`", "FrozenInstanceError"),
    "append": value("`user.workspace_roles.append(…)`", 1),
    "role-unknown-attribute": raises("unknown fields of a role", "AttributeError"),
    "hash": value("`hash(user)` raises", it=True),
    "has_role-keyword": raises(KEYWORD, "TypeError"),
    "has_permission-keyword": raises(KEYWORD, "TypeError"),
    "read-user": raises("a pydantic model with a field of type `User`", "ValidationError"),
    "static-get_me": raises(
        "`await ProxyAuthClient.get_me(", "TypeError", calls=("GET /_oxa_auth/get-me",)
    ),
    "test_permission": differs(
        "`test_permission` makes one call",
        calls=(*("GET /_oxa_auth/get-me",) * 2, "POST /_oxa_auth/test-app-permission/audit"),
    ),
    "permission-path": raises(
        "`permission_name` is inserted", "ValueError", calls=("GET /_oxa_auth/get-me",)
    ),
    "ftp-url": raises("an invalid `proxy_base_url`", "ValueError"),
    "setting-of-class": raises("`OxaigenAuthSettings.CACHE_TTL_SECONDS` is read", "AttributeError"),
    "assign-setting": raises("`OxaigenAuthSettings.PROXY_URL_OVERRIDE = …`", "AttributeError"),
    "same-dependency": value('`require_permission("audit")` is a new function', it=True),
    "dependency-name": raises("functions: `get_current_user.__name__`", "AttributeError"),
}
SAME = (
    *(f"model_dump{it}" for it in ("", "-json-mode", "-exclude", "-exclude-nested", "-include")),
    *(f"model_dump-{it}" for it in ("exclude-none", "exclude-defaults", "by-alias", "role")),
    *("model_dump-unknown-option", "model_dump_json", "model_dump_json-indent"),
    *("model_dump_json-workspace", "type-adapter", "names", "plain-user", "extra"),
    *("role-attributes", "equal", "pickle", "has_role", "has_permission", "is_anonymous"),
    *("get_me", "bad-permission-name", "no-permission-name", "error-message", "error-text"),
)
CODE = [
    Case(f"code: {name}", f"/probe/{name}", user=FULL, difference=PROBES.get(name))
    for name in (*SAME, *PROBES)
]
