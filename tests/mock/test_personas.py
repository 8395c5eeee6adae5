import json

import pytest

from oxaigen_auth_mock import MockSettings, Persona
from oxaigen_auth_mock.personas import personas_of

LEVELS = [
    ("guest", "external", ["workspacebasicaccess"]),
    ("user", "internal", ["workspacebasicaccess", "workspacedatasourceintegration"]),
    (
        "admin",
        "internal",
        ["workspacebasicaccess", "workspacedatasourceintegration", "workspaceownership"],
    ),
]


def test_the_default_profile_is_the_wires_with_its_keys_in_order() -> None:
    profile = personas_of(MockSettings(role_names=("owner",)))["mock-dev-token"].profile_json
    assert profile.decode() == (
        '{"is_authenticated":true,"id":1,"user_name":"devuser","email":"dev@localhost",'
        '"account_type":"internal","enabled":true,"first_name":"Dev","last_name":"User",'
        '"user_workspace":{"id":"00000000-0000-0000-0000-000000000001","name":"Dev Workspace"},'
        '"workspace_roles":[{"id":1,"name":"owner","description":null}],'
        '"workspace_permissions":[{"id":1,"name":"audit","description":null}]}'
    )


def test_every_setting_of_the_user_shows_in_the_profile() -> None:
    settings = MockSettings(
        user_id=7,
        user_name="zoe",
        email="zoë@example.com",
        first_name="Zoë",
        last_name="Berg",
        account_type="external",
        workspace_id="w-1",
        workspace_name="Lab",
        role_names=("owner", "analyst"),
        permissions=("Zeta", "alpha"),
    )
    assert json.loads(personas_of(settings)["mock-dev-token"].profile_json) == {
        "is_authenticated": True,
        "id": 7,
        "user_name": "zoe",
        "email": "zoë@example.com",
        "account_type": "external",
        "enabled": True,
        "first_name": "Zoë",
        "last_name": "Berg",
        "user_workspace": {"id": "w-1", "name": "Lab"},
        "workspace_roles": [
            {"id": 1, "name": "owner", "description": None},
            {"id": 2, "name": "analyst", "description": None},
        ],
        "workspace_permissions": [
            {"id": 1, "name": "alpha", "description": None},
            {"id": 2, "name": "zeta", "description": None},
        ],
    }


def test_permissions_that_differ_only_in_case_are_reported_once() -> None:
    persona = personas_of(MockSettings(permissions=("Audit", "AUDIT")))["mock-dev-token"]
    assert persona.profile["workspace_permissions"] == [
        {"id": 1, "name": "audit", "description": None}
    ]


@pytest.mark.parametrize(("name", "account_type", "permissions"), LEVELS)
def test_a_built_in_persona_has_its_account_type_and_permissions(
    name: str, account_type: str, permissions: list[str]
) -> None:
    persona = personas_of(MockSettings())[f"mock-{name}-token"]
    profile = json.loads(persona.profile_json)
    assert persona.name == profile["user_name"] == name
    assert profile["account_type"] == account_type
    assert [each["name"] for each in profile["workspace_permissions"]] == permissions
    assert persona.permissions == set(permissions)


def test_no_two_personas_share_an_id_or_an_address() -> None:
    profiles = [persona.profile for persona in personas_of(MockSettings()).values()]
    assert len({profile["id"] for profile in profiles}) == 4
    assert len({profile["email"] for profile in profiles}) == 4


def test_every_listed_token_and_the_access_token_are_the_users() -> None:
    settings = MockSettings(tokens=("one", "two"), access_token_value="three")
    personas = personas_of(settings)
    users = [token for token, persona in personas.items() if persona.name == "devuser"]
    assert users == ["one", "two", "three"]
    assert "mock-dev-token" not in personas


def test_a_built_in_token_that_the_settings_name_is_the_users() -> None:
    personas = personas_of(MockSettings(tokens=("mock-admin-token",)))
    assert personas["mock-admin-token"].name == "devuser"


def test_a_persona_answers_with_its_profile_word_for_word() -> None:
    persona = Persona(name="odd", token="t", profile={"id": None, "extra": [1]}, permissions=())
    assert persona.profile_json == b'{"id":null,"extra":[1]}'


@pytest.mark.parametrize("permission", ["audit", "AUDIT", "Audit"])
def test_a_permission_compares_without_case(permission: str) -> None:
    persona = Persona(name="p", token="t", profile={}, permissions=("auDit",))
    assert persona.may(permission)
    assert not persona.may("other")
