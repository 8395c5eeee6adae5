import re
from pathlib import Path
from typing import Any, get_args

import pytest

from oxaigen_auth_mock import RunningMock
from oxaigen_auth_mock.files import load_faults, load_personas
from oxaigen_auth_mock.personas import State
from oxaigen_auth_mock.triggers import Trigger

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "mock.md").read_text()


async def test_the_guides_test_passes() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/mock.md", "exec"), names)  # noqa: S102 - our own documentation
    await names["test_an_outage_is_no_rejection"]()


def test_the_example_of_a_persona_file_is_a_good_one() -> None:
    ada, bob = load_personas(str(DOCS / "examples/personas.toml"))
    assert (ada.extra, bob.state) == ({"department": "Engines", "floor": 3}, "slow")


def test_the_example_of_a_plan_is_a_good_one() -> None:
    plan = load_faults(str(DOCS / "examples/faults.toml"))
    assert [fault.kind for fault in plan] == ["status", "latency", "close"]


def test_the_guide_names_every_state_and_every_kind_of_fault() -> None:
    kinds = {kind for each in Trigger.__subclasses__() for kind in _kinds(each)}
    missing = [name for name in {*get_args(State), *kinds} if f"`{name}`" not in GUIDE]
    assert missing == []


def _kinds(model: Any) -> set[str]:
    """The kinds of a model and of those that build on it."""
    own = model.model_fields.get("kind")
    below = {kind for each in model.__subclasses__() for kind in _kinds(each)}
    return below | ({own.default} if own else set())


def test_the_handle_has_what_the_guide_says() -> None:
    verbs = GUIDE.partition("Its handle has\n")[2].partition(". Without")[0]
    assert all(hasattr(RunningMock, verb) for verb in re.findall(r"`(\w+)`", verbs))
