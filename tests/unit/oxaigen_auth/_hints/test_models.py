from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from oxaigen_auth import User, UserWorkspace, WorkspacePermission, WorkspaceRole

if TYPE_CHECKING:
    from collections.abc import Callable

READ, READ_JSON = "write User.from_dict(data)", "write User.from_dict(json.loads(text))"
ON_A_USER: list[tuple[str, str]] = [
    ("copy", "write attrs.evolve(user, name=…)"),
    ("dict", "write user.model_dump()"),
    ("json", "write user.model_dump_json()"),
    ("model_copy", "write attrs.evolve(user, name=…)"),
    ("model_extra", "read user.extra"),
    ("model_fields_set", "write set(user.model_dump(exclude_unset=True))"),
]
ON_THE_CLASS = [
    ("construct", "write User(name=…)"),
    ("model_construct", "write User(name=…)"),
    ("model_fields", "read [field.alias for field in attrs.fields(User)]"),
    ("model_json_schema", "write pydantic.TypeAdapter(User).json_schema()"),
    ("model_validate", READ),
    ("model_validate_json", READ_JSON),
    ("parse_obj", READ),
    ("parse_raw", READ_JSON),
    ("schema", "write pydantic.TypeAdapter(User).json_schema()"),
]


@pytest.mark.parametrize(("name", "advice"), ON_A_USER)
def test_a_name_of_pydantic_on_a_user_says_what_to_write(name: str, advice: str) -> None:
    user = User()
    with pytest.raises(AttributeError) as caught:
        getattr(user, name)
    assert str(caught.value) == (
        f"'User' object has no attribute '{name}', as it is an attrs class, not a pydantic model: "
        f"{advice}"
    )
    assert (caught.value.name, caught.value.obj) == (name, user)


@pytest.mark.parametrize(("name", "advice"), ON_THE_CLASS)
def test_a_name_of_pydantic_on_the_class_says_what_to_write(name: str, advice: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(User, name)
    assert str(caught.value).startswith(f"type object 'User' has no attribute '{name}', as it")
    assert str(caught.value).endswith(f": {advice}")
    assert (caught.value.name, caught.value.obj) == (name, User)


@pytest.mark.parametrize(
    ("model", "variable"),
    [(UserWorkspace, "workspace"), (WorkspaceRole, "role"), (WorkspacePermission, "permission")],
)
def test_the_advice_names_the_model(model: Callable[[], Any], variable: str) -> None:
    with pytest.raises(AttributeError, match=rf"write attrs.evolve\({variable}, name=…\)$"):
        model().model_copy(update={})


def test_no_model_seems_to_be_a_pydantic_model() -> None:
    for name, _ in ON_A_USER + ON_THE_CLASS:
        assert not hasattr(User, name)
        assert not hasattr(User(), name)


def test_a_model_of_an_app_may_use_the_names() -> None:
    @attrs.frozen(kw_only=True)
    class Own(User):
        json: str = "{}"

    assert Own(user_name="ada", json="[]").json == "[]"
    with pytest.raises(AttributeError, match=r"^'Own' object .*: write own\.model_dump\(\)$"):
        _ = Own().dict  # type: ignore[attr-defined]
