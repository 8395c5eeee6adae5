import re
import warnings
from typing import Any, get_args

import pytest

from oxaigen_auth_mock import RunningMock
from oxaigen_auth_mock.config.files import load_faults, load_personas, load_scenario
from oxaigen_auth_mock.faults.base import BaseFault
from oxaigen_auth_mock.personas.model import State
from oxaigen_auth_mock.scenarios.builtin import READY
from oxaigen_auth_mock.scenarios.model import ACTIONS
from tests.support.paths import ROOT

pytestmark = pytest.mark.anyio

DOCS = ROOT / "docs"
GUIDE = (DOCS / "mock.md").read_text()


def defined_by(number: int) -> dict[str, Any]:
    """Run one of the guide's examples; gives what it defines."""
    code = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)[number]
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Starlette's test client warns where it finds no httpx2, and some runs do without.
        warnings.simplefilter("ignore")
        exec(compile(code, "docs/mock.md", "exec"), names)  # noqa: S102 - our own documentation
    return names


async def test_the_guides_test_passes() -> None:
    await defined_by(0)["test_an_outage_is_no_rejection"]()


def test_the_guides_sync_test_passes() -> None:
    defined_by(1)["test_a_revoked_token_is_refused"]()


def test_the_example_of_a_persona_file_is_a_good_one() -> None:
    ada, bob = load_personas(str(DOCS / "examples/personas.toml"))
    assert (ada.extra, bob.state) == ({"department": "Engines", "floor": 3}, "slow")


def test_the_example_of_a_plan_is_a_good_one() -> None:
    plan = load_faults(str(DOCS / "examples/faults.toml"))
    assert [fault.kind for fault in plan] == ["status", "latency", "close"]


def test_the_example_of_a_scenario_is_a_good_one() -> None:
    scenario = load_scenario(DOCS / "examples/scenario.toml", ["guest", "admin"])
    assert (scenario.name, len(scenario.steps)) == ("bad-morning", 4)


def test_the_guide_names_every_ready_scenario_and_every_change_of_a_step() -> None:
    assert [name for name in (*READY, *ACTIONS) if f"`{name}`" not in GUIDE] == []


def test_the_guides_scenario_passes() -> None:
    defined_by(2)["test_users_are_signed_out_for_a_moment_only"]()


def test_the_guide_names_every_state_and_every_kind_of_fault() -> None:
    kinds = {kind for each in BaseFault.__subclasses__() for kind in _kinds(each)}
    missing = [name for name in {*get_args(State), *kinds} if f"`{name}`" not in GUIDE]
    assert missing == []


def _kinds(model: Any) -> set[str]:
    """The kinds of a model and of those that build on it."""
    own = model.model_fields.get("kind")
    below = {kind for each in model.__subclasses__() for kind in _kinds(each)}
    return below | ({own.default} if own else set())


def test_the_handle_has_what_the_guide_says() -> None:
    verbs = GUIDE.partition("handle has `add`")[2].partition(".\n")[0]
    assert "`reset`" in verbs
    assert all(hasattr(RunningMock, verb) for verb in re.findall(r"`(\w+)`", verbs))
