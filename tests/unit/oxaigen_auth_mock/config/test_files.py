import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oxaigen_auth_mock import MockConfigurationError
from oxaigen_auth_mock.config.files import load_faults, load_personas, load_scenario
from oxaigen_auth_mock.config.json_values import require_json
from oxaigen_auth_mock.config.validation_errors import format_path
from oxaigen_auth_mock.faults.kinds import FAULT, FAULTS
from oxaigen_auth_mock.personas.model import Persona

Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file for a test; what is neither text nor bytes becomes JSON."""

    def written(name: str, content: Any) -> Path:
        path = tmp_path / name
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def problems(load: Callable[[Path], object], path: Path) -> list[str]:
    """What is wrong with a file; each problem begins with the file's name."""
    with pytest.raises(MockConfigurationError) as caught:
        load(path)
    prefix = f"{path}: "
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def test_personas_in_toml_and_json_are_the_same(write: Write) -> None:
    toml = """
        [[personas]]
        name = "ada"
        id = 7
        roles = ["owner"]
        permissions = ["audit"]
        state = "slow"
        delay = 1
        extra = {floor = 3, tags = ["a", {b = true}]}

        [[personas]]
        name = "bob"
    """
    data = {
        "personas": [
            {
                "name": "ada",
                "id": 7,
                "roles": ["owner"],
                "permissions": ["audit"],
                "state": "slow",
                "delay": 1,
                "extra": {"floor": 3, "tags": ["a", {"b": True}]},
            },
            {"name": "bob"},
        ]
    }
    ada, bob = load_personas(write("people.TOML", toml))
    assert (ada.name, ada.token, ada.extra["floor"]) == ("ada", "mock-ada-token", 3)
    assert bob == Persona(name="bob")
    assert load_personas(write("people.json", data)) == [ada, bob]


def test_faults_in_toml_and_json_are_the_same(write: Write) -> None:
    toml = """
        [[faults]]
        kind = "status"
        endpoint = "get-me"
        status = 503
        retry_after = 5
        [[faults]]
        kind = "latency"
        seconds = 1
    """
    faults = [
        {"kind": "status", "endpoint": "get-me", "status": 503, "retry_after": 5},
        {"kind": "latency", "seconds": 1},
    ]
    expected = [FAULT.validate_python(fault) for fault in faults]
    assert load_faults(write("f.toml", toml)) == expected
    assert load_faults(write("f.json", {"faults": faults})) == expected


def test_a_byte_order_mark_is_no_mistake(write: Write) -> None:
    assert load_personas(write("p.json", b'\xef\xbb\xbf{"personas": []}')) == []
    assert load_faults(write("f.toml", b"\xef\xbb\xbffaults = []")) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_another_encoding_is_refused_with_advice_to_save_it_as_utf_8(
    write: Write, encoding: str
) -> None:
    for name, text in (("p.json", '{"personas": []}'), ("p.toml", "personas = []")):
        (problem,) = problems(load_personas, write(name, text.encode(encoding)))
        assert problem == (
            "is not UTF-8: it looks like UTF-16 or UTF-32 at byte 0; save it as UTF-8"
        )


@pytest.mark.parametrize(
    "field",
    ["id = true", 'id = "7"', "id = 7.0", "id = -7", "id = nan", "delay = true", 'delay = "1"',
     "delay = -1", "delay = nan", "delay = inf", "enabled = 1", 'enabled = "yes"', "name = 7"],
)  # fmt: skip
def test_a_value_of_another_type_is_a_mistake(write: Write, field: str) -> None:
    name = "" if field.startswith("name") else 'name = "ada"\n'
    found = problems(load_personas, write("p.toml", f"[[personas]]\n{name}{field}"))
    assert found[0].startswith(f"personas[0].{field.split(' ', maxsplit=1)[0]} is ")


def test_every_mistake_in_a_persona_file_is_named_by_its_path(write: Write) -> None:
    toml = """
        [[personas]]
        name = "ada"
        tokn = "secret"
        token = "sec ret"
        permissions = ["audit", "a b", 3]
        state = "rejectd"
        roles = "owner"
        enabled = 7
        extra = {day = 2020-01-01, n = nan, "e mail" = [inf], email = "x"}
        [[personas]]
        name = " ada "
        [[personas]]
        email = 3
        [[personas]]
        name = "bob"
        token = "good"
        [[personas]]
        name = "deny"
        token = "good"
        [[personas]]
        name = "eve"
        extra = 3
        [[personas]]
        name = "fay"
        extra = {email = "x"}
    """
    fields = ", ".join(Persona.model_fields)
    assert sorted(problems(load_personas, write("p.toml", toml))) == [
        "personas[0].enabled is 7; it should be a valid boolean",
        "personas[0].extra.day is 2020-01-01; JSON has no dates and times; put it in quotes",
        "personas[0].extra.n is nan; expected a finite number",
        "personas[0].extra['e mail'][0] is inf; expected a finite number",
        (
            "personas[0].permissions[1] is 'a b'; "
            "expected text of 1 to 200 letters A to Z, digits, _ and -"
        ),
        (
            "personas[0].permissions[2] is 3; "
            "expected text of 1 to 200 letters A to Z, digits, _ and -"
        ),
        "personas[0].roles is 'owner'; expected a list",
        (
            "personas[0].state is 'rejectd'; expected one of ok, rejected, not-allowed, "
            "expired, slow, never-answers; did you mean 'rejected'?"
        ),
        (
            "personas[0].token is invalid (value not shown); "
            "expected text of 1 to 4096 visible ASCII characters"
        ),
        f"personas[0].tokn is unknown; expected one of {fields}; did you mean 'token'?",
        "personas[1].name is the same as personas[0].name; expected a unique name",
        "personas[2].email is 3; expected text of at most 1000 printable characters",
        "personas[2].name is missing",
        (
            "personas[4].name is 'deny': 'deny' is reserved for refusing a sign-in; "
            "choose another name"
        ),
        "personas[5].extra is 3; expected a table",
        "personas[6].extra: sets fields of the persona itself: email",
    ]


def test_every_mistake_in_a_fault_file_is_named_by_its_path(write: Write) -> None:
    faults = [
        1,
        {},
        {"kind": "hnag"},
        {"kind": ["x"]},
        {"kind": "status", "status": "x", "retry": 1, "endpoint": "gt-me", "detail": "a\n"},
        {"kind": "latency"},
        {"kind": "status", "status": None, "when": True, "persona": {}},
    ]
    kinds = ", ".join(FAULTS)
    assert problems(load_faults, write("f.json", {"faultz": 1, "faults": faults})) == [
        "faults[0] is 1; expected a table",
        f"faults[1].kind is missing; expected one of {kinds}",
        f"faults[2].kind is 'hnag'; expected one of {kinds}; did you mean 'hang'?",
        f"faults[3].kind is a list; expected one of {kinds}",
        (
            "faults[4].endpoint is 'gt-me'; expected one of login, mock-authorize, callback, "
            "token-exchange, refresh, test-app-token, get-me, test-app-permission, logout; "
            "did you mean 'get-me'?"
        ),
        "faults[4].status is 'x'; it should be a valid integer",
        "faults[4].detail is 'a\\n'; expected a line of 1 to 1000 characters",
        (
            "faults[4].retry is unknown; expected one of endpoint, persona, every, probability, "
            "seed, times, when, kind, status, retry_after, detail; did you mean 'retry_after'?"
        ),
        "faults[5]: a fixed latency has exactly seconds",
        "faults[6].persona is a table; expected a line of 1 to 200 characters",
        "faults[6].when is true; expected one of before, after",
        "faults[6].status is null; it should be a valid integer",
        "faultz is unknown; expected one of faults; did you mean 'faults'?",
    ]


def test_scenarios_in_toml_and_json_are_the_same(write: Write) -> None:
    toml = """
        [[steps]]
        at = 10
        revoke = "guest"
        [[steps]]
        at = 20.5
        until = 25
        fault = {kind = "status", status = 503}
    """
    steps = [
        {"at": 10, "revoke": "guest"},
        {"at": 20.5, "until": 25, "fault": {"kind": "status", "status": 503}},
    ]
    scenario = load_scenario(write("outage.toml", toml))
    assert (scenario.name, [step.at for step in scenario.steps]) == ("outage", [10, 20.5])
    named = {"name": "other", "steps": steps}
    assert load_scenario(write("s.json", named)).steps == scenario.steps
    assert load_scenario(write("s.json", named)).name == "other"


def test_every_mistake_in_a_scenario_is_named_by_its_path(write: Write) -> None:
    steps = [
        {"at": 1, "fault": {"kind": "hnag"}},
        {"at": 1, "fault": {"kind": "status", "status": 99, "retry": 1}},
        {"at": -1, "revoke": "guest"},
        {"at": 5, "until": 4, "revoke": "guest"},
        {"at": 5, "revok": "guest"},
        {"revoke_token": "sec ret"},
        {"at": 5, "persona": {"name": "guest", "status": "expired"}},
        {"at": 5},
    ]
    kinds = ", ".join(FAULTS)
    keys = "at, until, fault, revoke, revoke_token, persona"
    assert problems(load_scenario, write("s.json", {"steps": steps, "stepz": 1})) == [
        f"steps[0].fault.kind is 'hnag'; expected one of {kinds}; did you mean 'hang'?",
        "steps[1].fault.status is 99; it should be greater than or equal to 400",
        (
            "steps[1].fault.retry is unknown; expected one of endpoint, persona, every, "
            "probability, seed, times, when, kind, status, retry_after, detail; "
            "did you mean 'retry_after'?"
        ),
        "steps[2].at is -1; expected a number of seconds from 0 to 86400",
        "steps[3]: until is 4; expected more than at, which is 5",
        f"steps[4].revok is unknown; expected one of {keys}; did you mean 'revoke'?",
        "steps[5].at is missing",
        (
            "steps[5].revoke_token is invalid (value not shown); "
            "expected text of 1 to 4096 visible ASCII characters"
        ),
        "steps[6].persona.state is missing",
        ("steps[6].persona.status is unknown; expected one of name, state; did you mean 'state'?"),
        (
            "steps[7]: expected exactly one of fault, revoke, revoke_token, persona; "
            "found none of them"
        ),
        "stepz is unknown; expected one of name, description, steps; did you mean 'steps'?",
    ]


def test_a_scenario_names_personas_that_exist(write: Write) -> None:
    steps = [
        {"at": 1, "revoke": "gest"},
        {"at": 1, "fault": {"kind": "hang", "persona": "gest"}},
        {"at": 1, "persona": {"name": "gest", "state": "slow"}},
        {"at": 1, "revoke_token": "gest"},
    ]
    path = write("s.json", {"steps": steps})
    unknown = "is 'gest', but no persona is called 'gest'; there are guest; did you mean 'guest'?"
    assert problems(lambda path: load_scenario(path, ["guest"]), path) == [
        f"steps[0].revoke {unknown}",
        f"steps[1].fault.persona {unknown}",
        f"steps[2].persona.name {unknown}",
    ]
    assert len(load_scenario(path).steps) == 4


def test_a_token_that_two_personas_share_is_refused_without_showing_it(write: Write) -> None:
    people = [{"name": "ada", "token": "hush"}, {"name": "bob", "token": "hush"}, {"name": "c"}]
    (problem,) = problems(load_personas, write("p.json", {"personas": people}))
    assert problem == "personas[1].token is the same as personas[0].token; expected a unique token"


def test_a_token_of_another_persona_is_refused_but_its_own_is_not(write: Write) -> None:
    def load(path: Path) -> list[Persona]:
        return load_personas(path, {"one": "guest", "mock-ada-token": "ada"}.get)

    people = [{"name": "ada"}, {"name": "bob", "token": "one"}]
    (problem,) = problems(load, write("p.json", {"personas": people}))
    assert problem == "personas[1].token is the token of 'guest'; choose another one"


def test_a_long_value_is_shortened(write: Write) -> None:
    long = {"name": "ada", "state": "x" * 10_000, "email": "y" * 10_000}
    state, email = problems(load_personas, write("p.json", {"personas": [long]}))
    assert max(len(state), len(email)) < 250
    assert email.endswith("yyy…; expected text of at most 1000 printable characters")


def test_a_name_that_is_too_long_is_one_mistake(write: Write) -> None:
    (problem,) = problems(load_personas, write("p.json", {"personas": [{"name": "x" * 5000}]}))
    assert problem.endswith("expected text of 1 to 100 printable characters")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1], "the file is a list; expected a table"),
        (None, "the file is null; expected a table"),
        ({}, "personas is missing"),
        ({"personas": {"name": "x"}}, "personas is a table; expected a list of tables"),
        ({"personas": "x"}, "personas is 'x'; expected a list of tables"),
        ({"personas": ["x"]}, "personas[0] is 'x'; expected a table"),
        (
            {"personas": [{"name": "x", "extra": {"n": 2**1024}}]},
            "personas[0].extra.n is a very large number; expected a number of at most 1024 bits",
        ),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused(write: Write, content: Any, problem: str) -> None:
    assert problems(load_personas, write("p.json", content)) == [problem]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("p.yaml", "", "expected a name that ends in .toml or .json"),
        ("p", "", "expected a name that ends in .toml or .json"),
        ("p.toml", b"\xff\xfe", "is not UTF-8: invalid start byte at byte 0; save it as UTF-8"),
        ("p.toml", "a = 1\nb 2", r"Expected '=' .* \(at line 2, column 3\)"),
        ("p.toml", "a = 1\nb = [1,", r".* \(at end of document\)"),
        ("p.toml", "a = ", r".* \(at end of document\)"),
        ("p.toml", "a = 1\na = 2\nb = 3", r"Cannot overwrite a value \(at line 2, column 6\)"),
        ("p.toml", "a = " + "[" * 100_000, "is nested too deeply"),
        ("p.json", "", r"Expecting value \(at line 1, column 1\)"),
        ("p.json", '{"a":\n 1,}', r".* \(at line 2, column [34]\)"),
        ("p.json", "[" * 100_000, "is nested too deeply"),
        ("p.json", "9" * 5000, "Exceeds the limit .*"),
        ("p.json", '{"b": 2, "a": {"x": 1, "x": 1}}', "duplicate keys in a table: 'x'"),
        (
            "p.json",
            '{"personas": [], "\\ud800": 1}',
            r"a key of the file is '\\ud800'; expected valid Unicode",
        ),
        (
            "p.json",
            '{"personas": [{"name": "x", "extra": {"y": "\\ud800"}}]}',
            r"personas\[0\]\.extra\.y is '\\ud800'; expected valid Unicode",
        ),
        (
            "p.json",
            '{"personas": [{"name": "x", "extra": {"\\ud800": "y"}}]}',
            r"personas\[0\]\.extra\['.*'\] is 'y'; expected a key of valid Unicode",
        ),
        (
            "p.json",
            '{"personas": [{"name": "x", "extra": {"y": NaN}}]}',
            r"personas\[0\]\.extra\.y is nan; expected a finite number",
        ),
        (
            "p.toml",
            f'[[personas]]\nname = "x"\n[personas.extra]\n{"a." * 5000}a = 1',
            "personas.* is a table; expected at most 40 levels of nesting",
        ),
    ],
)
def test_a_file_that_cannot_be_parsed_is_refused(
    write: Write, name: str, content: Any, problem: str
) -> None:
    (found,) = problems(load_personas, write(name, content))
    assert re.fullmatch(problem, found)


@pytest.mark.parametrize("load", [load_personas, load_faults])
def test_a_missing_file_is_refused(load: Any, tmp_path: Path) -> None:
    assert problems(load, tmp_path / "none.toml") == ["cannot be read: No such file or directory"]


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.toml").mkdir()
    assert problems(load_faults, tmp_path / "d.toml") == ["cannot be read: Is a directory"]


def test_an_invalid_path_is_refused() -> None:
    assert problems(load_faults, Path("a\0.toml")) == ["embedded null byte"]


def test_an_error_about_a_pattern_describes_the_pattern_in_words(write: Write) -> None:
    faults = [
        {"kind": "status", "detail": "\t", "persona": "\t"},
        {"kind": "redirect", "location": " "},
        {"kind": "set-cookie", "name": "a=b", "value": ";"},
    ]
    persona = {"name": "\t", "token": " ", "permissions": ["a/b"]}
    found = problems(load_faults, write("f.json", {"faults": faults}))
    found += problems(load_personas, write("p.json", {"personas": [persona]}))
    assert len(found) == 8
    assert [
        problem for problem in found if "; expected " not in problem or "pattern" in problem
    ] == []


@pytest.mark.parametrize("key", ["id", "delay", "tokn", "roles", "name"])
def test_a_number_with_thousands_of_digits_is_an_ordinary_error(write: Write, key: str) -> None:
    name = "" if key == "name" else 'name = "ada"\n'
    found = problems(load_personas, write("p.toml", f"[[personas]]\n{name}{key} = 0x{'f' * 9999}"))
    assert found[0].startswith(f"personas[0].{key} is ")
    assert len(found[0]) < 250
    fault = f'[[faults]]\nkind = "status"\nseed = 0x{"f" * 9999}'
    assert problems(load_faults, write("f.toml", fault))[0].startswith("faults[0].seed is a very")


@pytest.mark.parametrize("extra", [{"a": [float("nan")]}, {"a": ["\ud800"]}, {"a": [2**1024]}])
def test_a_persona_rejects_extra_fields_that_json_cannot_represent(extra: Any) -> None:
    with pytest.raises(ValueError, match=r"extra\.a\.0"):
        Persona(name="ada", extra=extra)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_a_value_that_passes_the_check_can_be_written_as_json(value: Any) -> None:
    with suppress(ValidationError):
        json.dumps(require_json(value), allow_nan=False).encode()


@given(st.lists(st.text() | st.integers(0), min_size=1))
def test_a_path_can_always_be_shown(path: list[str | int]) -> None:
    format_path(path).encode()


@given(json_values)
def test_any_invalid_data_in_a_file_is_reported(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    entry: dict[str, Any] = dict.fromkeys(Persona.model_fields, value)
    path.write_text(json.dumps({"personas": [value, entry]}))
    assert problems(load_personas, path)
    path.write_text(json.dumps({"faults": [value, *({**entry, "kind": kind} for kind in FAULTS)]}))
    assert problems(load_faults, path)
