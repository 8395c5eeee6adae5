"""Type checks of the arguments of a model's constructor.

Each raises a TypeError with the name of the field, the expected type and the actual one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from types import NoneType
from typing import Annotated, Any, TypeVar

from attrs import has

from oxaigen_auth._models.pydantic import NotAParameter

T = TypeVar("T")


def check(name: str, allowed: Sequence[type], value: object) -> None:
    """Check that a value has one of the types. A bool is not an int.

    Raises:
        TypeError: the value has another type.
    """
    if isinstance(value, tuple(allowed)) and (type(value) is not bool or bool in allowed):
        return
    expected = " or ".join("None" if it is NoneType else it.__name__ for it in allowed)
    advice = ""
    if isinstance(value, Mapping) and has(allowed[0]):
        advice = f": write {allowed[0].__name__}(name=...)"
    raise TypeError(f"{name} must be {expected}, not {type(value).__name__}{advice}")


def tuple_of(entry: type[T], name: str, values: object) -> tuple[T, ...]:
    """Return the entries of a list, a tuple or another plain collection.

    Raises:
        TypeError: `values` is not such a collection, or an entry has another type.
    """
    kind = type(values)
    if not isinstance(values, Iterable) or issubclass(kind, Mapping | str | bytes) or has(kind):
        raise TypeError(f"{name} must be a list of {entry.__name__}, not {kind.__name__}")
    entries: tuple[Any, ...] = tuple(values)
    for index, value in enumerate(entries):
        check(f"{name}[{index}]", [entry], value)
    return entries


def own_extra(extra: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a deep copy, or None if it is empty.

    Raises:
        TypeError: `extra` is not a dict with strings as keys.
    """
    if extra is not None and not isinstance(extra, dict):
        raise TypeError(f"extra must be dict or None, not {type(extra).__name__}")
    for name in extra or ():
        check("a key of extra", [str], name)
    return deepcopy(extra) or None


# attrs copies the annotation to the constructors of the models, where FastAPI evaluates it.
own_extra.__annotations__["extra"] = Annotated[dict[str, Any] | None, NotAParameter]
