from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole, _wire
from oxaigen_auth._wire import MAX_DEPTH, WireError, parse_json, parse_user, structure_user
from tests.test_models import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable


def parse(profile: object) -> User:
    return parse_user(json.dumps(profile).encode())


def fault(profile: object) -> str:
    with pytest.raises(WireError) as caught:
        parse(profile)
    return str(caught.value)


DOCUMENTED = {
    "is_authenticated": True,
    "id": 1,
    "user_name": "devuser",
    "email": "dev@localhost",
    "account_type": "internal",
    "enabled": True,
    "first_name": "Dev",
    "last_name": "User",
    "user_workspace": {"id": "0-1", "name": "Dev Workspace"},
    "workspace_roles": [{"id": 1, "name": "owner", "description": None}],
    "workspace_permissions": [{"id": 1, "name": "audit", "description": "May look"}],
}


def test_the_documented_profile_becomes_a_user() -> None:
    assert parse(DOCUMENTED) == User(
        id=1,
        user_name="devuser",
        email="dev@localhost",
        account_type="internal",
        enabled=True,
        first_name="Dev",
        last_name="User",
        user_workspace=UserWorkspace("0-1", "Dev Workspace"),
        workspace_roles=[WorkspaceRole(1, "owner")],
        workspace_permissions=[WorkspacePermission(1, "audit", "May look")],
    )


def test_missing_fields_have_their_defaults() -> None:
    assert parse({}) == User()
    assert parse({"user_workspace": {}}) == User(user_workspace=UserWorkspace())
    assert parse({"workspace_roles": [{}]}) == User(workspace_roles=[WorkspaceRole()])


def test_a_null_field_has_its_default_and_a_null_list_is_empty() -> None:
    assert parse(dict.fromkeys(DOCUMENTED)) == User()
    nulls = {"id": None, "name": None, "description": None}
    assert parse({"workspace_permissions": [nulls]}) == User(
        workspace_permissions=[WorkspacePermission()]
    )


def test_a_profile_can_say_that_nobody_is_signed_in() -> None:
    assert parse({"is_authenticated": False}).is_anonymous


def test_unknown_fields_of_every_object_are_kept() -> None:
    user = parse(
        {
            "theme": {"dark": [None, 1.5]},
            "extra": {"mine": 1},
            "_extra": 2,
            "user_workspace": {"plan": "gold", "extra": 1, "_extra": 2, "description": None},
            "workspace_roles": [{"name": "owner", "since": 2024}],
            "workspace_permissions": [{"by": {"who": "eve"}}],
        }
    )
    assert user.extra == {"theme": {"dark": [None, 1.5]}, "extra": {"mine": 1}, "_extra": 2}
    assert user.user_workspace is not None
    assert user.user_workspace.extra == {
        "plan": "gold",
        "extra": 1,
        "_extra": 2,
        "description": None,
    }
    assert user.workspace_roles == [WorkspaceRole(name="owner", extra={"since": 2024})]
    assert user.workspace_permissions == [WorkspacePermission(extra={"by": {"who": "eve"}})]


@pytest.mark.parametrize("text", ["0", "7", "007", "12345678901234567890"])
def test_a_string_of_digits_is_an_integer(text: str) -> None:
    assert parse({"id": text}).id == int(text)
    assert parse({"workspace_roles": [{"id": text}]}).workspace_roles[0].id == int(text)


@pytest.mark.parametrize(
    "value",
    ["", " 7", "-7", "7.0", "\u0667", "²", "seven", 7.0, True, [], {}, "1_0", "+1", "9" * 5000],
)
def test_anything_else_is_no_integer(value: object) -> None:
    assert fault({"id": value}) == "expected an integer @ profile.id"


@pytest.mark.parametrize("value", ["false", "true", 0, 1, [], {}, 1.0])
def test_only_true_and_false_are_booleans(value: object) -> None:
    assert fault({"is_authenticated": value}) == "expected a boolean @ profile.is_authenticated"
    assert fault({"enabled": value}) == "expected a boolean @ profile.enabled"


@pytest.mark.parametrize("value", [0, True, 1.5, ["a"], {"a": 1}])
def test_only_a_string_is_a_string(value: object) -> None:
    assert fault({"email": value}) == "expected a string @ profile.email"
    assert fault({"user_workspace": {"id": value}}) == (
        "expected a string @ profile.user_workspace.id"
    )


@pytest.mark.parametrize("value", ["owner", "", {}, {"name": "owner"}, 0, False, 1.5])
def test_only_a_list_is_a_list(value: object) -> None:
    assert fault({"workspace_roles": value}) == "expected a list @ profile.workspace_roles"


@pytest.mark.parametrize("value", ["owner", [], [["id", 1]], 1, None])
def test_only_an_object_is_a_role(value: object) -> None:
    assert fault({"workspace_roles": [{}, value]}) == (
        "expected an object @ profile.workspace_roles[1]"
    )


@pytest.mark.parametrize("value", ["w", [], 1, False])
def test_only_an_object_is_a_workspace(value: object) -> None:
    assert fault({"user_workspace": value}) == "expected an object @ profile.user_workspace"


@pytest.mark.parametrize("value", [None, [], "x", 1, True, [["id", 1]]])
def test_only_an_object_is_a_profile(value: object) -> None:
    assert fault(value) == "expected an object @ profile"


def test_a_fault_names_the_place_and_neither_value_nor_unknown_key() -> None:
    profile = {"hush": 1, "workspace_permissions": [{"name": "a"}, {"hush": 2, "name": ["hush"]}]}
    assert fault(profile) == "expected a string @ profile.workspace_permissions[1].name"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b"{} {}",
        b"{'id': 1}",
        b'{"x": NaN}',
        b'{"x": Infinity}',
        b'{"x": -Infinity}',
        b'{"x": 1e999}',
        b'{"x": -1e999}',
        b'{"x": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"x": "\xff"}',
        b'{"x": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"x": 1}',
        b'{"x": "\n"}',
        b'{"x": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        '{"x": 1}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_could_not_be_answered_with_again_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match=r"^the body is not valid JSON$"):
        parse_user(body)


def nested(depth: int) -> bytes:
    return b'{"x":' * (depth - 1) + b"[]" + b"}" * (depth - 1)


def test_a_body_may_be_nested_to_the_limit_and_no_deeper() -> None:
    assert parse_user(nested(MAX_DEPTH)).extra
    for depth in (MAX_DEPTH + 1, 500):
        with pytest.raises(WireError, match=f"more than {MAX_DEPTH} levels"):
            parse_user(nested(depth))


def test_a_wide_body_is_not_a_deep_one() -> None:
    wide = {"x": [[{"y": []}]] * 100, "z": [{}] * 100}
    assert parse(wide).extra == wide


def test_escaped_characters_that_are_whole_are_kept() -> None:
    assert parse_user(b'{"email": "\\ud83d\\ude00 \\u00e9"}').email == "\U0001f600 é"


def test_json_that_is_no_object_can_be_read_too() -> None:
    assert parse_json(b"true") is True
    assert parse_json(b" [1, 2.5, null] ") == [1, 2.5, None]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_ID = st.integers() | st.from_regex(r"\A[0-9]{1,6}\Z") | anything
entry = st.fixed_dictionaries(
    {}, optional={"id": _ID, "name": anything, "description": anything, "more": anything}
)
complete_entry = st.fixed_dictionaries(
    {"id": st.integers(0, 2) | _ID, "name": st.text(), "description": st.none() | st.text()},
    optional={"more": anything},
)
profiles = st.fixed_dictionaries(
    {},
    optional={
        "is_authenticated": st.booleans() | anything,
        "id": _ID,
        "user_name": st.text() | anything,
        "email": st.none() | anything,
        "enabled": st.booleans() | anything,
        "user_workspace": entry | anything,
        "workspace_roles": st.lists(entry, max_size=2) | anything,
        "workspace_permissions": st.lists(entry | anything, max_size=2),
        "more": anything,
        "extra": anything,
    },
) | st.dictionaries(st.text(max_size=8), anything)


def check(body: bytes) -> None:
    """Assert that a body becomes a user that can be answered with, or is refused."""
    try:
        user = parse_user(body)
    except WireError as error:
        assert str(error)  # noqa: PT017 (both outcomes are right)
        return
    written = json.loads(bytes(JSONResponse(dict(user)).body))
    assert list(written) == FIELDS


@given(profiles)
def test_any_object_gives_a_user_that_can_be_answered_with_or_is_refused(profile: Any) -> None:
    check(json.dumps(profile).encode())


@given(profiles)
def test_so_does_any_object_that_is_not_escaped(profile: Any) -> None:
    check(json.dumps(profile, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.binary())
def test_so_do_any_bytes(body: bytes) -> None:
    check(body)


known = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
storable = st.recursive(
    known | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


_COMPLETE = st.fixed_dictionaries(
    {
        "is_authenticated": st.booleans() | anything,
        "id": _ID,
        **dict.fromkeys(["user_name", "email", "account_type"], st.none() | st.text()),
        "enabled": st.booleans() | st.none() | anything,
        **dict.fromkeys(["first_name", "last_name"], st.none() | st.text() | anything),
        "user_workspace": st.fixed_dictionaries({"id": st.text(), "name": st.text() | anything}),
        "workspace_roles": st.lists(complete_entry | entry, max_size=2) | st.none(),
        "workspace_permissions": st.lists(complete_entry, max_size=2) | anything,
    },
    optional={"more": anything, "extra": anything},
)


def outcome(structure: Callable[[object], User], profile: object) -> User | str:
    try:
        return structure(profile)
    except WireError as error:
        return str(error)


@given(_COMPLETE)
def test_a_profile_that_is_read_as_it_stands_is_read_as_with_care(profile: Any) -> None:
    for _ in range(2):  # the second time, its entries are known
        assert outcome(structure_user, profile) == outcome(_wire.with_care, profile)


def test_an_entry_is_shared_by_the_users_who_have_it() -> None:
    first, second = parse(DOCUMENTED), parse(DOCUMENTED | {"id": 2})
    assert first.workspace_roles[0] is second.workspace_roles[0]
    assert first.user_workspace is second.user_workspace
    assert first._workspace_permissions is second._workspace_permissions  # noqa: SLF001
    assert first.account_type is second.account_type


@pytest.mark.parametrize("number", [True, 1.0])
def test_what_is_equal_to_a_number_does_not_pass_for_one_that_is_known(number: object) -> None:
    parse(DOCUMENTED)
    role = {"id": number, "name": "owner", "description": None}
    assert fault(DOCUMENTED | {"workspace_roles": [role]}) == (
        "expected an integer @ profile.workspace_roles[0].id"
    )


def test_entries_with_unknown_fields_are_not_confused_with_those_without() -> None:
    role = {"id": 1, "name": "owner", "description": None}
    for since in ({}, {"since": 2024}, {"since": 2025}, {}):
        user = parse(DOCUMENTED | {"workspace_roles": [role | since]})
        assert user.workspace_roles == [WorkspaceRole(1, "owner", extra=since)]


@pytest.mark.parametrize("value", ["owner", {}, 0, False])
def test_a_complete_profile_may_have_no_list_of_another_type(value: object) -> None:
    assert fault(DOCUMENTED | {"workspace_roles": value}) == (
        "expected a list @ profile.workspace_roles"
    )
    nothing = dict.fromkeys(["user_workspace", "workspace_roles"])
    user = parse(DOCUMENTED | nothing | {"more": value})
    assert (user.user_workspace, user.workspace_roles) == (None, [])
    assert user.extra == {"more": value}


def test_only_so_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire._memo, "max_entries", 2)  # noqa: SLF001
    for number in range(5):
        role = {"id": number, "name": "owner", "description": None}
        assert parse(DOCUMENTED | {"workspace_roles": [role]}).workspace_roles[0].id == number
        assert 0 < len(_wire._memo) <= 2  # noqa: SLF001
    before = len(_wire._memo)  # noqa: SLF001
    long = {"id": 1, "name": "owner" * _wire.MAX_KEY, "description": None}
    assert parse(DOCUMENTED | {"workspace_roles": [long]}).workspace_roles[0].name == long["name"]
    assert len(_wire._memo) == before  # noqa: SLF001


@given(st.dictionaries(st.text().filter(lambda name: name not in DOCUMENTED), storable))
def test_fields_that_are_unknown_come_out_as_they_went_in(profile: dict[str, Any]) -> None:
    assert parse(profile).extra == profile
    assert parse({"user_workspace": {"more": profile}}).user_workspace == UserWorkspace(
        extra={"more": profile}
    )
