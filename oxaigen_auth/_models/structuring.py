"""Makes models from JSON values with cattrs: strict about known fields, tolerant about others.

cattrs' own hooks would turn null into "None" and false into True. This module is imported on first
use, because importing cattrs takes time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from marshal import dumps
from typing import Any, TypeVar, get_args, get_origin

from cattrs import (
    BaseValidationError,
    Converter,
    IterableValidationError,
    IterableValidationNote,
    transform_error,
)
from cattrs.gen import make_dict_structure_fn, override

from oxaigen_auth._models.base import Model, documented_names, names, types_of

MAX_DIGITS = 1000
MAX_SHARED = 1024  # entries and account types that users share
MAX_SHORT = 256  # bytes; larger ones are not shared
# What a list in JSON may become; the models of this package have tuples only.
_LISTS: dict[Any, Callable[[Any], Any]] = {it: it for it in (tuple, list, set, frozenset)} | {
    Sequence: tuple
}

T = TypeVar("T")
M = TypeVar("M", bound=Model)


def has_documented_value(profile: Mapping[str, Any], user: Model) -> bool:
    """Return whether a documented field was sent with a value: not null, not empty."""
    if profile.get("is_authenticated") is not None:
        return True
    others = documented_names(type(user)) - {"is_authenticated"}
    return any(_has_value(getattr(user, name)) for name in others)


def _has_value(value: object) -> bool:
    if isinstance(value, list):
        return any(_has_value(entry) for entry in value)
    if isinstance(value, Model):
        return any(_has_value(getattr(value, name)) for name in documented_names(type(value)))
    return value is not None and value != ""


def describe(error: Exception, path: str) -> str:
    """Return what is wrong and where, without the value: "expected a boolean @ profile.enabled"."""
    faults = transform_error(error, path, lambda fault, _: str(fault))
    return faults[0].replace("._", ".")  # the names of the fields in JSON


def _boolean(value: object, _: object) -> bool:
    if type(value) is not bool:
        raise TypeError("expected a boolean")
    return value


def _string(value: object, _: object) -> str:
    if type(value) is not str:
        raise TypeError("expected a string")
    return value


def _integer(value: object, _: object) -> int:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        return int(value)
    if type(value) is not int:
        raise TypeError("expected an integer")
    return value


def _number(value: object, _: object) -> float:
    if not isinstance(value, int | float) or type(value) is bool:
        raise TypeError("expected a number")
    return float(value)


def _configure_types(converter: Converter) -> None:
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(int, _integer)


def _is_list(of: Any) -> bool:
    made, entries = get_origin(of) or of, get_args(of)
    return made in _LISTS and (made is not tuple or entries[1:] in {(), (...,)})


def _configure_lists(converter: Converter) -> None:
    """Read lists up to the first error; cattrs would collect one for each entry, at 2 kB each."""

    def factory(of: Any, _: Converter) -> Callable[[Any, Any], object]:
        make = _LISTS[get_origin(of) or of]
        entry = (get_args(of) or (Any,))[0]
        structure = converter.get_structure_hook(entry)

        def hook(value: Any, _: Any) -> object:
            if type(value) is not list:
                raise TypeError("expected a list")
            made: list[object] = []
            try:
                made.extend(structure(each, entry) for each in value)
            except (TypeError, BaseValidationError) as error:
                error.add_note(IterableValidationNote("", len(made), entry))
                group: Any = IterableValidationError  # pyright knows only its base's `__init__`
                raise group("", [error], of) from None
            return make(made)

        return hook

    converter.register_structure_hook_factory(_is_list, factory)


def _is_model(of: Any) -> bool:
    return isinstance(of, type) and issubclass(of, Model)


def _configure_models(converter: Converter) -> None:
    def factory(model: Any, _: Converter) -> Callable[[Any, Any], object]:
        is_flat = [*(name for name, _ in types_of(model)), "extra"] == names(model)
        structure = _without_extra(converter, model)
        read = _reader_of_entry(model, structure) if is_flat else structure
        documented = documented_names(model)

        def hook(value: Any, cls: Any) -> object:
            known, unknown = _split(value, documented)
            made = read(known, cls)
            if unknown:
                return made.with_extra(unknown)
            return _shared(made, known) if is_flat else made

        return hook

    converter.register_structure_hook_factory(_is_model, factory)


def _reader_of_entry(
    model: Any, structure: Callable[[Any, Any], Any]
) -> Callable[[dict[str, Any], Any], Any]:
    """Read an object directly if its fields have the documented types, otherwise with cattrs."""
    types = types_of(model)

    def read(known: dict[str, Any], cls: Any) -> Any:
        values = [known.get(name) for name, _ in types]
        if all(type(value) in allowed for value, (_, allowed) in zip(values, types, strict=True)):
            return model.of_checked((*values, None))
        return structure(known, cls)

    return read


def _without_extra(converter: Converter, model: type[Any]) -> Callable[[Any, Any], Any]:
    no_extra: Any = {"_extra": override(omit=True)}
    return make_dict_structure_fn(model, converter, _cattrs_use_alias=True, **no_extra)


def _split(value: object, names: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the known fields of an object, without nulls so that defaults apply, and the others.

    Raises:
        TypeError: `value` is not an object.
    """
    if type(value) is not dict:
        raise TypeError("expected an object")
    known = {k: v for k, v in value.items() if v is not None and k in names}
    return known, {k: v for k, v in value.items() if k not in names}


def _shared(value: T, as_json: Any) -> T:
    """Return the first of equal values that are short: many users have the same few."""
    return first(value) if len(dumps(as_json)) <= MAX_SHORT else value


@lru_cache(maxsize=MAX_SHARED)
def first(value: Any) -> Any:
    return value


def _converter() -> Converter:
    converter = Converter()
    _configure_types(converter)
    _configure_lists(converter)
    _configure_models(converter)
    return converter


CONVERTER = _converter()


def from_json_value(model: type[M], data: object) -> M:
    """Make a model from JSON values that an app has, such as those that it stored.

    Raises:
        TypeError: `data` is not a dict.
        ValueError: a value has the wrong type.
    """
    if type(data) is not dict:
        advice = f": write {model.__name__}.from_dict(json.loads(…))" if type(data) is str else ""
        raise TypeError(f"from_dict takes a dict, not {type(data).__name__}{advice}")
    try:
        made: M = CONVERTER.structure(deepcopy(data), model)
    except Exception as error:  # noqa: BLE001 (hooks may raise anything)
        problem, _, path = describe(error, model.__name__).rpartition(" @ ")
        raise ValueError(f"{path}: {problem}") from None
    return made
