"""Makes models from the proxy's JSON with cattrs: strict about known fields, tolerant about others.

cattrs' own hooks would turn null into "None" and false into True.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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

from oxaigen_auth._models.base import names, types_of
from oxaigen_auth._upstream.json_body import WireError
from oxaigen_auth.models import User, UserWorkspace, WorkspacePermission, WorkspaceRole

MAX_DIGITS = 1000
MAX_SHARED = 1024  # entries and account types that users share
MAX_SHORT = 256  # bytes; larger ones are not shared
# What a list in JSON may become; the models of this package have tuples only.
_LISTS: dict[Any, Callable[[Any], Any]] = {it: it for it in (tuple, list, set, frozenset)} | {
    Sequence: tuple
}
KNOWN = frozenset(names(User)) - {"extra"}

T = TypeVar("T")


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


def _configure_user(converter: Converter) -> None:
    structure = _without_extra(converter, User)

    def hook(value: Any, cls: Any) -> object:
        known, unknown = _split(value, KNOWN)
        user = structure(known, cls)
        return user.with_extra(unknown) if unknown else user

    converter.register_structure_hook(User, hook)


def _configure_entry(converter: Converter, model: Any) -> None:
    """Read an object directly if its fields have the documented types, otherwise with cattrs."""
    structure = _without_extra(converter, model)
    types = types_of(model)
    names = [name for name, _ in types]

    def hook(value: Any, cls: Any) -> object:
        known, unknown = _split(value, names)
        values = [known.get(name) for name in names]
        if all(type(value) in allowed for value, (_, allowed) in zip(values, types, strict=True)):
            entry = model.of_checked((*values, None))
        else:
            entry = structure(known, cls)
        return entry.with_extra(unknown) if unknown else _shared(entry, known)

    converter.register_structure_hook(model, hook)


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
    for model in (UserWorkspace, WorkspaceRole, WorkspacePermission):
        _configure_entry(converter, model)
    _configure_user(converter)
    return converter


CONVERTER = _converter()


def structure_lenient(profile: object) -> User:
    """Make a user from a profile with missing or null fields, or numbers as strings.

    Raises:
        WireError: not a profile, or no documented field has a value.
    """
    try:
        user = CONVERTER.structure(profile, User)
    except Exception as error:  # noqa: BLE001 (hooks may raise anything)
        faults = transform_error(error, "profile", lambda fault, _: str(fault))
        raise WireError(faults[0].replace("._", ".")) from None  # its name on the wire
    if not _has_documented_value(profile, user):
        raise WireError("none of the documented fields has a value @ profile")
    return user


def _has_documented_value(profile: Any, user: User) -> bool:
    """Return whether a documented field was sent with a value: not null, not empty."""
    if profile.get("is_authenticated") is not None:
        return True
    return any(_has_value(getattr(user, name)) for name in KNOWN - {"is_authenticated"})


def _has_value(value: object) -> bool:
    if isinstance(value, list):
        return any(_has_value(entry) for entry in value)
    if isinstance(value, UserWorkspace):
        return bool(value.id or value.name)
    if isinstance(value, WorkspaceRole | WorkspacePermission):
        return value.id is not None or bool(value.name or value.description)
    return value is not None and value != ""
