from typing import Any

import pytest
from pydantic import ValidationError

from oxaigen_auth_mock import Scenario, Step
from oxaigen_auth_mock.journal.counts import fingerprint

STATUS = {"kind": "status", "status": 503}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"at": 1}, "expected exactly one of fault, revoke, revoke_token, persona; found none"),
        ({"at": 1, "revoke": "guest", "fault": STATUS}, "found fault and revoke"),
        ({"at": 5, "until": 5, "revoke": "guest"}, "until is 5; expected more than at, which is 5"),
        ({"at": -1, "revoke": "guest"}, "a number of seconds from 0 to 86400"),
        ({"at": "1", "revoke": "guest"}, "a number of seconds from 0 to 86400"),
        ({"at": float("nan"), "revoke": "guest"}, "a number of seconds from 0 to 86400"),
        ({"at": 1, "until": 86_401, "revoke": "guest"}, "a number of seconds from 0 to 86400"),
        ({"at": 1, "fault": {"kind": "status", "status": 200}}, "greater than or equal to 400"),
        ({"at": 1, "persona": {"name": "guest", "state": "sleepy"}}, "'expired'"),
        ({"at": 1, "revoke": "guest", "unless": 3}, "Extra inputs"),
    ],
)
def test_a_step_has_one_change_and_ends_after_it_begins(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Step.model_validate(fields)
    assert message in str(caught.value)


def test_a_step_is_described_in_a_few_words() -> None:
    for fields, words in (
        ({"fault": {**STATUS, "every": 3}}, "every 3rd call: 503"),
        ({"revoke": "guest"}, "tokens of guest revoked"),
        ({"revoke_token": "secret"}, f"token {fingerprint('secret')} revoked"),
        ({"persona": {"name": "guest", "state": "expired"}}, "guest is expired"),
    ):
        assert Step.model_validate({"at": 1, **fields}).describe() == words


def test_no_token_is_shown_in_a_repr_or_an_error() -> None:
    step = {"at": 1, "revoke_token": "secret-token"}
    assert "secret-token" not in repr(Scenario.model_validate({"steps": [step]}))
    for wrong in ({**step, "until": 0}, {**step, "revoke_token": "secret-token\n"}):
        with pytest.raises(ValidationError) as caught:
            Scenario.model_validate({"steps": [wrong]})
        assert "secret-token" not in str(caught.value)


def state(at: float, until: float | None, name: str = "guest") -> dict[str, Any]:
    return {"at": at, "until": until, "persona": {"name": name, "state": "expired"}}


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        (state(1, 3), state(2, 4), True),
        (state(2, 4), state(1, 3), True),
        (state(1, None), state(2, 4), True),
        (state(2, 4), state(1, None), True),
        (state(1, 2), state(2, 4), False),
        (state(2, None), state(1, 2), False),
        (state(1, 3), state(2, 4, "admin"), False),
        (state(1, 3), {"at": 1, "revoke": "guest"}, False),
    ],
)
def test_a_persona_has_one_state_at_a_time(
    first: dict[str, Any], second: dict[str, Any], *, overlap: bool
) -> None:
    steps = {"steps": [first, second]}
    if not overlap:
        assert len(Scenario.model_validate(steps).steps) == 2
        return
    with pytest.raises(
        ValidationError, match=r"steps\[0\] and steps\[1\] set the state of 'guest'"
    ):
        Scenario.model_validate(steps)
