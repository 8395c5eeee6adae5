from __future__ import annotations

import gc
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole
from oxaigen_auth._models import structuring
from oxaigen_auth._upstream import profile as profile_module
from oxaigen_auth._upstream.json_body import MAX_DEPTH, WireError, parse_json
from oxaigen_auth._upstream.profile import parse_user, structure_user
from tests.unit.oxaigen_auth.test_models import FIELDS

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
    assert parse({"id": 1}) == User(id=1)
    assert parse({"id": 1, "user_workspace": {}}) == User(id=1, user_workspace=UserWorkspace())
    assert parse({"id": 1, "workspace_roles": [{}]}) == User(
        id=1, workspace_roles=[WorkspaceRole()]
    )


def test_a_null_field_has_its_default_and_a_null_list_is_empty() -> None:
    assert parse(dict.fromkeys(DOCUMENTED) | {"id": 1}) == User(id=1)
    nulls = {"id": None, "name": None, "description": None}
    assert parse({"id": 1, "workspace_permissions": [nulls]}) == User(
        id=1, workspace_permissions=[WorkspacePermission()]
    )


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"detail": "Not authenticated"},
        {"status": "ok", "user": {"id": 1}, "extra": {"id": 1}, "_extra": 1},
        {"ID": 1, "username": "ada", "is_authenticated ": True},
        dict.fromkeys(DOCUMENTED),
        {"is_authenticated": None, "detail": "x"},
        {"user_name": "", "email": "", "account_type": "", "first_name": "", "last_name": ""},
        {"user_workspace": {}},
        {"user_workspace": {"id": None, "name": ""}},
        {"user_workspace": {"plan": "gold", "description": "x"}},
        {"workspace_roles": [], "workspace_permissions": []},
        {"workspace_roles": [{}, {"id": None, "name": "", "description": ""}]},
        {"workspace_permissions": [{"by": "eve"}]},
    ],
    ids=str,
)
def test_pitfall_49_an_object_that_says_nothing_of_anybody_is_no_profile(profile: object) -> None:
    assert fault(profile) == "none of the documented fields has a value @ profile"


@pytest.mark.parametrize(
    "profile",
    [
        {"is_authenticated": True},
        {"is_authenticated": False},
        {"id": 0},
        {"id": "0"},
        {"enabled": False},
        {"email": "a"},
        {"user_workspace": {"id": "w"}},
        {"user_workspace": {"name": "W"}},
        {"workspace_roles": [{}, {"id": 0}]},
        {"workspace_roles": [{"name": "owner"}]},
        {"workspace_permissions": [{"description": "x"}]},
    ],
    ids=str,
)
def test_one_documented_value_is_enough_for_a_profile(profile: dict[str, Any]) -> None:
    expected = profile.get("is_authenticated", True)
    assert parse(profile).is_authenticated is expected
    assert parse(dict.fromkeys(DOCUMENTED) | {"detail": "x"} | profile).extra == {"detail": "x"}


def test_a_profile_can_be_unauthenticated() -> None:
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
def test_other_values_are_no_integers(value: object) -> None:
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


def test_an_error_names_the_path_and_neither_a_value_nor_an_unknown_key() -> None:
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
        b'\xef\xbb\xbf\xef\xbb\xbf{"x": 1}',
        b'{"x": "\xe9"}',
        b'{"x": "\n"}',
        b'{"x": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        '{"x": 1}'.encode("utf-16") + b"\0",
        '{"x": "\\ud800"}'.encode("utf-16"),
        '{"x": "\ud800"}'.encode("utf-16-le", "surrogatepass"),
        '{"x": NaN}'.encode("utf-32"),
        b'{"x": "a\0b"}',
        b"\0" * 8,
        "[".encode("utf-16") * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_cannot_be_encoded_again_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match=r"^the body is not valid JSON$"):
        parse_user(body)


UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("charset", ["", "utf-8", "utf-16", "iso-8859-1", "rot13", "x" * 1000])
def test_every_unicode_encoding_is_detected_by_its_first_bytes(encoding: str, charset: str) -> None:
    profile = {"id": 7, "user_name": "zoë", "x": "\U0001f600"}
    body = json.dumps(profile, ensure_ascii=False).encode(encoding)
    assert parse_user(body, charset) == User(id=7, user_name="zoë", extra={"x": "\U0001f600"})
    assert parse_json("true".encode(encoding), charset) is True


def test_a_body_that_is_not_unicode_is_read_in_the_declared_charset() -> None:
    body = '{"user_name": "zoë €"}'.encode("cp1252")
    assert parse_user(body, "windows-1252").user_name == "zoë €"
    assert parse_user(body, "iso-8859-1").user_name == "zoë \x80"
    for charset in ("", "utf-8", "us-ascii", "utf-16", "utf-7", "idna", "unknown"):
        with pytest.raises(WireError, match=r"^the body is not valid JSON$"):
            parse_user(body, charset)
    with pytest.raises(WireError, match=r"^the body is not valid JSON$"):
        parse_user(b'{"user_name": "\x81"}', "windows-1252")


def nested(depth: int) -> bytes:
    return b'{"id":1,"x":' + b'{"x":' * (depth - 2) + b"[]" + b"}" * (depth - 1)


def test_a_body_may_be_nested_to_the_limit_and_no_deeper() -> None:
    assert parse_user(nested(MAX_DEPTH)).extra
    for depth in (MAX_DEPTH + 1, 500):
        for encoding in ("utf-8", "utf-16"):
            with pytest.raises(WireError, match=f"more than {MAX_DEPTH} levels"):
                parse_user(nested(depth).decode().encode(encoding))


def test_a_wide_body_is_not_a_deep_one() -> None:
    wide = {"x": [[{"y": []}]] * 100, "z": [{}] * 100}
    assert parse(wide | {"id": 1}).extra == wide


def test_escaped_characters_that_are_whole_are_kept() -> None:
    assert parse_user(b'{"email": "\\ud83d\\ude00 \\u00e9"}').email == "\U0001f600 é"


def test_json_that_is_not_an_object_can_be_read() -> None:
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
def test_any_object_becomes_a_user_that_can_be_encoded_or_is_refused(profile: Any) -> None:
    check(json.dumps(profile).encode())


@given(profiles)
def test_any_unescaped_object_becomes_a_user_that_can_be_encoded_or_is_refused(
    profile: Any,
) -> None:
    check(json.dumps(profile, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.binary())
def test_any_bytes_become_a_user_that_can_be_encoded_or_are_refused(body: bytes) -> None:
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
def test_the_fast_path_reads_a_profile_as_the_converter_does(profile: Any) -> None:
    for _ in range(2):  # the second time, its entries are known
        assert outcome(structure_user, profile) == outcome(
            profile_module.structure_lenient, profile
        )


def test_equal_entries_of_several_users_are_shared() -> None:
    first, second = parse(DOCUMENTED), parse(DOCUMENTED | {"id": 2})
    assert first.workspace_roles[0] is second.workspace_roles[0]
    assert first.user_workspace is second.user_workspace
    assert first._workspace_permissions is second._workspace_permissions  # noqa: SLF001
    assert first.account_type is second.account_type


@pytest.mark.parametrize("number", [True, 1.0])
def test_a_value_that_equals_a_shared_number_is_still_checked(number: object) -> None:
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


def shared_bytes() -> int:
    """Return what is held in the memory that profiles share, and in nothing else."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for cache in (profile_module._cached_nested, structuring.first, profile_module._types_match):  # noqa: SLF001
        cache.cache_clear()
    gc.collect()
    return before - tracemalloc.get_traced_memory()[0]


def role(number: int, size: int) -> dict[str, Any]:
    return {"id": number, "name": f"{number}" + "x" * size, "description": "\U0001f600"}


HOSTILE: list[Callable[[int], dict[str, Any]]] = [
    lambda number: {"workspace_roles": [role(number, 200_000)]},
    lambda number: {"workspace_roles": [role(number, 180)]},
    lambda number: {"workspace_roles": [role(number * 9 + more, 0) for more in range(9)]},
    lambda number: {"user_workspace": {"id": f"{number}" + "\U0001f600" * 50, "name": "a" * 1500}},
    lambda number: {"workspace_roles": [{"id": 10**4000 + number, "name": "", "description": ""}]},
    lambda number: {"account_type": f"{number}" * 1000},
    lambda number: {"account_type": f"{number}" + "\U0001f600" * 40, "x": "y" * 100_000},
    lambda number: {"workspace_permissions": [{"id": number, "x": ["y"] * 200}] * 2},
    lambda number: {"workspace_roles": [{"name": f"{number}"}, {"id": f"{number}"}, {}] * 5},
]


@pytest.mark.parametrize("draw", HOSTILE)
def test_pitfall_50_what_profiles_share_is_bounded_in_bytes(
    draw: Callable[[int], dict[str, Any]],
) -> None:
    tracemalloc.start()
    try:
        shared_bytes()
        for number in range(300):
            structure_user(DOCUMENTED | draw(number))
        assert shared_bytes() < 5 * 2**20
    finally:
        tracemalloc.stop()


def test_pitfall_50_a_long_entry_is_not_shared_and_is_read_all_the_same() -> None:
    long: dict[str, Any] = {"id": 1, "name": "owner" * profile_module.MAX_KEY, "description": None}
    first, second = (parse(DOCUMENTED | {"workspace_roles": [long]}) for _ in range(2))
    assert first.workspace_roles == second.workspace_roles == [WorkspaceRole(1, long["name"])]
    assert first.workspace_roles[0] is not second.workspace_roles[0]
    kind = "internal" * structuring.MAX_SHORT
    assert parse(DOCUMENTED | {"account_type": kind}).account_type == kind


def test_reading_stops_at_the_first_faulty_entry() -> None:
    entries: list[object] = [{}, {"id": "x"}, *[0] * 50_000]
    with pytest.raises(WireError, match=r"integer @ profile\.workspace_roles\[1\]\.id$"):
        structure_user({"workspace_roles": entries})
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            structure_user({"workspace_roles": entries, "workspace_permissions": entries})
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@given(st.dictionaries(st.text().filter(lambda name: name not in DOCUMENTED), storable))
def test_unknown_fields_come_out_as_they_went_in(profile: dict[str, Any]) -> None:
    assert parse({"id": 1} | profile).extra == profile
    workspace = {"id": "w", "more": profile}
    assert parse({"user_workspace": workspace}).user_workspace == UserWorkspace(
        "w", extra={"more": profile}
    )
