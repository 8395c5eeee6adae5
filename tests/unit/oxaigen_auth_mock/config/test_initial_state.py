from pathlib import Path

import pytest

from oxaigen_auth_mock import MockConfigurationError, MockSettings, Persona, create_app
from oxaigen_auth_mock.personas.store import NameTakenError, TokenTakenError

PEOPLE = """
[[personas]]
name = "ada"
[[personas]]
name = "guest"
token = "other"
"""
FAULTS = """
[[faults]]
kind = "hang"
[[faults]]
kind = "html"
endpoint = "get-me"
"""


@pytest.fixture
def people(tmp_path: Path) -> str:
    path = tmp_path / "people.toml"
    path.write_text(PEOPLE)
    return str(path)


def problems(settings: MockSettings) -> tuple[str, ...]:
    with pytest.raises(MockConfigurationError) as caught:
        create_app(settings)
    return caught.value.problems


def test_a_persona_file_adds_to_the_built_in_ones_and_may_replace_one(people: str) -> None:
    store = create_app(MockSettings(personas=people)).mock_state.personas
    assert [each.name for each in store] == ["devuser", "guest", "user", "admin", "ada"]
    tokens = ("other", "mock-ada-token", "mock-guest-token")
    assert [each and each.name for each in map(store.holder, tokens)] == ["guest", "ada", None]


def test_a_persona_of_the_file_may_not_have_a_built_in_token(tmp_path: Path) -> None:
    path = tmp_path / "people.toml"
    path.write_text('[[personas]]\nname = "ada"\ntoken = "mock-dev-token"')
    (problem,) = problems(MockSettings(personas=str(path)))
    assert problem.endswith("personas[0].token is the token of 'devuser'; choose another one")


def test_the_forbidden_token_may_be_a_token_of_the_file(people: str) -> None:
    settings = MockSettings(personas=people, forbidden_token="mock-ada-token")
    holder = create_app(settings).mock_state.personas.holder("mock-ada-token")
    assert holder is not None
    assert holder.name == "forbidden"


def test_the_plan_starts_with_the_faults_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(FAULTS)
    plan = create_app(MockSettings(faults=str(path))).mock_state.faults
    assert [each["description"] for each in plan.report()] == [
        "every call: no response",
        "every get-me: HTML with status 200",
    ]


def test_the_errors_of_all_files_are_named(tmp_path: Path) -> None:
    one, other, last = (str(tmp_path / name) for name in ("one.toml", "other.json", "last.json"))
    settings = MockSettings(personas=one, faults=other, scenario=last, auto_login="whoever")
    found = problems(settings)
    assert [problem.partition(": ")[0] for problem in found] == [one, other, last]


def test_a_scenario_plays_from_the_start_but_is_no_part_of_the_initial_state(
    people: str, tmp_path: Path
) -> None:
    path = tmp_path / "outage.toml"
    path.write_text('[[steps]]\nat = 0\nfault = {kind = "hang", persona = "ada"}')
    mock = create_app(MockSettings(scenario=str(path), personas=people)).control
    report = mock.scenario()
    assert report is not None
    assert (report.name, report.status, report.steps[0].status) == ("outage", "playing", "running")
    mock.reset()
    assert (mock.scenario(), mock.state.faults.faults) == (None, [])
    ready = create_app(MockSettings(scenario="revoked-user")).control.scenario()
    assert ready is not None
    assert ready.name == "revoked-user"


@pytest.mark.parametrize("name", ["deny", "devuser", "admin", "ada", "eve"])
def test_every_persona_and_deny_are_valid_for_auto_login(people: str, name: str) -> None:
    settings = MockSettings(personas=people, auto_login=name)
    assert create_app(settings, personas=[Persona(name="eve")]).mock_state.auto_login == name


def test_an_unknown_persona_is_refused_for_auto_login() -> None:
    assert problems(MockSettings(auto_login="gest")) == (
        (
            "OXAIGEN_AUTH_MOCK_AUTO_LOGIN is 'gest'; expected one of "
            "devuser, guest, user, admin, deny; did you mean 'guest'?"
        ),
    )


def test_a_variable_that_is_invalid_in_a_persona_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "ACCESS_TOKEN_VALUE": "hu sh",
        "FORBIDDEN_TOKEN": "x" * 5000,
        "EMAIL": "a\tb",
        "USER_NAME": "deny",
        "PERMISSIONS": "audit,a b",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"OXAIGEN_AUTH_MOCK_{name}", value)
    with pytest.raises(MockConfigurationError) as caught:
        create_app()
    forbidden, token, email, name, permissions = caught.value.problems
    assert forbidden.startswith("OXAIGEN_AUTH_MOCK_FORBIDDEN_TOKEN is invalid (value not shown);")
    assert token.startswith("OXAIGEN_AUTH_MOCK_ACCESS_TOKEN_VALUE is invalid (value not shown);")
    assert email.startswith("OXAIGEN_AUTH_MOCK_EMAIL is 'a\\tb'; expected text of at most 1000 ")
    assert permissions.startswith("OXAIGEN_AUTH_MOCK_PERMISSIONS is 'audit,a b'; expected ")
    assert name == (
        "OXAIGEN_AUTH_MOCK_USER_NAME is 'deny': "
        "'deny' is reserved for refusing a sign-in; choose another name"
    )


def test_personas_in_code_may_not_share_a_token() -> None:
    with pytest.raises(TokenTakenError, match="'guest' already has the token"):
        create_app(MockSettings(), personas=[Persona(name="eve", token="mock-guest-token")])


def test_a_fault_of_an_unknown_persona_is_an_error_in_its_file(tmp_path: Path, people: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('[[faults]]\nkind = "hang"\n[[faults]]\nkind = "html"\npersona = "adda"')
    (problem,) = problems(MockSettings(faults=str(path), personas=people))
    assert problem == (
        f"{path}: faults[1].persona is 'adda', but no persona is called 'adda'; "
        "there are devuser, guest, user, admin, ada; did you mean 'ada'?"
    )
    path.write_text('[[faults]]\nkind = "html"\npersona = "ada"')
    assert (
        len(create_app(MockSettings(faults=str(path), personas=people)).mock_state.faults.faults)
        == 1
    )
    given = [Persona(name="zoe")]
    path.write_text('[[faults]]\nkind = "html"\npersona = "zoe"')
    assert create_app(MockSettings(faults=str(path)), personas=given).mock_state.faults.faults


def test_two_personas_of_one_name_are_refused() -> None:
    twins = [Persona(name="ada", token="one"), Persona(name="ada", token="two")]
    with pytest.raises(NameTakenError, match="two personas are called 'ada'"):
        create_app(MockSettings(), personas=twins)
    replaced = create_app(MockSettings(), personas=[Persona(name="guest", token="t")])
    assert replaced.control.snapshot().personas[1].token == "t"
