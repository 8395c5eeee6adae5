import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oxaigen_auth_mock import MockSettings, Persona
from oxaigen_auth_mock.personas.model import profile_of

PROFILE = [
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
]


def path_of_the_only_mistake(**fields: Any) -> tuple[str | int, ...]:
    with pytest.raises(ValidationError) as caught:
        Persona(**fields)
    (mistake,) = caught.value.errors()
    return mistake["loc"]


def test_missing_fields_are_derived_from_the_name() -> None:
    persona = Persona(name="ada")
    assert persona.token == "mock-ada-token"
    assert (persona.user_name, persona.email) == ("ada", "ada@localhost")
    assert persona.id == Persona(name="ada").id != Persona(name="bob").id


def test_blanks_around_a_name_are_not_part_of_it() -> None:
    assert Persona(name=" ada\r\n") == Persona(name="ada")


def test_given_fields_are_not_derived() -> None:
    persona = Persona(name="ada", token="t", id=None, user_name="lovelace", email=None)
    profile = profile_of(persona, MockSettings())
    assert persona.token == "t"
    assert (profile["id"], profile["user_name"], profile["email"]) == (None, "lovelace", None)


def test_a_profile_has_the_documented_keys_in_order_and_then_the_extra_ones() -> None:
    persona = Persona(name="ada", extra={"department": {"floor": 3}})
    profile = profile_of(persona, MockSettings())
    assert list(profile) == [*PROFILE, "department"]
    assert profile["department"] == {"floor": 3}


@pytest.mark.parametrize("permission", ["audit", "AUDIT", "Audit"])
def test_a_permission_compares_without_case(permission: str) -> None:
    persona = Persona(name="p", permissions=("auDit",))
    assert persona.has_permission(permission)
    assert not persona.has_permission("other")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\nb"),
        ("name", "deny"),
        ("name", "x" * 101),
        ("token", "two words"),
        ("token", ""),
        ("state", "sleepy"),
        ("delay", -1),
        ("delay", float("nan")),
        ("id", 0),
        ("id", 2**31),
        ("email", "a\x00b"),
        ("extra", {"email": "a@b"}),
        ("extra", {"x": float("nan")}),
        ("extra", {"x": ["\ud800"]}),
        ("surname", "Lovelace"),
    ],
)
def test_a_mistake_is_named_by_its_path(field: str, value: object) -> None:
    assert path_of_the_only_mistake(**{"name": "ada", field: value})[0] == field


def test_a_mistake_in_a_list_is_named_by_its_place() -> None:
    path = path_of_the_only_mistake(name="ada", permissions=["audit", "not a name"])
    assert path == ("permissions", 1)


def test_a_name_of_any_letters_can_be_in_a_token() -> None:
    assert Persona(name="Zoë <b>/").token == "mock-Zo%C3%AB%20%3Cb%3E%2F-token"


def test_a_persona_without_a_name_has_no_other_error() -> None:
    assert path_of_the_only_mistake(token="t") == ("name",)


def test_a_value_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValidationError):
        Persona.model_validate(["ada"])


@given(st.builds(Persona, name=st.sampled_from(["ada", "bob"]), roles=st.lists(st.just("x"))))
def test_a_persona_survives_json(persona: Persona) -> None:
    assert Persona.model_validate_json(persona.model_dump_json()) == persona
    assert Persona.model_validate(json.loads(persona.model_dump_json())) == persona
