import json

import pytest

from oxaigen_auth_mock import MockSettings, Persona
from oxaigen_auth_mock.personas.store import PersonaStore, TokenTakenError, UnknownPersonaError

LEVELS = [
    ("guest", "external", ["workspacebasicaccess"]),
    ("user", "internal", ["workspacebasicaccess", "workspacedatasourceintegration"]),
    (
        "admin",
        "internal",
        ["workspacebasicaccess", "workspacedatasourceintegration", "workspaceownership"],
    ),
]


def holder_name(store: PersonaStore, token: str) -> str | None:
    persona = store.holder(token)
    return persona.name if persona else None


def profile(store: PersonaStore, name: str) -> str:
    persona = store.named(name)
    assert persona is not None
    return store.profile(persona).decode()


def test_the_default_profile_has_the_documented_keys_in_order() -> None:
    assert profile(PersonaStore(MockSettings(role_names=("owner",))), "devuser") == (
        '{"is_authenticated":true,"id":1,"user_name":"devuser","email":"dev@localhost",'
        '"account_type":"internal","enabled":true,"first_name":"Dev","last_name":"User",'
        '"user_workspace":{"id":"00000000-0000-0000-0000-000000000001","name":"Dev Workspace"},'
        '"workspace_roles":[{"id":1,"name":"owner","description":null}],'
        '"workspace_permissions":[{"id":1,"name":"audit","description":null}]}'
    )


def test_every_setting_of_the_user_is_in_the_profile() -> None:
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
        permissions=("Zeta", "alpha", "ALPHA"),
    )
    assert json.loads(profile(PersonaStore(settings), "zoe")) == {
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


@pytest.mark.parametrize(("name", "account_type", "permissions"), LEVELS)
def test_a_built_in_persona_has_its_account_type_and_permissions(
    name: str, account_type: str, permissions: list[str]
) -> None:
    store = PersonaStore(MockSettings())
    answer = json.loads(profile(store, name))
    assert holder_name(store, f"mock-{name}-token") == name
    assert answer["user_name"] == name
    assert answer["account_type"] == account_type
    assert [each["name"] for each in answer["workspace_permissions"]] == permissions


def test_no_two_personas_share_an_id_or_an_address() -> None:
    personas = list(PersonaStore(MockSettings()))
    assert len({persona.id for persona in personas}) == 4
    assert len({persona.email for persona in personas}) == 4


def test_the_listed_tokens_and_the_access_token_belong_to_the_user() -> None:
    store = PersonaStore(MockSettings(tokens=("one", "two"), access_token_value="three"))
    assert {holder_name(store, token) for token in ("one", "two", "three")} == {"devuser"}
    assert store.holder("mock-dev-token") is None


def test_a_built_in_token_in_the_settings_belongs_to_the_user() -> None:
    store = PersonaStore(MockSettings(tokens=("mock-admin-token",)))
    assert holder_name(store, "mock-admin-token") == "devuser"


@pytest.mark.parametrize("token", ["mock-dev-token", "mock-user-token", "keep-out"])
def test_the_forbidden_token_is_not_allowed_whichever_persona_had_it(token: str) -> None:
    forbidden = PersonaStore(MockSettings(forbidden_token=token)).holder(token)
    assert forbidden is not None
    assert (forbidden.name, forbidden.state) == ("forbidden", "not-allowed")


def test_a_user_named_like_a_built_in_persona_replaces_it() -> None:
    store = PersonaStore(MockSettings(user_name="guest"))
    assert [persona.name for persona in store] == ["guest", "user", "admin"]
    assert store.default == store.holder("mock-dev-token") == store.named("guest")


def test_putting_a_persona_again_changes_it() -> None:
    store = PersonaStore(MockSettings())
    store.put(Persona(name="ada", token="one"))
    store.put(Persona(name="ada", token="two", email=None))
    assert store.holder("one") is None
    assert holder_name(store, "two") == "ada"
    assert '"email":null' in profile(store, "ada")


def test_a_token_of_another_persona_is_refused_and_changes_nothing() -> None:
    store = PersonaStore(MockSettings())
    with pytest.raises(TokenTakenError, match="'guest' already has the token of 'ada'"):
        store.put(Persona(name="ada", token="mock-guest-token"))
    assert store.named("ada") is None
    assert holder_name(store, "mock-guest-token") == "guest"


def test_a_persona_that_is_removed_is_unknown() -> None:
    store = PersonaStore(MockSettings())
    store.remove("guest")
    assert store.holder("mock-guest-token") is None
    with pytest.raises(UnknownPersonaError, match="no persona is called 'guest'"):
        store.remove("guest")


def test_without_the_user_the_first_persona_signs_in() -> None:
    store = PersonaStore(MockSettings())
    store.remove("devuser")
    assert store.default == store.named("guest")
    assert store.holder("mock-dev-token") is None
    store.replace(())
    assert store.default is None
